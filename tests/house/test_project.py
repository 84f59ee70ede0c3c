"""What stands around the code: metadata, the entry point, the changelog, GitHub's workflow, files that docs name."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
import set_repo_url
import yaml

import notebooks
import ppo_lesson

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "data").glob("*.md")]
# Files that a command writes, or that a reader brings: docs name them, and no checkout has them.
MADE = {
    "01.txt",
    "config.yaml",
    "my_reward.py",
    "prompts.jsonl",
    "metrics.jsonl",
    "train.jsonl",
    "test.jsonl",
    "report.md",
    "run.safetensors",
}
SUFFIXES = r"(?:py|ipynb|md|toml|txt|cff|jsonl?|ya?ml|safetensors|png|svg)"


# ---- files that docs name ------------------------------------------------------------------------------------------


def code(text):
    """Everything that stands in backticks: fenced blocks and spans."""
    fenced = re.findall(r"(?ms)^```\w*\n(.*?)^```", text)
    return fenced + re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))


def missing(text, root=ROOT):
    """Paths, modules and make targets that `text` names in backticks, and that are not there.

    A path begins with a folder of the course; a file name alone may stand for a file in any of them.
    """
    ignored = {line.strip("/") for line in (root / ".gitignore").read_text("utf-8").splitlines()}
    tops = {path.name: path for path in root.iterdir() if path.is_dir() and path.name not in ignored | {".git"}}
    names = {path.name for top in tops.values() for path in top.rglob("*")} | {path.name for path in root.iterdir()}
    targets = re.findall(r"(?m)^([a-z-]+):", (root / "Makefile").read_text("utf-8"))
    wrong = []
    for piece in code(text):
        for word in re.split(r"[\s\"'=(),;]+", piece.replace("\\", "/")):
            path = word.partition(":")[0].rstrip(".")
            inside = path.partition("/")[0] in tops and "/" in path
            alone = re.fullmatch(rf"[\w.-]+\.{SUFFIXES}", path) and path not in MADE
            if (inside and not list(root.glob(path))) or (alone and path not in names):
                wrong.append(path)
            if re.fullmatch(r"ppo_lesson(\.[a-z_]+)+", path):
                place = root.joinpath(*path.split("."))
                if not (place.is_dir() or place.with_suffix(".py").is_file()):
                    wrong.append(path)
        wrong += [f"make {name}" for name in re.findall(r"(?m)^make ([a-z-]+)", piece) if name not in targets]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_name_only_what_exists(page):
    assert not missing(page.read_text("utf-8"))


def test_a_name_that_leads_nowhere_is_seen():
    text = (
        "`tests/gone.py -k x` and `python tools/notebooks.py` and `ppo_lesson.gone` and `ppo_lesson.maze`, `gone.toml`"
    )
    fence = "\n```\nmake gone  # twice\nmake test\npython notebooks/01*.ipynb data/x.json:3\n```\n"
    assert missing(text + fence) == ["data/x.json", "make gone", "tests/gone.py", "ppo_lesson.gone", "gone.toml"]


def test_the_readme_has_the_line_of_the_tools_about_colab():
    """Among other things: nobody has run the course there."""
    line = set_repo_url.readme_line(notebooks.project()[0])
    assert f"{line} <!-- colab -->" in (ROOT / "README.md").read_text("utf-8") and "Nobody has run it" in line


def test_the_readme_counts_the_notebooks_and_the_commands_that_are_there():
    """Its map of the rooms; and which notebooks take minutes, more than the 45 s that a maze may take."""
    readme, found = (ROOT / "README.md").read_text("utf-8"), notebooks.all_notebooks()
    assert f"\nnotebooks/             {found[0].name[:2]} to {found[-1].name[:2]}, executed" in readme
    commands = re.search(
        r"python -m ppo_lesson (.*)\.$", import_module("ppo_lesson.commands.main").__doc__.splitlines()[0]
    )[1]
    assert re.search(r"(?m)^ppo_lesson/commands/ +python -m ppo_lesson (.*)$", readme)[1] == commands
    said = re.search(r"in any order: ([\d, and]+) in one to three minutes, the others in seconds\.", readme)
    seconds = {path.name[:2]: nbformat.read(path, 4).metadata["ppo_lesson"]["seconds"] for path in found}
    assert re.findall(r"\d\d", said[1]) == [number for number, each in seconds.items() if each > 45]


# ---- metadata ------------------------------------------------------------------------------------------------------


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    released = re.findall(r"(?m)^## \[(\d[\d.]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert PROJECT["version"] == ppo_lesson.__version__ == citation["version"] == released[0]
    assert [author["name"] for author in PROJECT["authors"]] == [author["name"] for author in citation["authors"]]


def test_no_link_before_there_is_an_address():
    """tools/set_repo_url.py writes them; until then nobody invents one."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert bool(table["tool"]["ppo-lesson"]["repository"]) == ("urls" in PROJECT)


def test_pythons_are_those_that_may_run_it():
    listed = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name]
    assert listed[0] == PROJECT["requires-python"].removeprefix(">=") and listed == sorted(listed)


def test_the_entry_point_prints_help():
    module, _, name = PROJECT["scripts"]["ppo-lesson"].partition(":")
    assert callable(getattr(import_module(module), name))
    code = f"import sys; from {module} import {name}; sys.exit({name}())"  # what pip writes into the script
    run = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0 and "export" in run.stdout and "rlhf" in run.stdout


# ---- GitHub --------------------------------------------------------------------------------------------------------


def jobs():
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]


def test_the_workflow_covers_what_contributing_says():
    linux, half = jobs()["linux"], jobs()["maze-half"]
    assert linux["strategy"]["matrix"]["python"] == ["3.11", "3.13"]  # text: 3.10 would be the number 3.1
    assert half["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    for job in (linux, half):
        assert isinstance(job["timeout-minutes"], int) and job["steps"][0]["uses"].startswith("actions/checkout@")
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert "make lint PYTHON=python" in [step.get("run") for step in linux["steps"]]
    assert "ruff format --check" in (ROOT / "Makefile").read_text("utf-8")
    triggers = yaml.safe_load(WORKFLOW.read_text("utf-8"))[True]  # YAML 1.1 reads the key `on` as true
    assert set(triggers) == {"push", "pull_request"}


@pytest.mark.parametrize("job", jobs())
def test_what_the_workflow_runs_exists(job):
    commands = [step["run"] for step in jobs()[job]["steps"] if "run" in step]
    assert commands and not missing("".join(f"\n```\n{command}\n```\n" for command in commands))
    for command in commands:
        assert not [word for word in shlex.split(command) if word.startswith("tests/") and not (ROOT / word).is_file()]


def test_the_issue_form():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "hint.yml").read_text("utf-8"))
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert form["name"] and form["description"] and len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)


def test_the_readme_trains_cartpole_as_the_course_does():
    words = re.search(r"^config = PPOConfig\([^)]*\)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    names = {"PPOConfig": import_module("ppo_lesson.ppo").PPOConfig}
    exec(words[0], names)
    assert names["config"] == import_module("course.settings").CARTPOLE
