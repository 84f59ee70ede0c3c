"""The floors of the house: what may import what, and that the light part of the course stays light."""

import subprocess
import sys
from pathlib import Path

import pytest

import notebooks

PACKAGE = Path(__file__).resolve().parent.parent / "ppo_lesson"
FILES = sorted(PACKAGE.rglob("*.py"))
IMPORT_ALL = """
import importlib, pkgutil, sys
import ppo_lesson
for module in pkgutil.walk_packages(ppo_lesson.__path__, "ppo_lesson."):
    above = module.name.startswith(("ppo_lesson.language", "ppo_lesson.commands"))
    if not module.name.endswith("__main__") and not above:
        importlib.import_module(module.name)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def imported(file):
    """The ppo_lesson modules that a file imports, without the package's own name."""
    package = ".".join(file.relative_to(PACKAGE.parent).parent.parts)
    found = notebooks.imports(file.read_text("utf-8"), package)
    return {name.split(".")[1] for name in found if "." in name}


def top_level_imports(statement):
    lines = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True).stdout
    return set(lines.split())


def test_importing_the_package_imports_nothing_heavy():
    loaded = top_level_imports("import sys, ppo_lesson; print(*{name.split('.')[0] for name in sys.modules})")
    assert "ppo_lesson" in loaded
    assert not loaded & {"torch", "numpy", "matplotlib", "transformers"}


@pytest.mark.slow
def test_no_module_below_the_language_part_imports_transformers():
    loaded = top_level_imports(IMPORT_ALL)
    assert {"torch", "gymnasium", "ppo_lesson"} <= loaded
    assert "transformers" not in loaded


@pytest.mark.parametrize("name", ["returns", "objectives", "kl"])
def test_the_ground_floor_stands_on_torch_alone(name):
    assert imported(PACKAGE / f"{name}.py") <= {"validate"}


def test_nothing_imports_the_exercises():
    users = [file for file in FILES if "exercises" not in file.parts and "exercises" in imported(file)]
    assert {file.name for file in users} <= {"cli.py"}  # the command `progress`


def test_the_language_part_stands_beside_the_maze_not_on_it():
    floors = {"language", "returns", "objectives", "kl", "checkpoint", "diagnose", "validate"}
    for file in (PACKAGE / "language").glob("*.py"):
        assert imported(file) <= floors, file.name


def test_the_commands_stand_on_top():
    users = [file for file in FILES if "commands" not in file.parts and "commands" in imported(file)]
    assert {file.name for file in users} <= {"cli.py"}


def test_figures_draw_arrays_and_never_train():
    for file in (PACKAGE / "viz").glob("*.py"):
        assert not imported(file) & {"train", "rollout", "exercises", "language"}, file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_files_are_short_and_finished(file):
    text = file.read_text("utf-8")
    assert text.count("\n") <= 350
    assert not any(word in text for word in ("TO" + "DO", "FIX" + "ME"))
    assert text.startswith('"""'), "a module begins with what it is, and what was left out"
