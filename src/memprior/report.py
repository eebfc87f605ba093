"""python -m memprior.report SAMPLES TRAIN [HELD_OUT] [--groups TRAIN HELD_OUT]: are samples copies of a training set?

The command line of :func:`memprior.memorization.nearness.report`, for arrays in .npy files; the one module that
prints. Memory: twice the arrays in float64, and some 1.3 GB.
"""

import argparse
import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from memprior.memorization import CHECK_LEVEL, COPY_GAP, COPY_LEVEL, PAPER_RATIO, Nearness, Report, SwapTest, report

NAMES = {"samples": "samples", "held_out": "held-out", "leave_one_out": "left-out"}
PROG = "python -m memprior.report"
_WIDTH = 100
LONG = 2e11
PICTURES = (".png", ".pdf", ".svg")


class BadInput(Exception):
    """What is wrong with an input, in one line.

    Example:
        >>> raise BadInput("samples.npy: expected an array (num, ...) of numbers, got a file that is none")
        Traceback (most recent call last):
        memprior.report.BadInput: samples.npy: expected an array (num, ...) of numbers, got a file that is none
    """


def _load(name: str, path: str) -> np.ndarray:
    """The one array of a .npy file."""
    with open(path, "rb") as file:
        # numpy takes every file that does not begin as its own for pickled objects, and says so.
        if file.read(6) != b"\x93NUMPY":
            raise BadInput(f"{name}: {path} is not an .npy file, as numpy.save writes one array")
        file.seek(0)
        given = np.load(file, allow_pickle=False)
        if file.read(1):
            raise BadInput(f"{name}: {path} holds more than one array, as numpy.save writes into an open file")
    return given


def load_points(name: str, path: str) -> torch.Tensor:
    """The array of a .npy file, (n, ...), in float64.

    Raises :class:`BadInput` for a file that is missing, unreadable, not an .npy, pickled or of several arrays, for an
    array that has no rows of numbers, is complex or not of numbers, and for numbers that are not finite or that float64
    rounds.
    """
    try:
        given = _load(name, path)
        kind = given.dtype.kind
        if kind == "c":
            raise BadInput(f"{name}: expected real numbers, got {given.dtype}; stack real and imaginary parts")
        if kind not in "fiub":
            raise BadInput(f"{name}: expected an array of numbers, got dtype {given.dtype}")
        if given.ndim < 2 or given.size == 0:
            hint = "; one number a point is shape (n, 1)" if given.ndim == 1 else ""
            raise BadInput(f"{name}: expected shape (n, ...), n points of one or more numbers, got {given.shape}{hint}")
        if kind in "iu" and max(int(given.max()), -int(given.min())) > 2**53:
            raise BadInput(f"{name}: expected whole numbers within 2^53, which float64 does not round, got larger ones")
        with np.errstate(over="ignore"):  # of long doubles
            array = np.ascontiguousarray(given, dtype=np.float64)
    except (OSError, EOFError, ValueError, MemoryError) as error:
        raise _unreadable(name, path, error) from None
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(index) for index in bad[0])
        rows = len(np.unique(bad[:, 0]))
        raise BadInput(
            f"{name}: {len(bad)} of {array.size} numbers are NaN or infinite, in {rows} of {len(array)} points, "
            f"first at index {where}"
        )
    return torch.from_numpy(array)


def _unreadable(name: str, path: str, error: Exception) -> BadInput:
    if isinstance(error, FileNotFoundError):
        return BadInput(f"{name}: there is no file {path}")
    text = str(error)
    why = "it holds pickled objects, which may run code" if "pickle" in text else text.split("\n")[0]
    return BadInput(f"{name}: {path} cannot be read ({why})")


