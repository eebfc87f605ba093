"""python -m memprior.diagnose --models DIR --data FILE --operator module:function --noise-std S [--out DIR]."""

import argparse
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path

import torch

from memprior._random import generator_for
from memprior.diagnose.decide import Z
from memprior.diagnose.inputs import FORMATS, Models, expect_models, expect_scales, read_models, read_observed
from memprior.diagnose.page import diagnosis_as_dict, diagnosis_page
from memprior.diagnose.parts import look_up
from memprior.diagnose.run import Diagnosis, DiagnosisPlan, diagnose
from memprior.diagnose.simulators import expect_operator, load_operator
from memprior.operators import ForwardOperator
from memprior.report import BadInput, load_groups, show

COMMAND = "python -m memprior.diagnose"
_FEW = 16  # models that a hint tries in another unit


class _Progress:
    """Lines on stderr, at most one in two seconds, with what is left."""

    def __init__(self):
        self.part, self.began, self.last, self.start = "", 0.0, 0.0, 0

    def __call__(self, part: str, done: int, total: int) -> None:
        now = time.monotonic()
        if part != self.part:
            self.part, self.began, self.last, self.start = part, now, now, done
            if done:
                self._say(f"{part}: goes on from {done} of {total}" if done < total else f"{part}: {total}, kept")
        elif done == total or now - self.last > 2:
            self.last, spent = now, now - self.began
            left = spent / max(1, done - self.start) * (total - done)
            self._say(f"{part}: {done} of {total}, {spent:.0f} s" + (f", {left:.0f} s left" if done < total else ""))

    def _say(self, text: str) -> None:
        print(f"{COMMAND}: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The page on stdout, progress on stderr. 0 whatever the verdict; 2 and one line on stderr for bad input."""
    args = _parser().parse_args(arguments)
    said: set[str] = set()

    def say(message, *_, **__) -> None:
        if str(message) not in said:  # each truth that is left out would say it again
            said.add(str(message))
            print(f"{COMMAND}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = say
        return _run(args)


def _run(args) -> int:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it
    progress = _Progress()
    try:
        plan, forward, models, observed, others = _inputs(args)
        out = None if args.out is None else _folder(args.out)
        found = diagnose(
            models.points,
            forward,
            observed,
            args.noise_std,
            **others,
            plan=plan,
            derivative=not args.no_derivative,
            keep=None if out is None else out / "work",
            told=progress,
            places=models.places,
        )
        hints = hints_of(found, models, forward, observed)
        if out is not None:
            numbers = diagnosis_as_dict(found, models.places, hints)
            _write(out / "diagnosis.json", json.dumps(numbers, indent=1, allow_nan=False) + "\n")
            _draw(found, out / "diagnosis.png")
    except (BadInput, ValueError, TypeError, OSError) as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 2
    return show(diagnosis_page(found, models.places, hints))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="From a folder of models, an operator and data to a decision: look up, linearize, reweight, "
        "sample, bring more models, or refuse the data or the prior.",
        epilog="Ends with status 0 whatever the verdict, with 2 for bad input.",
    )
    need = parser.add_argument_group("what to bring")
    need.add_argument("--models", required=True, metavar="DIR", help=".npy or SEG-Y files of one model or many each")
    need.add_argument("--data", required=True, metavar="FILE", help="the data: .npy, flattened, or SEG-Y")
    need.add_argument(
        "--operator", required=True, metavar="MODULE:FUNCTION", help="a torch operator, or what makes one"
    )
    need.add_argument("--noise-std", required=True, type=float, metavar="S", help="of each real datum, in its unit")
    more = parser.add_argument_group("about them")
    more.add_argument("--numpy", action="store_true", help="the operator is a numpy function of one model")
    more.add_argument("--jacobian", metavar="MODULE:FUNCTION", help="its derivative, one model -> (m, d)")
    more.add_argument("--no-derivative", action="store_true", help="do without the linearized posterior")
    more.add_argument("--shape", metavar="H,W", type=_sizes, help="of one model, where files hold one each")
    more.add_argument("--format", choices=FORMATS, help="of the files of --models; else by their endings")
    more.add_argument("--window", metavar="TRACES,SAMPLES", type=_sizes, help="cuts SEG-Y sections into models")
    more.add_argument("--bounds", nargs=2, type=float, metavar=("LOW", "HIGH"), help="between which models must lie")
    more.add_argument("--groups", metavar="FILE", help=".npy, a label for each model: left out together")
    more.add_argument("--samples", metavar="DIR", help="of your trained prior, for the swap test")
    more.add_argument("--held-out", metavar="DIR", help="models that it was not trained on")
    more.add_argument(
        "--split",
        nargs=2,
        type=int,
        metavar=("NUMBER", "SEED"),
        help="or: of --models, these; it was trained on the rest",
    )
    for name in ("samples", "held-out"):
        more.add_argument(f"--{name}-format", choices=FORMATS, help=f"of the files of --{name}; else by their endings")
    sizes = parser.add_argument_group("sizes")
    default = DiagnosisPlan()
    for name in ("truths", "draws", "proposals"):
        sizes.add_argument(f"--{name}", type=int, default=getattr(default, f"num_{name}"))
    for name in ("level", "tolerance", "bandwidth"):
        sizes.add_argument(f"--{name}", type=float, default=getattr(default, name))
    for name in ("seed", "chunk"):
        sizes.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--out", type=Path, metavar="DIR", help="for diagnosis.json, diagnosis.png and unfinished work")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers above 0 with commas between them, got {text!r}")
    return sizes


