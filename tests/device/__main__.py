"""python tests/device: what needs a GPU, on one that is not there; skipped, with a word, where it cannot be built."""

import os
import subprocess
import sys
from pathlib import Path

import fakecuda

HERE = Path(__file__).parent


def main(options: list[str]) -> int:
    try:
        if not fakecuda.compiled().is_file():
            print("Compiling a GPU that is not there (a minute, once)", flush=True)
        fakecuda.build()
    except fakecuda.NoCompiler as missing:
        print(f"make test-device: skipped: {missing}")
        return 0
    root = HERE.parents[1]
    paths = [str(HERE), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    tests = [file for file in sorted(HERE.parent.rglob("test_*.py")) if HERE not in file.parents]
    asking = [file for file in tests if fakecuda.REASON in file.read_text(encoding="utf-8")]
    options = options or ["-n", "2", "--dist", "worksteal"]  # a chapter is long: none waits behind another's worker
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gpu_plugin", *options, HERE, *asking]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
