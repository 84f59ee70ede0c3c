"""The set-up: constraints that fit the requirements, and a Makefile that survives interruptions and spaces in paths.

The Makefile runs with a stand-in for Python that writes down what it was asked to do and installs nothing.
"""

import inspect
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import colab_like
import constraints
import nbformat
import pytest
from packaging.requirements import Requirement

import notebooks
from course.check import catalog, solution

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """#!/bin/sh
here=$(dirname "$0")
case "$1 $2" in
  "-c "*) exec "{python}" "$@" ;;
  "-m venv") echo venv >> "{log}"; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip") [ "$3" = --version ] && exit 0; echo "$@" >> "{log}"; [ ! -e "{fail}" ] ;;
esac
"""


def pins():
    """{package: version} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def direct():
    """Every requirement that this project names: the course's, and those of its extras."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = [*lines, *(line for extra in extras.values() for line in extra)]
    return [Requirement(line) for line in named if line and line[0] != "#" and not line.startswith("ppo-lesson")]


def test_requirements_txt_is_the_module_and_the_extra_course():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert sorted(line for line in lines if not line.startswith("#")) == sorted(
        project["dependencies"] + project["optional-dependencies"]["course"]
    )


@pytest.mark.parametrize("requirement", direct(), ids=str)
def test_the_tested_set_fits_the_ranges(requirement):
    assert requirement.specifier.contains(pins()[requirement.name])


def test_the_requirements_alone_bring_what_runs_the_notebooks_under_nbval():
    """With what they depend on, as installed here; .ci/run runs notebook 06 before more is installed."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    wanted, found = [Requirement(line) for line in lines if not line.startswith("#")], set()
    while wanted:
        need = wanted.pop()
        if need.name in found or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        found.add(need.name)
        wanted += map(Requirement, metadata.requires(need.name) or ())
    assert {"nbval", "pytest", "ipykernel", "jupyter_client"} <= {re.sub("-", "_", name) for name in found}
    assert not found & {"pytest-xdist", "peft", "stable-baselines3"}, "these are the tests' own"


def test_constraints_hold_on_every_platform():
    for package, version in pins().items():
        assert re.fullmatch(r"[\d.]+(post\d+)?", version), f"{package}=={version}"
        assert not constraints.PLATFORM.match(package)


def test_colab_fits_the_ranges():
    """Versions of Colab's runtime, of the month that tools/colab.toml names."""
    ranges = {requirement.name: requirement.specifier for requirement in direct()}
    named = {package: x for package, x in colab_like.COLAB["versions"].items() if package in ranges}
    assert len(named) >= 7 and all(ranges[package].contains(version) for package, version in named.items())


def test_colab_like_says_how_old_its_list_is_and_what_it_borrows(monkeypatch):
    made, wanted = colab_like.COLAB["date"], colab_like.COLAB["versions"]["torch"]
    monkeypatch.setattr(colab_like.metadata, "version", lambda name: "9.9.9")
    first, *others = colab_like.about(made.replace(year=made.year + 10))  # no age is an error
    assert f"{made:%B %Y}" in first and re.search(r"\b365[23] days old", first)
    assert any(line.startswith(f"torch 9.9.9 in place of {wanted}: ") for line in others)
    monkeypatch.setattr(colab_like.metadata, "version", lambda name: f"{wanted}+cpu")
    assert not any(line.startswith("torch") for line in colab_like.about(made))
    assert "numpy==" in " ".join(colab_like.packages()) and "torch" not in " ".join(colab_like.packages())


def test_colab_like_types_the_solutions():
    """In place of each stub, between `@exercise` and `check`; other cells stay as they are."""
    cells = [c.source for path in notebooks.all_notebooks() for c in nbformat.read(path, 4).cells]
    stubs = [source for source in cells if source.startswith("@exercise(")]
    assert len(stubs) >= len(catalog())
    for source in stubs:
        typed = colab_like.solved(source)
        id = typed.split('"')[1]
        assert inspect.getsource(solution(id)) in typed and typed.splitlines()[-1] == source.splitlines()[-1]
        assert typed.splitlines()[0] == source.splitlines()[0] and typed.count("def ") < source.count("def ") + 3
    assert colab_like.solved("check(nothing)") == "check(nothing)"


