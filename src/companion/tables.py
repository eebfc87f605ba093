"""A small table that a page, a notebook and a terminal can all show, and that a full run leaves for its page."""

import html
import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """header: column names, none empty. rows: one list of texts each, as long as the header; else ``ValueError``."""

    header: list[str]
    rows: list[list[str]]

    def __post_init__(self):
        if not all(name.strip() for name in self.header):
            raise ValueError(f"header: expected a name for every column, got {self.header}")
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"rows: expected {len(self.header)} entries in each, got {len(row)} in {row}")

    def markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def __repr__(self):
        return self.markdown()

    def _repr_html_(self):
        head = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        table = f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return f'<div class="pst-scrollable-table-container">{table}</div>'


def write_table(folder: Path, name: str, table: Table, caption: str) -> None:
    """Write ``table-NAME.json``, which says what the table shows."""
    (folder / f"table-{name}.json").write_text(json.dumps({"caption": caption} | asdict(table), indent=1) + "\n")


def written_tables(folder: Path) -> dict[str, Path]:
    """Name -> file of each table that a run has left in its folder."""
    return {file.stem.removeprefix("table-"): file for file in sorted(folder.glob("table-*.json"))}


def written_table(file: Path, said: str = "Recorded full run") -> str:
    """A saved table as Markdown; its caption begins with ``said``."""
    saved = json.loads(file.read_text())
    caption = f"*{said}. {saved.pop('caption')}*"
    return f"{caption}\n\n{Table(**saved).markdown()}\n"
