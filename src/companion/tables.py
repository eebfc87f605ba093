"""A small table that a page, a notebook and a terminal can all show."""

import html
from dataclasses import dataclass


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
