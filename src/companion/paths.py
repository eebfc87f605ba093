"""Where things are: the repository when there is one, the copies shipped with the package when there is not."""

import os
from importlib import resources
from pathlib import Path


def repository() -> Path | None:
    """The checkout this code belongs to, or None (Colab, an installed wheel).

    ``COMPANION_ROOT`` overrides it, for tests. Raises ``FileNotFoundError`` in another checkout: a copy whose
    environment still leads to the original would build the original.
    """
    if root := os.environ.get("COMPANION_ROOT"):
        return Path(root)
    root, here = Path(__file__).resolve().parents[2], Path.cwd()
    if not _is_checkout(root):
        return None
    if other := next((folder for folder in (here, *here.parents) if _is_checkout(folder) and folder != root), None):
        raise FileNotFoundError(
            f"companion: expected to be installed from this checkout, {other}, got the one in {root}: "
            f"`make` here installs anew, as does `pip install --editable '{other}[book,test]'`"
        )
    return root


def _is_checkout(folder: Path) -> bool:
    return all((folder / part).is_file() for part in ("notebooks/profiles.yml", "src/companion/paths.py"))


def require_repository() -> Path:
    """The checkout; ``FileNotFoundError`` where there is none."""
    root = repository()
    if root is None:
        raise FileNotFoundError(
            "this command works in a checkout of the book: expected notebooks/profiles.yml beside src/, found none"
        )
    return root


def package(name: str) -> str:
    """The module of a chapter's own code: a name of Python cannot begin with the notebook's number."""
    return f"chapters.ch{name}" if name[:1].isdigit() else f"chapters.{name}"


def shipped(name: str) -> Path:
    """profiles.yml, or the folder claims or recorded: the repository's own, else the one in the package."""
    folder = {"profiles.yml": "notebooks", "claims": "data", "recorded": "data"}[name]
    root = repository()
    return root / folder / name if root else Path(str(resources.files("companion") / "_data" / name))
