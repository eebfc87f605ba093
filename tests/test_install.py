"""The environment of `make`: when it is rebuilt, what it refuses, and the pip options that it drops."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """workflow/install.py for a checkout in a folder with a space, with every command recorded and none run."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "workflow" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = tmp_path / "a b"
    root.mkdir()
    for name in ("constraints.txt", "pyproject.toml"):
        (root / name).touch()
    module.ROOT, module.VENV, module.READY = root, root / ".venv", root / ".venv" / "ready"
    module.commands = []

    def noted(command, **options):
        module.commands.append((command, options.get("env")))
        (root / ".venv").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module.subprocess, "run", noted)
    return module


def test_install_runs_once_and_again_when_the_requirements_change(install):
    assert install.main() == 0
    (venv, _), (pip, _), (optional, _), (compiler, _) = install.commands
    assert venv == [sys.executable, "-m", "venv", str(install.VENV)]
    assert pip[:4] == [str(install.VENV / "bin" / "python"), "-m", "pip", "install"]
    assert "--extra-index-url" not in pip
    assert optional == [*pip[:-1], ".[geology]"]
    assert "--no-compile" in pip
    assert compiler[:3] == [pip[0], "-m", "compileall"]
    assert compiler[-1] == str(install.VENV)
    assert install.main() == 0
    assert len(install.commands) == 4
    later = install.READY.stat().st_mtime + 10
    os.utime(install.ROOT / "constraints.txt", (later, later))
    (install.VENV / "kept").touch()
    assert install.main() == 0
    assert len(install.commands) == 8
    assert (install.VENV / "kept").exists()


def test_install_compiles_what_is_imported_wherever_the_checkout_lies(tmp_path, install):
    site = tmp_path / "tests" / "lib" / "site-packages"
    for module in ("torch/nn.py", "torch/tests/test_nn.py", "testbook/a.py"):
        (site / module).parent.mkdir(parents=True, exist_ok=True)
        (site / module).write_text("a = 1\n")
    install.main()
    compiler = [sys.executable, *install.commands[-1][0][1:-1], str(tmp_path / "tests")]
    assert subprocess.Popen(compiler).wait() == 0  # run itself is replaced
    assert {file.name.split(".")[0] for file in site.rglob("*.pyc")} == {"nn", "a"}


def test_install_without_a_compiler_says_what_is_missing_and_is_ready(install, monkeypatch, capsys):
    def without(command, **options):
        (install.ROOT / ".venv").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, int(command[-1] == ".[geology]"))

    monkeypatch.setattr(install.subprocess, "run", without)
    assert install.main() == 0
    assert "Without eikonalfm, which needs a C++ compiler" in capsys.readouterr().out
    assert install.made_in() == str(install.ROOT)


def test_install_takes_torch_for_the_cpu_from_pytorchs_index(install, capsys):
    assert install.main("cpu") == 0
    assert install.commands[1][0][-2:] == ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    assert "2.1 GB" in capsys.readouterr().out
    assert install.main("gpu") == 1
    assert "TORCH: expected cpu or nothing, got gpu" in capsys.readouterr().err


def test_install_rebuilds_the_environment_of_another_folder_and_says_so(install, capsys):
    install.VENV.mkdir()
    install.READY.write_text("/the/original")
    (install.VENV / "stale").touch()
    assert install.main() == 0
    assert "made in /the/original: made anew for " in capsys.readouterr().out
    assert not (install.VENV / "stale").exists()
    assert install.made_in() == str(install.ROOT)


def test_install_leaves_an_environment_that_is_a_link_alone(install, tmp_path, capsys):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "ready").write_text("/the/original")
    install.VENV.symlink_to(tmp_path / "shared")
    assert install.main() == 1
    assert "remove the link" in capsys.readouterr().err
    assert (tmp_path / "shared" / "ready").exists()
    assert install.commands == []


def test_install_drops_pip_options_that_would_install_elsewhere(install, monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example")
    assert install.main() == 0
    surroundings = install.commands[1][1]
    assert (surroundings["PIP_USER"], surroundings["PIP_CONSTRAINT"]) == ("0", "constraints.txt")
    assert "PIP_TARGET" not in surroundings
    assert surroundings["PIP_INDEX_URL"] == "https://mirror.example"


@pytest.mark.parametrize(("step", "message"), [(0, "python3-venv"), (1, "package index")])
def test_install_step_that_fails_says_what_it_needs_and_is_not_ready(install, monkeypatch, capsys, step, message):
    statuses = iter([0] * step + [1])
    monkeypatch.setattr(
        install.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, next(statuses))
    )
    assert install.main() == 1
    assert message in capsys.readouterr().err
    assert not install.READY.exists()


def test_install_refuses_another_python_by_name(install, monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "version_info", (3, 14, 0))
    assert install.main() == 1
    assert "expected Python 3.11 to 3.13, got 3.14.0; name another: make book PYTHON=" in capsys.readouterr().err
    assert install.commands == []


def test_makefile_rebuilds_the_environment_of_another_folder(tmp_path):
    """`make` decides by the content of .venv/ready, in a folder with a space."""
    root = tmp_path / "a b"
    (root / ".venv").mkdir(parents=True)
    for name in ("constraints.txt", "pyproject.toml"):
        (root / name).touch()
    (root / "Makefile").write_text((ROOT / "Makefile").read_text())

    def would_install(made_in):
        (root / ".venv" / "ready").write_text(made_in)
        done = subprocess.run(["make", "-n", "test"], cwd=root, capture_output=True, text=True, check=True)
        return "workflow/install.py" in done.stdout

    assert would_install("/the/original")
    assert not would_install(str(root))
