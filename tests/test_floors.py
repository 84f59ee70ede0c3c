"""The floors of the core: what each module may import when it is loaded, read from its syntax tree, and how much it is.

Beside this, test_imports.py keeps every file short and the package light.
"""

import ast
import io
import sys
import tokenize
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
    "diagnose": ({"diagnose_replies"}, {"numpy"}),
    "diagnose_replies": (set(), {"numpy"}),
    "metrics": (set(), set()),
    "clinic": (THIRD | {"ppo"}, {"torch", "numpy", "gymnasium"}),
}
# the algorithm; what serves it; what belongs to notebook 09 as exercises belong to theirs, and is not counted
CORE = ["maze", "returns", "objectives", "kl", "trpo", "policies", "rollout", "train", "ppo"]
SERVES = ["validate", "adam", "normalize", "vector", "checkpoint", "settings", "metrics", "diagnose"]
SERVES += ["diagnose_replies", "doctor", "__main__"]
# of the language part: data in the form of Python; the invented help desk, its data and its experiments; what larger
# models and machines need
WORD_LISTS, HELP_DESK = {"vocabulary", "questions"}, {"world", "gold", "make", "measure", "sweep"}
LARGER = {"scale", "memory", "lora", "decode", "processes", "sharding"}
CLINIC = ["clinic", "clinic_batch"]
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


def lines_of_code(source):
    """Lines that are not blank, a comment or a docstring."""
    tree = ast.parse(source)
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            words |= set(range(node.lineno, node.end_lineno + 1))
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in nothing]
    return len({line for t in tokens for line in range(t.start[0], t.end[0] + 1)} - words)


@pytest.mark.parametrize("name", present)
def test_a_module_stands_on_the_floors_below_it_only(name):
    own, others = loaded_with(ast.parse((PACKAGE / f"{name}.py").read_text("utf-8")))
    allowed_own, allowed_others = MAY_IMPORT[name]
    assert own <= allowed_own
    assert others - sys.stdlib_module_names <= allowed_others


@pytest.mark.parametrize(("names", "most"), [(CORE, 1200), (SERVES, 1000)])
def test_the_core_stays_small_and_what_serves_it_too(names, most):
    files = [PACKAGE / f"{name}.py" for name in names]
    assert sum(lines_of_code(file.read_text("utf-8")) for file in files if file.exists()) <= most


def test_the_language_part_stays_small():
    files = {file for file in (PACKAGE / "language").glob("*.py") if file.stem not in WORD_LISTS}
    desk = {file for file in files if file.stem in HELP_DESK}
    assert len(desk) == 5 and sum(lines_of_code(file.read_text("utf-8")) for file in desk) <= 800
    larger = {file for file in files if file.stem in LARGER}
    assert len(larger) == 6 and sum(lines_of_code(file.read_text("utf-8")) for file in larger) <= 750
    assert sum(lines_of_code(file.read_text("utf-8")) for file in files - desk - larger) <= 1300


def test_the_command_line_stays_small():
    files = {PACKAGE / "cli.py", *(PACKAGE / "commands").glob("*.py")} - {PACKAGE / "commands" / "export.py"}
    assert len(files) == 8 and sum(lines_of_code(file.read_text("utf-8")) for file in files) <= 710


def test_the_bridge_and_the_export_stay_small():
    bridge = set((PACKAGE / "bridge").glob("*.py"))
    assert len(bridge) == 6 and sum(lines_of_code(file.read_text("utf-8")) for file in bridge) <= 870
    assert lines_of_code((PACKAGE / "commands" / "export.py").read_text("utf-8")) <= 230


def test_every_module_is_counted():
    assert {file.stem for file in PACKAGE.glob("*.py")} - {"__init__", "bridge"} <= {*CORE, *SERVES, *CLINIC, "cli"}
    assert set(CORE) <= set(present)


def test_the_reader_of_imports_sees_through_every_spelling():
    source = """
import torch.nn, ppo_lesson.viz
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


def test_lines_of_code_leave_words_out():
    assert lines_of_code('"""What\nit is."""\n\n# how\nx = 1\n\ndef f():\n    """Why."""\n    return """a\nb"""\n') == 4
