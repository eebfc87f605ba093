"""python -m companion run NAME | part NAME PART | chapters | book | pdf | slides | open | recorded | keep NAME |
address URL | data NAME | course make, run or grade."""

import argparse
import json
import os
import sys
from pathlib import Path

from companion import address, book, datasets, environment, pages, paths, workflow
from companion.book import BuildError
from companion.claims import ClaimError
from companion.pages import PageError
from companion.profiles import SettingsError
from companion.results import RunError
from companion.run import run


def main(argv: list[str] | None = None) -> int:
    """0 when all went well; 1, with the culprit on stderr, when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m companion", description="The making of the book.")
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="execute one notebook by papermill and check its claims")
    runs.add_argument("name", help="the notebook, without .ipynb")
    runs.add_argument("--out", type=Path, help="destination folder; without it, below _build/run or _build/sweep")
    part = commands.add_parser("part", help="do one part of a chapter's long work, for the store")
    part.add_argument("name", help="the notebook, without .ipynb")
    part.add_argument("part", help="its name, as a run at profile full tells it")
    part.add_argument("--entry", help="what the store is to call it; refused where the code has changed since")
    for one in (runs, part):
        one.add_argument("--profile", default="quick", help="quick or full")
        one.add_argument("--seed", type=int, default=0)
        one.add_argument(
            "--overrides", default="{}", help="settings instead of the profile's, as JSON: '{\"num_draws\": 1000}'"
        )
    whole = commands.add_parser(
        "chapters", help="execute every chapter by Snakemake; those that are up to date are kept"
    )
    whole.add_argument("--profile", default="quick", help="quick or full")
    whole.add_argument("--cores", type=int, default=2, help="processor cores to use")
    commands.add_parser("book", help="build the site from the quick runs and check it")
    commands.add_parser("pdf", help="print the book from the quick runs by LaTeX, and check it")
    commands.add_parser("slides", help="make a deck of each chapter from the quick runs, and check it")
    commands.add_parser("open", help="print how much of each chapter's code stands open, and its words")
    commands.add_parser("recorded", help="check that every chapter's recorded full run is of this code")
    keep = commands.add_parser("keep", help="record a finished full run under data/recorded")
    keep.add_argument("name")
    moves = commands.add_parser("address", help="print the repository's address, or change it everywhere")
    moves.add_argument("url", nargs="?")
    data = commands.add_parser("data", help="list the optional data sets, or add one")
    data.add_argument("name", nargs="?")
    data.add_argument("--from", type=Path, dest="source", help="the wheel, or the folder of your own copy")
    course = commands.add_parser("course", help="editions for a course: make them, run and grade what comes back")
    course_commands = course.add_subparsers(dest="course_command", required=True)
    make = course_commands.add_parser("make", help="student, instructor and test editions")
    make.add_argument("--seed", type=int, required=True, help="draws the parameters of the graded exercises")
    make.add_argument("--chapters", required=True, help="their numbers: 03,05")
    make.add_argument("--out", type=Path, default=Path("course"))
    hand = course_commands.add_parser("run", help="execute what students handed in; best in a container")
    hand.add_argument("submissions", type=Path, help="holds a folder for each student")
    hand.add_argument("--limit", type=float, default=300.0, help="seconds for each cell")
    marks = course_commands.add_parser("grade", help="compare the numbers that were handed in; runs no student code")
    marks.add_argument("submissions", type=Path)
    marks.add_argument("--course", type=Path, default=Path("course"), help="what `course make` wrote")
    marks.add_argument("--out", type=Path, default=Path("feedback"))
    args = parser.parse_args(argv)
    try:
        if args.command == "data":  # which needs no checkout
            print(datasets.add(args.name, args.source) if args.name else datasets.listing())
            return 0
        root = paths.require_repository()
        if args.command == "run":
            run(args.name, args.profile, seed=args.seed, overrides=_json(args.overrides), out=args.out)
        elif args.command == "part":
            from companion import jobs, record  # which import torch

            with environment.of_run(root, {"COMPANION_STORE": str(root / "_build" / "store")}):
                run_record = record.begin(args.name, args.profile, args.seed, _json(args.overrides))
                jobs.run_part(run_record, args.part, args.entry)
        elif args.command == "chapters":
            return workflow.run_chapters(root, args.profile, args.cores)
        elif args.command == "book":
            with workflow.only_build(root), environment.of_run(root, {}):
                print(f"The book is ready: open {book.build(root)}")
        elif args.command in ("pdf", "slides"):
            from companion import printing, slides  # which need what the site does without

            with workflow.only_build(root), environment.of_run(root, {}):
                made = printing.print_book(root) if args.command == "pdf" else slides.make_slides(root)
                print(f"Ready: open {made}")
        elif args.command == "open":
            print(pages.open_code(root))
        elif args.command == "recorded":
            book.check_recorded(root)
        elif args.command == "course":
            _course(root, args)
        elif args.command == "keep":
            print(book.keep(root, args.name))
        else:
            print(*(address.change(root, args.url) if args.url else [address.address(root)]), sep="\n")
    except (BuildError, ClaimError, PageError, RunError, SettingsError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if workflow.RUNS_THIS not in os.environ:  # which says it once for all of its chapters
            print(f"stopped; {workflow.KEPT}", file=sys.stderr)
        return workflow.STOPPED
    return 0


def _course(root: Path, args: argparse.Namespace) -> None:
    from companion.course.execution import SubmissionError, run_submissions

    if args.course_command == "run":  # where the references may not even be installed
        try:
            return run_submissions(args.submissions, limit_s=args.limit)
        except SubmissionError as error:
            raise RunError(str(error)) from None
    from companion.course import kit, leaks  # which import torch

    try:
        if args.course_command == "make":
            numbers = tuple(number.strip() for number in args.chapters.split(","))
            with workflow.only_build(root), environment.of_run(root, {}):
                print(f"The course is ready: {kit.make_course(root, args.seed, numbers, args.out)}")
        else:
            print(kit.grade_course(args.submissions, args.course, args.out))
    except (kit.CourseError, leaks.LeakError, SubmissionError) as error:
        raise RunError(str(error)) from None


def _json(text: str):
    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise SettingsError(f"overrides: expected JSON, got {text!r}: {error}") from None


def _once(pairs: list[tuple]) -> dict:
    """JSON takes the last of two equal keys without a word."""
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError(f"expected each setting once, got {', '.join(key for key, _ in pairs)}")
    return values


if __name__ == "__main__":
    sys.exit(main())
