"""Where things are: the repository when there is one, the copies shipped with the package when there is not."""

import os
from functools import cache
from importlib import resources
from pathlib import Path

import yaml


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


def read_yaml(file: Path):
    """What a YAML file of ours holds; ``ValueError`` naming file and line where it is none, or has a key twice.

    A file is parsed once: whoever reads it changes nothing in what comes back.
    """
    try:
        return _parsed(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f"{file}: expected YAML, got {' '.join(str(error).split())}") from None


@cache
def _parsed(text: str):
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.MarkedYAMLError(problem=f"the key {min(twice)} twice", problem_mark=node.start_mark)
        return node
