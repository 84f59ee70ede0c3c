"""The examples in docstrings run once, with the tests; a pass over the notebooks alone does not run them again."""

import subprocess
import sys

import pytest
from source import ROOMS, files

ROOT = ROOMS["ppo_lesson"]


def collected(*arguments):
    """The ids of what pytest would run with these arguments. Nothing runs."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if "::" in line]


def test_the_default_run_reads_both_rooms(pytestconfig):
    assert [*pytestconfig.getini("testpaths")] == ["tests", "ppo_lesson", "notebooks/course"]


@pytest.mark.slow
def test_every_example_is_read_once():
    examples = collected("ppo_lesson", "notebooks/course")
    assert len(examples) == len(set(examples))
    shown = {file.relative_to(ROOT).as_posix() for file in files() if "\n    >>> " in file.read_text("utf-8")}
    assert shown and shown <= {id.partition("::")[0] for id in examples}


@pytest.mark.slow
def test_a_pass_over_the_notebooks_runs_cells_alone():
    cells = collected("--nbval-lax", "notebooks")
    assert cells and not [id for id in cells if ".ipynb::" not in id]
