r"""A generator against a discriminator (Goodfellow et al. 2014), and what their game comes to on N examples.

D gives the logit that an example is a real one, G takes z ~ N(0, I) to an example. Each step descends

.. math:: L_D = E_x\, s(-D(x)) + E_z\, s(D(G(z))), \qquad L_G = E_z\, s(-D(G(z))), \qquad s(t) = \log(1 + e^t)

the second one the non-saturating loss. Exactly: the best D for examples of weights p and outputs of weights q has the
logit log p - log q, and with it -L_D = 2 JS(p, q) - log 4, least where q = p: on N examples that is the empirical
distribution, a :func:`copier`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import softplus

from memprior._check import (
    expect,
    expect_finite,
    expect_like,
    expect_positive,
    expect_tensor,
    expect_whole,
    positive_number,
)
from memprior._random import choices, float64_on, integers, normal
from memprior.checkpoint import digest, file_to_keep, read_saved, restore_generator, save_atomically
from memprior.training import _below

_Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class AdversarialPlan:
    """How a generator and a discriminator are trained: one step of Adam each, in turn, the discriminator first.

    Args:
        num_steps: of each of the two, >= 1.
        batch_size: distinct examples per step, drawn anew; all of them, in order, where there are no more. As many
            outputs stand beside them.
        generator_rate: Adam's learning rate of the generator.
        discriminator_rate: of the discriminator.
        momentum: Adam's decay of the first moment, from 0 to below 1; 0.5 is that of Radford, Metz and Chintala (2016).

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> from memprior.adversarial import AdversarialPlan
        >>> AdversarialPlan(100, 16, 2e-4, 2e-4).momentum
        0.5
    """

    num_steps: int
    batch_size: int
    generator_rate: float
    discriminator_rate: float
    momentum: float = 0.5

    def __post_init__(self):
        # Numbers of Python, which are the identity of a checkpoint.
        for name in ("num_steps", "batch_size"):
            expect_whole(name, getattr(self, name), 1)
            object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("generator_rate", "discriminator_rate"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        momentum = 0.0 if self.momentum == 0 else positive_number("momentum", self.momentum)
        expect(momentum < 1, "momentum", "from 0 to below 1", self.momentum)
        object.__setattr__(self, "momentum", momentum)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of both networks' ``state_dict`` after a step."""

    generator: _Weights
    discriminator: _Weights


@dataclass(frozen=True, eq=False)
class AdversarialState:
    """After step ``step``; both networks themselves are trained in place.

    generator_loss, discriminator_loss: scalar tensors, L_G and L_D of that step's batches, each before its own update.
    snapshots: one of each step asked for that has passed.
    """

    step: int
    generator_loss: torch.Tensor
    discriminator_loss: torch.Tensor
    snapshots: dict[int, Snapshot]


