"""The API pages: one a module, from its docstrings by Sphinx's autodoc, with the source of each name beside it.

The list of modules stands here and nowhere else; files on disk say what it holds, so a new module has a page.
"""

import ast
import importlib
import inspect
import pkgutil
from itertools import chain
from pathlib import Path
from types import ModuleType

PAGES = "book/api"  # of the stage; _toc.yml takes all that lies there
_WAVES = ("memprior.geology", "memprior.operators", "memprior.waves")  # the second wing; what is left is the first
TOGETHER = ("memprior.report", "memprior.figures", "memprior.paper")  # what stands on both wings
# Chapters call these.
NOTEBOOK = tuple(f"companion.{name}" for name in ("datasets", "frames", "jobs", "record", "store", "tables"))
GROUPS = ("Priors and posteriors", "Waves", "On both wings", "The making of the book")


def modules(root: Path) -> dict[str, list[str]]:
    """Public modules by group; one whose name, or whose package's, begins with an underscore is nobody's to call."""
    groups = {group: [] for group in GROUPS}
    for name in [*_modules_of(root, "memprior"), *NOTEBOOK]:
        groups[_group(name)].append(name)
    return groups


def _modules_of(root: Path, package: str) -> list[str]:
    files = (root / "src" / package).rglob("*.py")
    parts = [file.relative_to(root / "src").with_suffix("").parts for file in files]
    names = [part[:-1] if part[-1] == "__init__" else part for part in parts]
    return sorted(".".join(name) for name in names if not any(part.startswith("_") for part in name))


def _group(name: str) -> str:
    inside = [any(f"{name}.".startswith(f"{package}.") for package in some) for some in (_WAVES, TOGETHER, NOTEBOOK)]
    return GROUPS[inside.index(True) + 1 if any(inside) else 0]


def write_pages(root: Path, stage: Path) -> None:
    """A page for each module."""
    for name in chain(*modules(root).values()):
        page = stage / PAGES / f"{name.replace('.', '/')}.rst"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(module_page(name))


def module_page(name: str) -> str:
    """The module's docstring and those of its names; of a front door also the names that it passes on."""
    title = name.removeprefix("memprior.")
    page = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n"
    if passed := passed_on(importlib.import_module(name)):
        rows = "".join(f"   ~{defined}\n" for defined in passed)
        page += f"\n.. py:currentmodule:: None\n.. rubric:: Names to import from here\n.. autosummary::\n\n{rows}"
    return page


def passed_on(module: ModuleType) -> list[str]:
    """Where the functions and classes in a module's ``__all__`` are defined, unless that is here."""
    things = [getattr(module, name) for name in getattr(module, "__all__", ())]
    return [f"{thing.__module__}.{thing.__qualname__}" for thing in things if _is_code(thing, but_of=module.__name__)]


def _is_code(thing, but_of: str) -> bool:
    return hasattr(thing, "__qualname__") and thing.__module__ != but_of


def index(root: Path) -> str:
    """Every module, by group, with the first sentence of its docstring."""
    parts = []
    for group, names in modules(root).items():
        rows = "\n".join(f"{{py:mod}}`{name}`\n: {_summary(root, name)}\n" for name in names)
        parts.append(f"## {group}\n\n{rows}")
    return "\n\n".join(parts)


def file_of(root: Path, name: str) -> Path:
    """The file of a module, or of a package's front door."""
    path = root / "src" / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _summary(root: Path, name: str) -> str:
    docstring = ast.get_docstring(ast.parse(file_of(root, name).read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("``", "`")


def resolve(dotted: str) -> str | None:
    """The full name under which a function, class or method is defined; None for what does not exist."""
    thing = _found(dotted)
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else None


def source(dotted: str) -> str:
    """The lines of a function or class, its docstring and decorators among them."""
    return inspect.getsource(_found(dotted)).rstrip()


def _found(dotted: str):
    try:
        return pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return None