def load_groups(paths: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels of training and of held-out models, whole numbers or words, (n,) each, as numbers that both share."""
    given = []
    for name, path in zip(("groups of TRAIN", "groups of HELD_OUT"), paths, strict=True):
        try:
            labels = _load(name, path)
        except (OSError, EOFError, ValueError, MemoryError) as error:
            raise _unreadable(name, path, error) from None
        if labels.ndim != 1 or labels.dtype.kind not in "iuU":
            raise BadInput(f"{name}: expected whole numbers or words (n,), got {labels.dtype} {labels.shape}")
        given.append(labels)
    if (given[0].dtype.kind == "U") != (given[1].dtype.kind == "U"):
        raise BadInput("groups: expected whole numbers on both sides or words on both, got one of each")
    numbers = np.unique(np.concatenate(given), return_inverse=True)[1]
    train, held_out = torch.from_numpy(numbers).split([len(labels) for labels in given])
    return train, held_out


def _measure(samples: str, train: str, held_out: str | None, groups: list[str] | None) -> tuple[Report, int]:
    """The report on .npy files, and d. Raises :class:`BadInput`, also where points differ in their axes."""
    given = {"SAMPLES": samples, "TRAIN": train} | ({} if held_out is None else {"HELD_OUT": held_out})
    arrays = {name: load_points(name, path) for name, path in given.items()}
    # Axes of one element are the only ones that cannot be mistaken: flattened, the others would be compared askew.
    axes = {name: tuple(size for size in array.shape[1:] if size > 1) for name, array in arrays.items()}
    for name, array in arrays.items():
        if axes[name] != axes["TRAIN"]:
            raise BadInput(
                f"{name}: expected points of shape {tuple(arrays['TRAIN'].shape[1:])}, as TRAIN has them, got "
                f"{tuple(array.shape[1:])}; the axes must be the same, in the same order"
            )
    points = {name: array.flatten(1) for name, array in arrays.items()}
    size, others = points["TRAIN"].shape[1], len(points.get("HELD_OUT", points["TRAIN"]))
    products = size * len(points["TRAIN"]) * (len(points["SAMPLES"]) + others)
    try:
        labels = None if groups is None else load_groups(groups)
        with _progress(products):
            return report(points["SAMPLES"], points["TRAIN"], points.get("HELD_OUT"), groups=labels), size
    except ValueError as error:
        words = str(error)
        for ours, theirs in (("held_out", "HELD_OUT"), ("train_set", "TRAIN"), ("samples:", "SAMPLES:")):
            words = words.replace(ours, theirs)
        raise BadInput(words) from None
    except (MemoryError, RuntimeError) as error:  # torch has no class of its own for it
        if "memory" not in str(error):
            raise
        raise BadInput("TRAIN: expected arrays that fit the memory, got more; thin the examples") from None


@contextmanager
def _progress(products: int) -> Iterator[None]:
    """Lines on stderr on how far the report is, where it takes long."""
    if products <= LONG:
        yield
        return
    print(f"{PROG}: {products:.0e} products to take, a minute or two for 1e12 of them", file=sys.stderr, flush=True)
    log, shown = logging.getLogger("memprior.memorization"), logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter(f"{PROG}: %(message)s"))
    level = log.level
    log.addHandler(shown)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(shown)
        log.setLevel(level)


def sets(result: Report) -> dict[str, Nearness]:
    """The sets of points of a report by the names of its fields, without held-out draws where there are none."""
    every = {name: getattr(result, name) for name in NAMES}
    return {name: near for name, near in every.items() if near is not None}


def _number(value: float) -> str:
    return f"{value:.4g}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def table(result: Report) -> str:
    """Two aligned tables, the sets of points and the swap test; each line says what it means."""
    null = "held-out draws" if result.held_out is not None else "left-out examples"
    rows = {
        "number of points": lambda near: str(len(near.ratios)),
        "repeats of a training example, but for rounding": lambda near: str(int(near.repeats.sum())),
        "d1, distance to the nearest training example, median": lambda near: _number(float(near.distances.median())),
        "d1/d2, nearest over second nearest, median": lambda near: _number(float(near.gaps.median())),
        "  share with d1/d2 < 1/3: copies": lambda near: _share(near.share_copied),
        "r = d1 / mean(d2..dk), small beside one example, median": lambda near: _number(float(near.ratios.median())),
        f'  share with r < {PAPER_RATIO:g}, "memorized" in the paper': lambda near: _share(near.share_below),
        f"  share with r < {result.threshold:.3f}, as 5% of the {null}": lambda near: _share(
            (near.ratios < result.threshold).double().mean().item()
        ),
    }
    shown, label = sets(result), max(map(len, rows))
    lines = [" " * label + "".join(f"{NAMES[name]:>11}" for name in shown)]
    lines += [
        f"{text:<{label}}" + "".join(f"{value(near):>11}" for near in shown.values()) for text, value in rows.items()
    ]
    if result.swap is None:
        return "\n".join(lines)
    lines += ["", f"swap test: labels of training and held-out models exchanged {len(result.swap.null_shares)} times"]
    lines += [f"{text:<{label}}{value:>22}" for text, value in _swap_rows(result.swap).items()]
    return "\n".join(lines)


def _swap_rows(swap: SwapTest) -> dict[str, str]:
    def ends(interval: tuple[float, float]) -> str:
        return f"{interval[0]:.1%} to {interval[1]:.1%}"

    return {
        "share of samples nearer to a training model, ties half": _share(swap.share),
        "  95% over independent samples": ends(swap.share_interval),
        "  central 95% by labels alone": ends(swap.null_interval),
        "  p, one-sided": f"{swap.p_share:.2g}",
        "mean log of distance to held-out over training models": _number(swap.log_ratio),
        f"  p, one-sided: it decides, below {COPY_LEVEL:g}": f"{swap.p:.2g}",
        f"  p of the other side, below {CHECK_LEVEL:g}": f"{swap.p_held_out:.2g}",
        "models or groups exchanged, training and held-out": " and ".join(map(str, swap.num_groups)),
    }


def notes(result: Report, size: int) -> list[str]:
    """What a reader must know beside the numbers, a sentence or two each."""
    nearest, times = result.samples.neighbors.indices[:, 0].unique(return_counts=True)
    most = int(times.argmax())
    lines = [
        f"Distances are Euclidean over all {size} numbers of a point, d1 to dk to k = {result.k} training "
        f"examples. Example {int(nearest[most])}, counted from 0, is the nearest to the most samples: to "
        f"{int(times[most])} of {len(result.ratios)}.",
        "The swap test holds for samples of any distribution, dependent or narrow as those of a posterior, if they "
        "were made without using which models are held out, and if training and held-out models are independent draws "
        "of one distribution: patches of one survey are exchanged as --groups.",
        "Coordinates must not be standardized by the training set alone, which is nearer in them: scale by all models.",
        "It cannot see copies of one model, and one posterior says little: give samples of many truths together.",
    ]
    if result.held_out is None:
        lines[1:] = [
            "No held-out models were given, so no exact test is possible: each training example beside the others "
            "stands in for them, and narrow samples cannot be told from copies."
        ]
    if result.num_repeated:
        lines.insert(1, f"{result.num_repeated} training examples repeat an earlier one and count once.")
    return lines


def as_dict(result: Report, size: int) -> dict:
    """The report as plain numbers, for JSON; without held-out models there is no swap test."""
    swap = result.swap
    return {
        "finding": result.finding,
        "verdict": result.verdict,
        "p_copying": result.p_copying,
        "swap": None
        if swap is None
        else {
            "share": swap.share,
            "share_interval": swap.share_interval,
            "share_by_labels_alone": swap.null_interval,
            "p_share": swap.p_share,
            "log_ratio": swap.log_ratio,
            "p": swap.p,
            "p_held_out": swap.p_held_out,
            "num_labelings": len(swap.null_shares),
            "num_groups": swap.num_groups,
            "floor": swap.floor,
        },
        "k": result.k,
        "d": size,
        "num_repeated": result.num_repeated,
        "r_with_5_percent_of_the_null_below": result.threshold,
        "sets": {
            name: {
                "num": len(near.ratios),
                "repeats": int(near.repeats.sum()),
                "share_r_below_0.7": near.share_below,
                "share_d1_over_d2_below_1/3": near.share_copied,
                "nearest": near.neighbors.indices[:, 0].tolist(),
                "d1": near.distances.tolist(),
                "d1_over_d2": near.gaps.tolist(),
                "r": near.ratios.tolist(),
            }
            for name, near in sets(result).items()
        },
    }


def _draw(result: Report, path: Path) -> None:
    """The picture of the report, as a file."""
    # Imported only here: without --picture no drawing is loaded.
    from memprior.figures.report import STYLES, report_figure
    from memprior.figures.style import use

    use()
    named = {name: getattr(result, field) for name, field in zip(STYLES, NAMES, strict=True)}
    shown = {name: near for name, near in named.items() if near is not None}
    ratios, distances, gaps = (
        {name: getattr(near, field) for name, near in shown.items()} for field in ("ratios", "distances", "gaps")
    )
    figure = report_figure(ratios, distances, gaps, threshold=PAPER_RATIO, gap=COPY_GAP, title=result.verdict)
    figure.savefig(path, format=path.suffix[1:].lower())


def expect_place(path: Path, inputs: list[str]) -> None:
    """Raise :class:`BadInput` where ``path`` cannot be written, or is one of the ``inputs``."""
    if not path.parent.is_dir():
        raise BadInput(f"{path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadInput(f"{path}: expected a file that can be written, got {'a folder' if path.is_dir() else 'none'}")
    if path.resolve() in (Path(one).resolve() for one in inputs):
        raise BadInput(f"{path}: expected a file of its own, got one that is read or written already")


def show(text: str) -> int:
    """Print ``text``. 0 also where its reader has had enough; 2 and one line on stderr where it cannot be written."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would be tried again, and told, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"{PROG}: {error}", file=sys.stderr)
            return 2
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Print the report, the verdict last. 0 whatever the verdict; 2 and one line on stderr for bad input."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Are samples copies of a training set? Each file is an .npy array of shape (n, ...): n points, "
        "all in the same axes and units.",
        epilog="Ends with status 0 whatever the verdict, with 2 for bad input.",
    )
    parser.add_argument("samples", metavar="SAMPLES", help="points made by the model, at least 5")
    parser.add_argument("train", metavar="TRAIN", help="the training set")
    parser.add_argument(
        "held_out",
        metavar="HELD_OUT",
        nargs="?",
        default="-",
        help="at least 5 draws of the true distribution that were not trained on; - or none: each training example "
        "beside the others instead, which is no test and takes longer",
    )
    parser.add_argument(
        "--groups",
        nargs=2,
        metavar=("FILE_TRAIN", "FILE_HELD"),
        help="a label for each training and each held-out model, .npy arrays (n,): models of one label, as patches of "
        "one survey, are exchanged together",
    )
    parser.add_argument("--picture", metavar="FILE.png", type=Path, help="also draw the report")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all numbers")
    args = parser.parse_args(arguments)
    held_out = None if args.held_out == "-" else args.held_out
    try:
        if args.groups is not None and held_out is None:
            raise BadInput("--groups: expected HELD_OUT beside them, got none")
        taken = [args.samples, args.train, *(args.groups or [])] + [held_out] * (held_out is not None)
        for path in (args.picture, args.json):
            if path is not None:
                expect_place(path, taken)
                taken.append(path)
        if args.picture is not None and args.picture.suffix.lower() not in PICTURES:
            raise BadInput(f"{args.picture}: expected the ending of a picture, {', '.join(PICTURES)}")
        result, size = _measure(args.samples, args.train, held_out, args.groups)
        if args.json is not None:
            args.json.write_text(json.dumps(as_dict(result, size), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if args.picture is not None:
            _draw(result, args.picture)
    except (BadInput, OSError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    wrapped = [textwrap.fill(note, _WIDTH, subsequent_indent="  ", initial_indent="- ") for note in notes(result, size)]
    return show(
        "\n".join([table(result), "", *wrapped, "", textwrap.fill(result.verdict, _WIDTH, break_on_hyphens=False)])
    )


if __name__ == "__main__":
    sys.exit(main())