def train_adversarial(
    generator_network: nn.Module,
    discriminator: nn.Module,
    examples: torch.Tensor,
    plan: AdversarialPlan,
    *,
    generator: torch.Generator,
    snapshots: Iterable[int] = (),
    checkpoint: str | Path | None = None,
    save_every: int = 500,
) -> Iterator[AdversarialState]:
    """Train a generator and a discriminator on ``examples``, in place; a state after every step.

    Killed and started again with the same arguments it ends in the same bits, as :func:`memprior.training.train` does.
    The discriminator sees examples and outputs as one batch: it must not couple them, as batch normalization does.

    Args:
        generator_network: (B, latent) -> (B, ...), with the attribute ``latent``, as
            :class:`memprior.trace_networks.SectionGenerator`.
        discriminator: (B, ...) -> logits (B,), as :class:`memprior.trace_networks.SectionDiscriminator`.
        examples: (N, ...), in the dtype and on the device of the weights.
        plan: sizes and rates.
        generator: draws the batches and the latent points.
        snapshots: ascending steps, from 1 to plan.num_steps, at which states keep copies of both networks.
        checkpoint: a file, in a folder that exists, written every ``save_every`` steps and at the end, with the
            snapshots so far. Where it exists training goes on from it, and where it is done its last state comes again.
        save_every: steps between two checkpoints.

    Yields:
        A state after each step.

    Raises:
        ValueError: a generator without ``latent`` or of other outputs than the examples, a discriminator that does not
            take these or gives no logit of each, active dropout, a normalization over the batch, numbers that are not
            finite, steps that do not ascend, and a checkpoint of another run or none.
        TypeError: examples that are no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.adversarial import AdversarialPlan, train_adversarial
        >>> from memprior.trace_networks import SectionDiscriminator, SectionGenerator
        >>> generator = torch.Generator().manual_seed(0)
        >>> networks = (SectionGenerator(2, (8, 8), 8, generator=generator),
        ...             SectionDiscriminator((8, 8), 8, generator=generator))
        >>> plan = AdversarialPlan(2, 4, 1e-3, 1e-3)
        >>> [state.step for state in train_adversarial(*networks, torch.ones(4, 8, 8), plan, generator=generator)]
        [1, 2]
    """
    expect_whole("save_every", save_every, 1)
    float64_on(None, generator)  # raises by name unless it is a generator
    _expect_game(generator_network, discriminator, examples)
    steps = list(snapshots)
    for step in steps:
        expect_whole("snapshots", step, 1)
    ascending = steps == sorted(set(steps)) and (not steps or steps[-1] <= plan.num_steps)
    expect(ascending, "snapshots", f"ascending steps from 1 to {plan.num_steps}", steps)
    run = _Game(generator_network, discriminator, examples, plan, generator, list(map(int, steps)))
    if checkpoint is not None:
        checkpoint = file_to_keep("checkpoint", checkpoint)
        if checkpoint.exists():
            run.load(checkpoint)
    return run.states(checkpoint, save_every)


