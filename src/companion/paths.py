"""Where things are: the repository when there is one, the copies shipped with the package when there is not."""

import os
from importlib import resources
from pathlib import Path


def repository() -> Path | None:
    """The checkout this code belongs to, or None (Colab, an installed wheel).

    ``COMPANION_ROOT`` overrides it, for tests.
    """
    if root := os.environ.get("COMPANION_ROOT"):
        return Path(root)
    root = Path(__file__).resolve().parents[2]
    return root if (root / "notebooks" / "profiles.yml").is_file() else None


def require_repository() -> Path:
    """The checkout; ``FileNotFoundError`` where there is none."""
    root = repository()
    if root is None:
        raise FileNotFoundError(
            "this command works in a checkout of the book: expected notebooks/profiles.yml beside src/, found none"
        )
    return root


def shipped(name: str) -> Path:
    """profiles.yml or claims.yml: the repository's own, else the one in the package."""
    folder = {"profiles.yml": "notebooks", "claims.yml": "data"}[name]
    root = repository()
    return root / folder / name if root else Path(str(resources.files("companion") / "_data" / name))
