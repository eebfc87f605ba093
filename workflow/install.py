"""The environment of `make`, once: python3 workflow/install.py [TORCH]. Standard library only, and any Python 3."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one build at a time is the person's own care there
    fcntl = None

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
READY = VENV / "ready"  # holds the folder that the environment was made in
OWN_TESTS = r"site-packages[/\\].*[/\\]tests?[/\\]"  # of the packages that are installed
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
# Options that would put the packages somewhere else than into .venv, or not at all.
MISLEADING = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_DRY_RUN",
    "PIP_NO_DEPS",
    "PIP_REQUIRE_VIRTUALENV",
)


def main(torch: str = "") -> int:
    """0, or 1 with the reason on stderr. torch: "cpu" for PyTorch's own CPU build, else what PyPI has."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        version = ".".join(map(str, sys.version_info[:3]))
        return fail(f"expected Python 3.11 to 3.13, got {version}; name another: make book PYTHON=python3.12")
    if torch not in ("", "cpu"):
        return fail(f"TORCH: expected cpu or nothing, got {torch}")
    with (ROOT / ".venv.lock").open("w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once: the second finds it done
        if made_in() == str(ROOT) and READY.stat().st_mtime >= newest_requirement():
            return 0
        try:
            return install(torch)
        except KeyboardInterrupt:
            return fail("stopped; `make` installs again, from what pip keeps of its downloads")


def install(torch: str) -> int:
    if VENV.exists() and made_in() != str(ROOT):
        if VENV.is_symlink():
            return fail(f"{VENV} leads to {VENV.resolve()}, an environment of another place: remove the link")
        if made_in():
            print(f"The environment in .venv was made in {made_in()}: made anew for {ROOT}", flush=True)
        shutil.rmtree(VENV)
    size = "2.1 GB" if torch == "cpu" else "2.1 GB with PyTorch's CPU build (TORCH=cpu), more than 5 GB with CUDA"
    print(f"Installing into .venv, once: about two minutes, {size}", flush=True)
    began = time.monotonic()
    python = VENV / "bin" / "python"
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode:
        return fail("the environment could not be made (above); on Debian and Ubuntu: apt install python3-venv")
    surroundings = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    surroundings.update(PIP_CONSTRAINT="constraints.txt", PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    # pip would compile the 14 000 modules with one core, their packages' own tests too.
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--editable"]
    command = [*pip, ".[book,test]"]
    command += ["--extra-index-url", CPU_WHEELS] if torch == "cpu" else []
    if subprocess.run(command, cwd=ROOT, env=surroundings, check=False).returncode:
        return fail("pip could not install the packages (above); it needs a package index such as PyPI, this once")
    # Where PyPI has no wheel of it, as on Linux, pip compiles eikonalfm: the book does without.
    optional = [*pip, ".[geology]"]
    if subprocess.run(optional, cwd=ROOT, env=surroundings, capture_output=True, check=False).returncode:
        print(
            "Without eikonalfm, which needs a C++ compiler here: no shot gathers, and their tests are skipped",
            flush=True,
        )
    # Templates among them do not compile, with pip neither: no failure.
    compiler = [str(python), "-m", "compileall", "-qq", "-j", "0", "-x", OWN_TESTS, str(VENV)]
    subprocess.run(compiler, check=False)
    READY.write_text(str(ROOT))
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def made_in() -> str:
    """The folder that .venv was made in; nothing where it was never finished."""
    return READY.read_text() if READY.is_file() else ""


def newest_requirement() -> float:
    return max((ROOT / name).stat().st_mtime for name in ("constraints.txt", "pyproject.toml"))


def fail(reason: str) -> int:
    print(f"make: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
