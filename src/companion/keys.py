"""The content key of a run: everything that can change what a notebook finds, and nothing else.

The key covers the notebook's cells (at profile full, its code), the modules of ours that it takes names from
(transitively, without docstrings, comments and formatting: see :mod:`companion.code`), its sizes, the pins of the
packages that these import and, at profile quick, the bounds of its claims and the recorded weights that it may start
from. It stands in a file that is rewritten only when it changes: that file is the input of the Snakemake rule, so
editing one helper, or pinning a package for one chapter, re-executes its dependents and nothing else. A bound changes
nothing that a full run found: to keep, build or release is to hold its values against the bounds of today.
"""

import hashlib
import json
import re
from pathlib import Path

from companion import claims, code, profiles, weights
from companion.sources import read_notebook

# Where a package has another name.
IMPORTED_AS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
SHOWN = ("tags", "mystnb")  # of a cell's metadata: what the page looks at; the rest is an editor's own
CHECKED = ("id", "expected", "tolerance", "at_most", "at_least")  # of a claim; the rest is prose


def content_key(root: Path, name: str, profile: str) -> dict:
    """{"key": sha256, "work": sha256, "parts": {what: sha256}} of notebook ``name`` at ``profile``.

    key: of all that its page or its record shows. work: of its code and its sizes alone, which can change what it
    computes, without what draws and keeps it. Raises :class:`~companion.sources.SourceError` naming the notebook,
    module or YAML file that cannot be read.
    """
    notebook = read_notebook(root / "notebooks" / f"{name}.ipynb")
    program = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    # The page is made from the quick run's copy, prose and all; of a full run only the results are kept.
    cells = [
        [cell.cell_type, cell.source, {key: cell.metadata[key] for key in SHOWN if key in cell.metadata}]
        for cell in notebook.cells
    ]
    listed = claims.of_chapter(root / "data" / "claims", name).values() if profile == "quick" else ()
    checked = [{key: getattr(claim, key) for key in CHECKED} for claim in listed if profile in claim.profiles]
    sizes = profiles.sizes_of(root / "notebooks" / "profiles.yml", name)[profile]
    files = code.closure(root, program, f"{name}.ipynb")
    sources = [program, *(file.read_text() for file in files)]
    parts = {
        "notebook": json.dumps(cells, sort_keys=True) if profile == "quick" else "",
        "program": code.syntax(program),
        "sizes": json.dumps(sizes, sort_keys=True),
        "claims": json.dumps(checked, sort_keys=True),
        "constraints": pins((root / "constraints.txt").read_text(), sources),
        **{str(file.relative_to(root)): code.syntax(file.read_text()) for file in files},
    }
    for file in weights.written_weights(root / "data" / "recorded" / name) if profile == "quick" else ():
        parts[f"recorded {file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    digests = {what: hashlib.sha256(text.encode()).hexdigest() for what, text in sorted(parts.items())}
    drawn = {what for what in digests if what.startswith("src/companion/") or "figures" in what}
    work = {what: digest for what, digest in digests.items() if what not in {"notebook", "claims"} | drawn}
    key, work = (hashlib.sha256(json.dumps(told).encode()).hexdigest() for told in (digests, work))
    return {"key": key, "work": work, "parts": digests}


def pins(constraints: str, sources: list[str]) -> str:
    """The lines of ``constraints`` that pin a package which one of ``sources`` imports itself."""
    tops = {module.split(".")[0] for source in sources for module, *_ in code.imported_names(source)}
    wanted = {IMPORTED_AS.get(top, top).lower().replace("_", "-") for top in tops}
    return "\n".join(line for line in constraints.splitlines() if re.split(r"[=<>~ ;\[]", line)[0].lower() in wanted)


def write_key(root: Path, name: str, profile: str) -> Path:
    """The key as a file under _build/keys, touched only when it changes."""
    file = root / "_build" / "keys" / profile / f"{name}.json"
    text = json.dumps(content_key(root, name, profile), indent=1) + "\n"
    if not file.is_file() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return file