class _Game:
    """Everything that changes from step to step, so that it can be written down and read back."""

    def __init__(self, generator_network, discriminator, examples, plan, generator, steps):
        self.networks = {"generator": generator_network, "discriminator": discriminator}
        self.examples, self.plan, self.generator, self.steps = examples, plan, generator, steps
        self.trained = {
            name: {key: w for key, w in sorted(network.named_parameters()) if w.requires_grad}
            for name, network in self.networks.items()
        }
        rates = {"generator": plan.generator_rate, "discriminator": plan.discriminator_rate}
        self.optimizers = {
            name: torch.optim.Adam(self.trained[name].values(), lr=rate, betas=(plan.momentum, 0.999), fused=True)
            for name, rate in rates.items()
        }
        self.step = 0
        self.losses = {name: torch.tensor(torch.nan) for name in self.networks}
        self.snapshots: dict[int, Snapshot] = {}
        start = {f"{name}.{key}": w for name, of in self.networks.items() for key, w in of.state_dict().items()}
        start["random"] = generator.get_state()
        trained = {name: list(of) for name, of in self.trained.items()}
        self.identity = {
            "plan": asdict(plan),
            "examples": digest({"examples": examples}, {})[:16],
            "start": digest(start, trained)[:16],
            "snapshots": steps,
        }

    def states(self, checkpoint, save_every):
        if self.step == self.plan.num_steps:
            yield self.state()
        while self.step < self.plan.num_steps:
            self._advance()
            if self.step in self.steps:
                copies = {name: _copied(network.state_dict()) for name, network in self.networks.items()}
                self.snapshots[self.step] = Snapshot(**copies)
            if checkpoint and (self.step % save_every == 0 or self.step == self.plan.num_steps):
                self.save(checkpoint)
            yield self.state()

    def state(self) -> AdversarialState:
        return AdversarialState(self.step, self.losses["generator"], self.losses["discriminator"], self.snapshots)

    def _advance(self) -> None:
        discriminator, num = self.networks["discriminator"], len(self.examples)
        real = self.examples
        if self.plan.batch_size < num:
            evenly = torch.ones(num, device=real.device)
            real = real[choices(evenly, self.plan.batch_size, generator=self.generator, replacement=False)]
        with torch.no_grad():
            fake = self._outputs(len(real))
        logits = discriminator(torch.cat([real, fake]))
        self._descend("discriminator", softplus(-logits[: len(real)]).mean() + softplus(logits[len(real) :]).mean())
        self._descend("generator", softplus(-discriminator(self._outputs(len(real)))).mean())
        self.step += 1

    def _outputs(self, num: int) -> torch.Tensor:
        network = self.networks["generator"]
        return network(normal(num, int(network.latent), like=self.examples, generator=self.generator))

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        weights = list(self.trained[name].values())
        # Of these weights alone: the generator's loss leaves no gradient in the discriminator.
        for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = slope
        self.optimizers[name].step()
        self.losses[name] = loss.detach()

    def save(self, file: Path) -> None:
        named = {"random": self.generator.get_state(), "step": torch.tensor(self.step)}
        for name, network in self.networks.items():
            named[f"loss.{name}"] = self.losses[name]
            named |= {f"{name}.{key}": w.detach() for key, w in network.state_dict().items()}
            keys, moments = list(self.trained[name]), self.optimizers[name].state_dict()["state"]
            named |= {f"adam.{name}.{keys[k]}.{what}": m for k, of in moments.items() for what, m in of.items()}
            for step, snapshot in self.snapshots.items():
                named |= {f"snapshot.{step}.{name}.{key}": w for key, w in getattr(snapshot, name).items()}
        save_atomically(file, named, self.identity)

    def load(self, file: Path) -> None:
        tensors, _ = read_saved(file, self.identity)
        restore_generator(self.generator, tensors["random"], f"checkpoint {file}")
        for name, network in self.networks.items():
            network.load_state_dict(_below(tensors, name))
            keys = list(self.trained[name])
            moments: dict[int, _Weights] = {}
            for key, tensor in _below(tensors, f"adam.{name}").items():
                weight, _, what = key.rpartition(".")
                moments.setdefault(keys.index(weight), {})[what] = tensor
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
            self.losses[name] = tensors[f"loss.{name}"].to(self.examples.device)
        device = self.examples.device
        for step in (step for step in self.steps if step <= int(tensors["step"])):
            kept = {name: _below(tensors, f"snapshot.{step}.{name}") for name in self.networks}
            self.snapshots[step] = Snapshot(
                **{n: {key: w.to(device) for key, w in of.items()} for n, of in kept.items()}
            )
        self.step = int(tensors["step"])


# ---- what is known -------------------------------------------------------------------------------------------------