def _inputs(args) -> tuple[DiagnosisPlan, ForwardOperator, Models, torch.Tensor, dict]:
    """All that comes, looked at before any long work: a few solves."""
    if not 0 < args.noise_std < math.inf:
        raise BadInput(f"noise_std: expected one number, finite and > 0, got {args.noise_std:g}")
    if args.held_out is not None and args.split is not None:
        raise BadInput("held_out: expected --held-out or --split, got both")
    if args.samples is None and (args.held_out is not None or args.split is not None):
        raise BadInput("samples: expected --samples beside held-out models, got none")
    plan = DiagnosisPlan(
        level=args.level,
        tolerance=args.tolerance,
        num_truths=args.truths,
        num_draws=args.draws,
        num_proposals=args.proposals,
        seed=args.seed,
        chunk=args.chunk,
        bandwidth=args.bandwidth,
    )
    forward = load_operator(args.operator, numpy=args.numpy, jacobian=args.jacobian)
    shape = args.shape or getattr(forward, "model_shape", None)
    models = read_models(args.models, shape=shape, form=args.format, window=args.window)

    def beside(name: str) -> torch.Tensor:
        form = getattr(args, f"{name}_format")
        return read_models(getattr(args, name), shape=models.shape, form=form, window=args.window, name=name).points

    others: dict = {"groups": None if args.groups is None else load_groups([args.groups, args.groups])[0]}
    if args.samples is not None:
        others["samples"] = beside("samples")
    if args.held_out is not None:
        others["held_out"] = beside("held_out")
    if args.split is not None:
        models, others["held_out"] = split_models(models, *args.split)
    if others["groups"] is not None and len(others["groups"]) != len(models.points):
        raise BadInput(f"groups: expected a label for each of {len(models.points)} models, got {len(others['groups'])}")
    expect_models(models, args.bounds or getattr(forward, "bounds", None))
    observed = read_observed(args.data)
    expect_scales(models.points.flatten(1), observed, args.noise_std, data="data")
    flat = models.points.flatten(1)
    ends = {0, 1, int(flat.amin(1).argmin()), int(flat.amax(1).argmax())}
    few = sorted(ends)
    try:
        expect_operator(
            forward,
            models.points[few],
            len(observed),
            derivative=not args.no_derivative,
            generator=generator_for("diagnose operator"),
        )
    except Exception as error:  # whatever a stranger's operator raises
        text = str(error)
        if text.startswith(("operator: ", "data: ", "forward: ")):
            raise BadInput(text) from error
        where = ", ".join(models.places[one] for one in few)
        hint = " (a numpy function of one model goes with --numpy)" if isinstance(error, TypeError) else ""
        raise BadInput(f"models: the operator refuses {where}: {type(error).__name__}: {text}{hint}") from error
    return plan, forward, models, observed, others


