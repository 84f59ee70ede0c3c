"""Which way the arrows run: the module never imports the lesson, nothing imports in a circle, the module is light."""

import os
import subprocess
import sys

import pytest
from source import ROOMS, ROOT, dotted, files, imports, neighbours

SCRIPTS = sorted(file for folder in ("tools", "benchmarks") for file in (ROOT / folder).glob("*.py"))
HEAVY = ("matplotlib", "ipywidgets", "IPython", "jupyter", "jupyterlab", "ipykernel", "nbformat", "nbclient")
GROUND = {"returns", "objectives", "kl"}  # the formulas: torch and the words of errors
FLOORS = {  # folder of the module: the folders it may import, beside its own
    "": set(),
    "hardware": {"", "language"},
    "language": {"", "hardware"},
    "bridge": {"", "language"},
    "commands": {"", "language", "hardware", "bridge"},
}
LESSON = {  # folder of the lesson: the folders of the lesson it may import, beside its own
    "pictures": set(),
    "check": {"pictures", "exercises"},
    "exercises": {"check", "pictures", "clinic", "desk"},
    "clinic": set(),
    "desk": set(),
}


def folder_of(name):
    """ "ppo_lesson.language.rlhf" -> "language", "ppo_lesson.maze" -> "" ."""
    parts = name.split(".")[1:]
    return parts[0] if len(parts) > 1 or (parts and name in PACKAGES) else ""


PACKAGES = {dotted(file) for file in files() if file.name == "__init__.py"}


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_the_module_imports_no_lesson_and_nothing_heavy(file):
    assert not any(name.split(".")[0] == "course" for name in imports(file))
    assert not any(name.split(".")[0] in HEAVY for name in imports(file, at_load=True))


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_no_arrow_of_the_module_runs_up(file):
    here = folder_of(dotted(file))
    entry = dotted(file) == "ppo_lesson.__main__"  # the command line opens the upper rooms
    below = {folder_of(name) for name in neighbours(file)} - {here, ""}
    assert below <= (set(FLOORS) if entry else FLOORS[here])


@pytest.mark.parametrize("file", files("course"), ids=dotted)
def test_no_arrow_of_the_lesson_runs_up(file):
    here = folder_of(dotted(file))
    below = {folder_of(name) for name in neighbours(file) if name.startswith("course.")} - {here, ""}
    assert not here or below <= LESSON[here]


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_formulas_stand_on_torch_alone(name):
    file = ROOMS["ppo_lesson"] / "ppo_lesson" / f"{name}.py"
    assert neighbours(file) <= {"ppo_lesson", "ppo_lesson.validate"}
    assert {found.split(".")[0] for found in imports(file)} - sys.stdlib_module_names == {"ppo_lesson", "torch"}


def test_no_file_imports_in_a_circle():
    """By what runs when a file is loaded; an import inside a function waits for its call."""
    arrows = {dotted(file): neighbours(file, at_load=True) for file in files() if file.name != "__init__.py"}
    arrows = {name: to & arrows.keys() for name, to in arrows.items()}
    while loose := {name for name, to in arrows.items() if not to}:
        arrows = {name: to - loose for name, to in arrows.items() if name not in loose}
    assert not arrows


def loaded(names):
    """The top-level modules that a fresh Python holds after importing `names`."""
    code = f"import sys, {names}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    found = loaded("ppo_lesson")
    assert "ppo_lesson" in found and not found & {"torch", "numpy", "matplotlib", "transformers"}


@pytest.mark.slow
def test_the_maze_half_loads_neither_transformers_nor_the_lesson():
    found = loaded("ppo_lesson.ppo, ppo_lesson.trpo, ppo_lesson.diagnose")
    assert "torch" in found and not found & {"transformers", "course", *HEAVY}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_finds_the_lesson_by_itself(script, tmp_path):
    if "course." not in script.read_text("utf-8") or script.stem == "bootstrap":
        pytest.skip("it does not use the lesson, or is the notebooks' first cell (tests/notebooks/test_bootstrap.py)")
    code = f"import sys, runpy; sys.path.insert(0, {str(script.parent)!r}); runpy.run_path({str(script)!r})"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean, check=True)
