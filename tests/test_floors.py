"""The floors of the core: what each module may import when it is loaded, read from its syntax tree, and how much it is.

Beside this, test_imports.py keeps every file short and the package light.
"""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ppo_lesson"
GROUND = {"validate"}
FIRST = GROUND | {"returns", "objectives", "kl"}
SECOND = FIRST | {"maze", "policies", "trpo", "checkpoint", "diagnose", "adam", "normalize"}
THIRD = SECOND | {"rollout", "vector", "train"}
MAY_IMPORT = {  # module: what it may import from this package, and from elsewhere beside Python itself
    "validate": (set(), {"torch"}),
    "returns": (GROUND, {"torch"}),
    "objectives": (GROUND, {"torch"}),
    "kl": (GROUND, {"torch"}),
    "maze": (FIRST, {"torch", "gymnasium"}),
    "policies": (FIRST | {"normalize"}, {"torch"}),
    "trpo": (FIRST, {"torch"}),
    "adam": (FIRST, {"torch"}),
    "normalize": (FIRST, {"torch"}),
    "checkpoint": (FIRST, {"torch", "numpy", "safetensors"}),
    "rollout": (SECOND, {"torch", "gymnasium"}),
    "vector": (SECOND | {"rollout"}, {"torch", "gymnasium", "numpy"}),
    "train": (THIRD, {"torch", "gymnasium"}),
    "ppo": (THIRD, {"torch", "gymnasium"}),
    "settings": (THIRD | {"ppo"}, set()),
    "diagnose": ({"diagnose_replies", "history"}, {"numpy"}),
    "history": (set(), {"numpy"}),
    "diagnose_replies": (set(), {"numpy"}),
    "metrics": (set(), set()),
    "clinic": (THIRD | {"ppo"}, {"torch", "numpy", "gymnasium"}),
}
# Whole lines of every folder, as `cat FOLDER/*.py | wc -l` counts them: what they were when `ruff format` became law
# and half a tenth more. No kinds of lines, no files left out. They fall when the lesson leaves the package.
MOST_LINES = {"": 4250, "language": 4800, "viz": 3050, "commands": 1250, "bridge": 1350, "exercises": 13100}
present = [name for name in MAY_IMPORT if (PACKAGE / f"{name}.py").exists()]


def loaded_with(tree):
    """What a module imports at module level: names in this package, and top-level names of others."""
    own, others, inside = set(), set(), list(tree.body)
    while inside:
        node = inside.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue  # asked for only when the function runs
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            own |= {name.split(".")[1] for name in names if name.startswith("ppo_lesson.")}
            others |= {name.split(".")[0] for name in names if not name.startswith("ppo_lesson")}
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] == "ppo_lesson"):
            path = [] if node.module is None else node.module.removeprefix("ppo_lesson").strip(".").split(".")
            own |= {path[0]} if any(path) else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split(".")[0])
        inside += ast.iter_child_nodes(node)
    return own, others


@pytest.mark.parametrize("name", present)
def test_a_module_stands_on_the_floors_below_it_only(name):
    own, others = loaded_with(ast.parse((PACKAGE / f"{name}.py").read_text("utf-8")))
    allowed_own, allowed_others = MAY_IMPORT[name]
    assert own <= allowed_own
    assert others - sys.stdlib_module_names <= allowed_others


@pytest.mark.parametrize(("folder", "most"), MOST_LINES.items())
def test_a_folder_stays_small(folder, most):
    files = sorted((PACKAGE / folder).glob("*.py"))
    assert 0 < sum(file.read_text("utf-8").count("\n") for file in files) <= most


def test_every_folder_is_counted():
    assert {file.parent.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py")} == {
        folder or "." for folder in MOST_LINES
    }


def test_the_reader_of_imports_sees_through_every_spelling():
    source = """
import torch.nn, course.pictures
from . import validate, kl
from .maze import Maze
from ppo_lesson.train import ppo
from ppo_lesson import cli
class A:
    import numpy
if True:
    from .language.world import x
def later():
    from .exercises import check
"""
    own, others = loaded_with(ast.parse(source))
    assert own == {"viz", "validate", "kl", "maze", "train", "cli", "language"} and others == {"torch", "numpy"}
