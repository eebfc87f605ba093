"""Random numbers are drawn on their generator's device, by one module, and moved to where they are used."""

import ast
from pathlib import Path

import pytest
import torch

from memprior import _random
from memprior.networks import ResidualMLP, VariationalAutoencoder

SOURCE = Path(_random.__file__).parents[1]
# Whatever torch can draw with. A call of one of these with a generator works on that generator's device alone.
DRAWS = {name for name in dir(torch) if name.startswith("rand")} | {"multinomial", "normal", "bernoulli", "poisson"}
DRAWS |= {"normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "geometric_", "log_normal_", "trunc_normal_"}
DRAWS -= {"random"}  # torch.random, the module


def calls_of(file):
    """File, line and function of each call that may draw."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DRAWS:
            yield f"{file.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node.func)}"


FAMILIES = "chapters/ch01_maximum_likelihood/families.py:"


def test_random_is_the_only_module_that_draws():
    found = [
        call
        for name in ("memprior", "chapters")
        for file in sorted((SOURCE / name).rglob("*.py"))
        for call in calls_of(file)
    ]
    # An integer for another library's own seed is not moved anywhere; an order is indices, and torch.randperm refuses a
    # generator of another device.
    elsewhere = [call for call in found if not call.startswith(("memprior/_random.py:", FAMILIES))]
    assert [call for call in elsewhere if not call.endswith(" torch.randperm")] == []
    assert len([call for call in found if call.startswith(FAMILIES)]) == 1


def seeded():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_draws_are_torchs_own_in_the_requested_dtype(dtype):
    like = torch.zeros(1, dtype=dtype)
    for own, theirs in (
        (_random.normal(20, 3, like=like, generator=seeded()), torch.randn(20, 3, dtype=dtype, generator=seeded())),
        (_random.uniform(20, 3, like=like, generator=seeded()), torch.rand(20, 3, dtype=dtype, generator=seeded())),
        (_random.integers(9, 20, 3, like=like, generator=seeded()), torch.randint(9, (20, 3), generator=seeded())),
    ):
        assert own.dtype == theirs.dtype
        assert torch.equal(own, theirs)
    assert _random.normal(2, like=like, generator=seeded(), dtype=torch.float16).dtype == torch.float16


def test_choices_are_torchs_multinomial():
    weights = torch.arange(1.0, 7.0).view(2, 3)
    for replacement, num in ((True, 9), (False, 2)):
        own = _random.choices(weights, num, generator=seeded(), replacement=replacement)
        assert torch.equal(own, torch.multinomial(weights, num, replacement, generator=seeded()))


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: _random.normal(2, like=torch.zeros(1), generator=g),
        lambda g: _random.integers(5, 2, like=torch.zeros(1), generator=g),
        lambda g: _random.choices(torch.ones(3), 2, generator=g),
        lambda g: _random.float64_on(None, g),
    ],
)
def test_random_refuses_a_missing_generator_by_name(draw):
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator, got NoneType"):
        draw(None)


def test_float64_on_uses_the_requested_device_or_the_generators():
    assert _random.float64_on("meta", seeded()).device.type == "meta"
    assert _random.float64_on(None, seeded()).device.type == "cpu"


def test_network_weights_are_the_same_on_every_device():
    """Initialized on the generator's device, then moved: nothing is drawn on the device itself."""
    for network, size in (
        (ResidualMLP(3, 4, 1, generator=seeded(), device="meta"), 3),
        (VariationalAutoencoder(3, 2, 4, 0.1, generator=seeded(), device="meta"), 3),
    ):
        assert {w.device.type for w in [*network.parameters(), *network.buffers()]} == {"meta"}
        assert network.size == size
