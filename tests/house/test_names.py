"""Names: none that is private crosses a file, functions take few parameters, and old words do not come back."""

import ast

import pytest
from source import dotted, files, functions, is_private, tree

PYTHON_S = {"_replace", "_asdict", "_fields", "_make"}  # of named tuples: public by another convention
HOUSE_WORDS = {  # what the field calls otherwise: gradient checkpointing, micro-batches, reshard, parameter groups ...
    "compute_twice",
    "pieces",
    "fold",
    "apart",
    "told",
    "experience",
    "before",
    "scale_module",
    "sft_module",
}


def defined(file):
    """Every name that a file assigns or defines, attributes included."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("file", files(), ids=dotted)
def test_no_private_name_crosses_a_file(file):
    own = {*defined(file), *PYTHON_S}
    used = [alias.name for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) for alias in node.names]
    used += [node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute) and node.attr not in own]
    assert not [name for name in used if is_private(name)]


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_public_functions_take_few_parameters_and_say_which(file):
    for name, node in functions(file):
        if any(map(is_private, name.split("."))):
            continue
        arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        assert len([a for a in arguments if a not in ("self", "cls")]) <= 10, name
        assert node.args.kwarg is None, name
