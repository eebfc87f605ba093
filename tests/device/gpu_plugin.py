"""pytest -p gpu_plugin: there is a GPU, fakecuda's, and the tests are those that ask for one."""

from pathlib import Path

import fakecuda

HERE = Path(__file__).parent
fakecuda.install()  # now: a conftest imports torch


def pytest_collection_modifyitems(config, items):
    """Those beside this file, and all others that skip themselves where there is no GPU, whatever they are called."""

    def wanted(item):
        reasons = [mark.kwargs.get("reason", "") for mark in item.iter_markers("skipif")]
        return HERE in item.path.parents or fakecuda.REASON in reasons

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    # The longest first: a chapter begun last would keep everybody waiting.
    items[:] = sorted(filter(wanted, items), key=lambda item: item.path.name != "test_chapters_on_a_gpu.py")