def copier(examples: torch.Tensor, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """Draws of the game's exact optimum on N examples: of the examples, each as likely, (``num``, ...).

    Args:
        examples: (N, ...), N >= 1.
        num: >= 1.
        generator: draws which.

    Raises:
        ValueError: no example, another number.
        TypeError: examples that are no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.adversarial import copier
        >>> copier(torch.eye(2), 3, generator=torch.Generator().manual_seed(0)).sum(1)
        tensor([1., 1., 1.])
    """
    expect_tensor("examples", examples, "(N, ...)")
    expect(examples.ndim > 0 and len(examples) > 0, "examples", "shape (N, ...), N >= 1", tuple(examples.shape))
    expect_whole("num", num, 1)
    return examples[integers(len(examples), num, like=examples, generator=generator)]


def optimal_logits(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """The best discriminator's logits log p - log q on K points, (K,), where neither weight is 0.

    Args:
        real: p, (K,), weights of the examples, > 0, that add up to one.
        made: q, (K,), the generator's.

    Raises:
        ValueError: other shapes, weights that are not positive or do not add up to one.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.adversarial import optimal_logits
        >>> optimal_logits(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
        tensor([ 0.6931, -0.4055])
    """
    for name, weights in (("real", real), ("made", made)):
        expect_tensor(name, weights, "(K,)")
        expect(weights.ndim == 1 and len(weights) > 0, name, "shape (K,), K >= 1", tuple(weights.shape))
        expect_positive(name, weights)
        rounding = len(weights) * torch.finfo(weights.dtype).eps
        total = float(weights.sum())
        expect(abs(total - 1) <= rounding, name, "weights that add up to one", total)
    expect(made.shape == real.shape, "made", f"shape {tuple(real.shape)}", tuple(made.shape))
    expect_like("made", made, real)
    return real.log() - made.log()


def input_gradient_norms(discriminator: nn.Module, examples: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of the gradient of each example's logit with respect to the example, (B,).

    With spectral norm it has a bound that training cannot move; without, none.

    Args:
        discriminator: (B, ...) -> logits (B,) in which one example's knows no other.
        examples: (B, ...).

    Raises:
        ValueError: numbers that are not finite.
        TypeError: examples that are no tensor.

    Example:
        >>> import torch
        >>> from memprior.adversarial import input_gradient_norms
        >>> input_gradient_norms(lambda x: 2 * x.sum(1), torch.ones(3, 4))
        tensor([4., 4., 4.])
    """
    expect_tensor("examples", examples, "(B, ...)")
    expect_finite("examples", examples)
    points = examples.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(discriminator(points).sum(), points)
    return slope.flatten(1).norm(dim=1)


def weight_spectra(network: nn.Module) -> _Weights:
    """By layer, the singular values of its weight as the matrix (outputs, the rest), descending; of dense and
    convolutional layers, parametrized ones as they are used.

    Raises ``ValueError`` for a network without such layers.

    Example:
        >>> import torch
        >>> from memprior.adversarial import weight_spectra
        >>> layer = torch.nn.Linear(2, 2)
        >>> _ = layer.load_state_dict({"weight": torch.diag(torch.tensor([1.0, 3.0])), "bias": torch.zeros(2)})
        >>> weight_spectra(torch.nn.Sequential(layer))
        {'0': tensor([3., 1.])}
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    expect(layers, "network", "nn.Linear or nn.Conv2d layers", "none")
    with torch.no_grad():
        return {name: torch.linalg.svdvals(layer.weight.flatten(1)) for name, layer in layers.items()}


def _copied(weights: _Weights) -> _Weights:
    return {name: w.detach().clone() for name, w in weights.items()}


def _expect_game(generator_network: nn.Module, discriminator: nn.Module, examples) -> None:
    """Finite examples of which the discriminator gives logits, and outputs like them. Neither network is touched."""
    expect_tensor("examples", examples, "(N, ...)")
    expect(examples.ndim > 1 and len(examples) > 0, "examples", "shape (N, ...), N >= 1", tuple(examples.shape))
    expect_finite("examples", examples)
    latent = getattr(generator_network, "latent", None)
    expect(isinstance(latent, int) and latent >= 1, "generator_network", "an attribute latent, >= 1", latent)
    batch_norm, dropout = nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd
    for name, network in (("generator_network", generator_network), ("discriminator", discriminator)):
        expect(any(w.requires_grad for w in network.parameters()), name, "weights that ask for a gradient", "none")
        expect_like("examples", examples, next(network.parameters()))
        random = [layer for layer in network.modules() if isinstance(layer, dropout) and layer.training and layer.p > 0]
        expect(not random, name, "no active dropout: its randomness is not the generator's", random)
        coupled = [layer for layer in network.modules() if isinstance(layer, batch_norm)]
        expect(not coupled, name, "no normalization over the batch", coupled)
    with torch.no_grad():
        made = generator_network(examples.new_zeros(2, latent))
        shape = tuple(examples.shape[1:])
        expect(tuple(made.shape[1:]) == shape, "examples", f"the outputs' shape, (N, *{tuple(made.shape[1:])})", shape)
        logits = discriminator(made)
    expect(tuple(logits.shape) == (2,), "discriminator", "one logit of each, (2,)", tuple(logits.shape))
