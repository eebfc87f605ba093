"""python tests/cluster [--required]: the README's command for a cluster, on a SLURM of this machine alone.

Skipped, with a word, where no SLURM can be started; with --required, which is for CI, that is a failure.
"""

import os
import subprocess
import sys
from pathlib import Path

import slurm

HERE = Path(__file__).parent


def main(options: list[str]) -> int:
    try:
        slurm.require()
    except slurm.Missing as missing:
        print(f"make test-cluster: skipped: {missing}")
        return int("--required" in options)
    options = [option for option in options if option != "--required"]
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "slurm", *options, HERE]
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, cwd=HERE.parents[1], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
