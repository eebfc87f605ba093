"""Pictures of a recorded run: the PNG itself says what it shows, so that it cannot be parted from its words."""

from pathlib import Path

from PIL import Image


def shown(folder: Path) -> list[Path]:
    """The pictures in a run's folder that have a text (``record.picture`` with alt and caption), by name."""
    return [file for file in sorted(folder.glob("*.png")) if "Description" in _texts(file)]


def figure(picture: Path, chapter: str, said: str = "Recorded full run") -> str:
    """A recorded picture as a figure of its chapter's page; its caption begins with ``said``."""
    texts = _texts(picture)
    head = f"```{{figure}} ../book/_run/{chapter}/recorded/{picture.name}\n:alt: {texts['Description']}\n"
    return f"{head}:name: recorded-{chapter}-{picture.stem}\n\n{said}. {texts['Title']}\n```\n\n"


def _texts(picture: Path) -> dict:
    with Image.open(picture) as opened:
        return opened.info