def split_models(models: Models, num: int, seed: int) -> tuple[Models, torch.Tensor]:
    """The models that were trained on, and ``num`` held-out ones (num, ...), drawn by a seed.

    Raises :class:`~memprior.report.BadInput` for fewer than 5 on either side.
    """
    total = len(models.points)
    if not 5 <= num <= total - 5:
        raise BadInput(f"split: expected 5 to {total - 5} held-out models of {total}, got {num}")
    order = torch.randperm(total, generator=generator_for(f"diagnose split {seed}"))
    held, rest = order[:num].sort().values, order[num:].sort().values
    return Models(models.points[rest], tuple(models.places[k] for k in rest.tolist())), models.points[held]


def hints_of(found: Diagnosis, models: Models, forward: ForwardOperator, observed: torch.Tensor) -> list[str]:
    """Where the data contradict the models: would a few of them fit better transposed, or in another unit?"""
    if found.decision.fit not in ("unexplained", "untested"):
        return []
    few = models.points[:_FEW]
    least = float(found.lookup.misfits.min())
    tries = {f"times {factor:g}": few * factor for factor in (1e-3, 1e3)}
    if few.ndim == 3 and few.shape[1] == few.shape[2]:
        tries["transposed"] = few.mT.contiguous()
    hints = []
    for words, tried in tries.items():
        try:
            with torch.no_grad():
                misfit = float(look_up(forward(tried), observed, found.noise_std).misfits.min())
        except Exception:  # the operator takes no such models, and a hint is worth no error
            continue
        if misfit < least / 2:
            hints.append(
                f"{words}, the best of {len(few)} models has a misfit per datum of {misfit:.4g}, not {least:.4g}"
            )
    sizes = found.predicted.square().mean(1).sqrt()
    ratio = float(observed.square().mean().sqrt()) / max(float(sizes.median()), 1e-300)
    if not 1 / 30 < ratio < 30:
        hints.append(
            f"the data are {ratio:.3g} times as large as what most models predict: another unit, or amplitude?"
        )
    return hints


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise BadInput(f"out: expected a folder, got the file {path}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)


def diagnosis_picture(found: Diagnosis):
    """The figure of a diagnosis."""
    from memprior.figures.diagnosis import diagnosis_figure

    swap = None if found.copies is None else found.copies.swap
    decision, importance = found.decision, found.importance
    words = {
        "fit": decision.fit,
        "linearization": decision.linearization,
        "copying": decision.copying,
        "coverage": "\n".join(f"{name}: {word}" for name, word in decision.coverage.items()),
    }
    needed = (Z / (2 * found.plan.tolerance)) ** 2 / found.plan.num_proposals
    return diagnosis_figure(
        found.lookup.misfits,
        found.lookup.noise_alone,
        {name: (one.value, one.low, one.high) for name, one in found.coverage.items()},
        found.plan.level,
        None if importance is None else min(importance.halves),
        needed,
        [] if swap is None else swap.null_log_ratios,
        None if swap is None else swap.log_ratio,
        words=words,
        title=f"{decision.verdict}: {decision.words.means}",
    )


def _draw(found: Diagnosis, file: Path) -> None:
    from memprior.figures.style import use

    use()
    diagnosis_picture(found).savefig(file, format="png")


if __name__ == "__main__":
    sys.exit(main())
