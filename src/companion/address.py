"""The repository's address: it stands in _config.yml, and the few files that must repeat it are written from there."""

import re
from pathlib import Path

import yaml

CLONED_FROM = "book/how_to_read.md", "book/teach.md"
REPEATED = "pyproject.toml", "CITATION.cff", "README.md", *CLONED_FROM, "notebooks/*.ipynb"


def address(root: Path) -> str:
    return yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]


def elsewhere(root: Path) -> list[str]:
    """Files that should repeat the address and do not."""
    return [str(file.relative_to(root)) for file in _files(root) if address(root) not in file.read_text()]


def change(root: Path, new: str) -> list[Path]:
    """Write another address everywhere; returns the files changed.

    Raises ``ValueError`` unless it is https://HOST/OWNER/NAME.
    """
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", new) or new.endswith(".git"):
        raise ValueError(f"address: expected https://HOST/OWNER/NAME without .git, got {new!r}")
    old, changed = address(root), []
    for file in [root / "_config.yml", *_files(root)]:
        text = file.read_text()
        if old in text:
            file.write_text(text.replace(old, new))
            changed.append(file)
    return changed


def _files(root: Path) -> list[Path]:
    return sorted(file for pattern in REPEATED for file in root.glob(pattern))
