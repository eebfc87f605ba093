"""Without a SLURM there is nothing to test here; ``python tests/cluster`` starts one."""

import sys

collect_ignore_glob = [] if "slurm" in sys.modules else ["test_*.py"]