@pytest.fixture
def house(tmp_path):
    """A folder with spaces in its path that holds the Makefile and a stand-in for Python."""
    folder = tmp_path / "path with spaces" / "ppo lesson"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    python = folder / "stand-in"
    python.write_text(STAND_IN.format(python=sys.executable, log=tmp_path / "log", fail=tmp_path / "fail"))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def make(folder, *words):
    """Run make; returns (exit status, the commands that the stand-in wrote down)."""
    log = folder.parent.parent / "log"
    log.write_text("")
    run = subprocess.run(["make", "PYTHON=./stand-in", *words], cwd=folder, capture_output=True, text=True)
    return run.returncode, log.read_text().splitlines()


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
def test_install_once(house):
    install = "-m pip install --constraint constraints.txt --editable ."
    assert make(house, ".venv/.lab") == (0, ["venv", install + "[course]"])
    assert make(house, ".venv/.lab") == (0, [])  # a second run installs nothing
    assert make(house, ".venv/.test") == (0, [install + "[test]"])  # and more packages go into the same environment


@needs_make
def test_the_first_installation_says_how_long_how_large_and_where(house):
    def said(target):
        run = subprocess.run(
            ["make", "PYTHON=./stand-in", target], cwd=house, capture_output=True, text=True, check=True
        )
        return [line for line in run.stdout.splitlines() if "-m pip" not in line and not line.startswith("make")]

    first, venv, last = said(".venv/.lab")
    assert re.search(r"about \d+ minutes and [\d.]+ GB", first) and "virtual environment" in venv
    assert "by itself" in last and "http://localhost" in last
    assert said(".venv/.lab") == []  # a second one is silent
    shutil.rmtree(house / ".venv")
    assert said(".venv/.test") == [venv]  # the words are make lab's


@needs_make
def test_an_interrupted_install_is_done_again(house):
    fail = house.parent.parent / "fail"
    fail.touch()
    status, log = make(house, ".venv/.lab")
    assert status != 0 and log[0] == "venv" and not (house / ".venv" / ".lab").exists()
    fail.unlink()
    status, log = make(house, ".venv/.lab")
    assert status == 0 and log[0] == "venv" and len(log) == 2  # in a new environment
    assert make(house, ".venv/.lab") == (0, [])


@needs_make
def test_new_requirements_are_installed(house):
    make(house, ".venv/.lab")
    lab = house / ".venv" / ".lab"
    newer = lab.stat().st_mtime + 2
    os.utime(house / "requirements.txt", (newer, newer))
    status, log = make(house, ".venv/.lab")
    assert status == 0 and len(log) == 1 and "pip install" in log[0]


@needs_make
def test_an_old_python_is_refused(house):
    pretend = "import sys; sys.version_info = (3, 9, 1); sys.version = '3.9.1 old'"
    (house / "stand-in").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c \"{pretend}; $2\"\n")
    run = subprocess.run(["make", "PYTHON=./stand-in", ".venv/.lab"], cwd=house, capture_output=True, text=True)
    assert run.returncode != 0
    assert "needs Python 3.11 or newer; ./stand-in is 3.9.1" in run.stderr


def ci(tmp_path, body):
    """.ci/run on a machine with bash, dirname and a python3 without venv; apt-get and make write down what is asked.

    body: shell text of the make that apt-get installs. Returns (exit status, stdout, the lines written down).
    """
    log = tmp_path / "log"
    scripts = {
        "python3": "exit 1",
        "apt-get": f'echo apt-get "$@" >> {log}; ln -sf later-make {tmp_path}/make',
        "later-make": f'echo make "$@" >> {log}; {body}',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("bash", "sh", "dirname", "ln"):
        (tmp_path / name).symlink_to(shutil.which(name))
    command = [shutil.which("bash"), str(ROOT / ".ci" / "run")]
    run = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    return run.returncode, run.stdout, log.read_text().splitlines()


def test_ci_installs_what_is_missing_and_then_runs_everything(tmp_path):
    status, told, lines = ci(tmp_path, "true")
    assert status == 0
    assert lines[0] == "apt-get update --quiet"
    assert lines[1].endswith("--no-install-recommends make chromium python3-venv")
    assert lines[2] == "make .venv/.lab", "notebook 06 runs before more is installed than it needs"
    assert lines[3].startswith("make nbval") and lines[4] == "make .venv/.test" and lines[5] == "make test"
    assert "default" in lines[6] and "avx2" in lines[6] and lines[-1].startswith("make browser")
    times = told.partition("== seconds of each part\n")[2].splitlines()
    assert len(times) == len(lines) and times[-1].endswith("  in all")  # two lines of apt-get are one part
    assert all(re.match(r" *\d+  \S", line) for line in times)


def test_ci_says_what_failed(tmp_path):
    status, told, lines = ci(tmp_path, '[ "$1" != test ]')
    assert status != 0 and lines[-1] == "make test"
    assert re.search(r"\n +failed  make test\n +\d+  in all\n$", told)


def test_ci_script_is_sound():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text("utf-8")
    assert "set -euo pipefail" in text and " make test\n" in text
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
