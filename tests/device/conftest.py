"""Without the fake GPU there is nothing to test here; ``python tests/device`` brings it."""

import sys

collect_ignore_glob = [] if "fakecuda" in sys.modules else ["test_*.py"]
