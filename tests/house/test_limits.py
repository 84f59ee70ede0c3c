"""How large the house may be: whole lines, as `cat FOLDER/*.py | wc -l` counts them, without classes of lines.

A limit is raised in a commit of its own that says why, never in the commit that needs the room.
"""

import pytest
from source import ROOMS, files

MOST = {"": 3400, "language": 2400, "hardware": 1000, "commands": 1350, "bridge": 900}  # of ppo_lesson
MODULE, STORY, FILE, LESSON, EXERCISE = 9050, 1900, 350, 11500, 120
TOLD = ["maze", "returns", "objectives", "kl", "policies", "rollout", "reinforce", "trpo", "ppo"]


def lines(*paths):
    return sum(path.read_text("utf-8").count("\n") for path in paths)


@pytest.mark.parametrize(("folder", "most"), MOST.items())
def test_a_folder_of_the_module_stays_small(folder, most):
    assert 0 < lines(*(ROOMS["ppo_lesson"] / "ppo_lesson" / folder).glob("*.py")) <= most


def test_every_folder_is_counted_and_the_module_stays_small():
    package = ROOMS["ppo_lesson"] / "ppo_lesson"
    assert {file.parent.relative_to(package).as_posix() for file in files("ppo_lesson")} == {f or "." for f in MOST}
    assert lines(*files("ppo_lesson")) <= MODULE


def test_what_the_story_needs_fits_a_reader():
    assert lines(*(ROOMS["ppo_lesson"] / "ppo_lesson" / f"{name}.py" for name in TOLD)) <= STORY


def test_the_lesson_stays_in_its_room():
    assert 0 < lines(*files("course")) <= LESSON


def test_an_exercise_is_read_at_once():
    """One file each, named in the catalogue, with its picture; what several share has a file of its own."""
    room = ROOMS["course"] / "course" / "exercises"
    found = {file.stem: lines(file) for file in room.glob("*.py") if "\nEXERCISE = " in file.read_text("utf-8")}
    assert found and max(found.values()) <= EXERCISE, {name: n for name, n in found.items() if n > EXERCISE}


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_a_file_has_one_job(file):
    text = file.read_text("utf-8")
    assert lines(file) <= FILE
    assert text.startswith('"""'), "a module begins with what it is, and what was left out"
    assert not any(word in text for word in ("TO" + "DO", "FIX" + "ME", "fmt: " + "skip", "fmt: " + "off"))


def test_the_formatter_is_switched_off_nowhere():
    """In tests, tools and benchmarks neither: `ruff format` is law, without exceptions for single lines."""
    kinds = ("tests", "tools", "benchmarks", "examples", "ppo_lesson", "notebooks")
    found = [file for kind in kinds for file in (ROOMS["ppo_lesson"] / kind).rglob("*.py") if ".venv" not in file.parts]
    assert len(found) > 300
    pragmas = ("fmt: " + "skip", "fmt: " + "off", "yapf: " + "disable")
    assert not [file.name for file in found if any(word in file.read_text("utf-8") for word in pragmas)]
