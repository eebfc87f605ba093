"""What surrounds a run. Nothing of a person's shell or home reaches a published page.

A backend or a matplotlibrc of one's own, a start-up script of IPython, another kernel called python3, a variable that
makes a library talk: each changes figures or output, and none of them is in the content key.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# PYTHONPATH stays: whoever calls companion by it means it. What remains of a family below is set by us.
DROPPED_PREFIXES = ("PYTHON", "IPYTHON", "JUPYTER", "MPL", "MATPLOTLIB", "LC_")
_KEPT = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
DROPPED = {
    *("LANGUAGE", "FORCE_COLOR", "CLICOLOR_FORCE", "TORCH_LOGS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "MKL_VERBOSE"),
    *("ONEDNN_VERBOSE", "DNNL_VERBOSE", "OMP_DISPLAY_ENV", "KMP_SETTINGS", "SNAKEMAKE_PROFILE", "TQDM_DISABLE"),
    "MKL_NUM_THREADS",
}


def clean(root: Path, temporary: Path) -> dict[str, str]:
    """The environment of a run of the book at ``root``: this process's own, without what changes pages.

    temporary: a folder for what Jupyter and IPython write while they run; a home need not be writable.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (name in DROPPED or name.startswith(DROPPED_PREFIXES))
    }
    settings = root / "_build" / "settings"
    return inherited | {
        "PYTHONUTF8": "1",
        # One thread for the linear algebra of numpy and scipy, however many torch has: a part alone has the same bits.
        "OPENBLAS_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(Path(find_spec("matplotlib").origin).parent / "mpl-data" / "matplotlibrc"),
        "MPLCONFIGDIR": str(settings / "matplotlib"),  # kept: it holds the list of fonts, slow to make
        "XDG_CACHE_HOME": str(settings / "cache"),
        "IPYTHONDIR": str(temporary / "ipython"),
        "JUPYTER_CONFIG_DIR": str(temporary / "jupyter"),
        "JUPYTER_DATA_DIR": str(temporary / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(temporary / "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before anybody's of the same name
    }


@contextmanager
def of_run(root: Path, told: dict[str, str]) -> Iterator[None]:
    """This process in the environment of a run, with ``told`` added; as it was before, afterwards."""
    with _restored(), tempfile.TemporaryDirectory(prefix="companion-", ignore_cleanup_errors=True) as temporary:
        changed = clean(root, Path(temporary)) | told
        os.environ.clear()
        os.environ.update(changed)
        yield


@contextmanager
def with_variables(**told: str) -> Iterator[None]:
    """This process with some variables more; as it was before, afterwards."""
    with _restored():
        os.environ.update(told)
        yield


@contextmanager
def _restored() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
