"""Names: none that is private crosses a file, functions take few parameters, and old words do not come back."""

import ast
import re

import pytest
from source import dotted, files, functions, is_private, tree

PYTHON_S = {"_replace", "_asdict", "_fields", "_make", "_exit"}  # of named tuples and os: public by another convention
OLD_NAMES = {  # what the field calls otherwise: the word it uses
    "compute_twice": "gradient_checkpointing",
    "piece": "micro_batch",
    "pieces": "micro_batches",
    "fold": "reshard",
    "apart": "parameter_groups",
    "whole": "full_state",
    "told": "the thing that is told",
}
OLD_PARAMETERS = {"most", "about", "again", "once", "some", "how", "what"}  # words that say nothing about a value
FIXED = {"aggregate": {"how"}}  # of objectives.py: the design fixes this signature
OLD_FILES = {  # whose name said something else than what they export
    "ppo_lesson.adam": "optim",
    "ppo_lesson.train": "reinforce",
    "ppo_lesson.language.sft": "supervised",
    "ppo_lesson.language.experience": "rollout, advantages, microbatch",
    "ppo_lesson.language.before": "checks",
    "ppo_lesson.language.scale": "hardware.profile",
    "ppo_lesson.bridge.words": "command_line",
    "ppo_lesson.commands.loop": "progress",
    "ppo_lesson.commands.folder": "run_folder",
    "ppo_lesson.commands.inputs": "loading",
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


def public(file):
    """(where, name) of all that a file of the module offers: functions, classes, constants, methods, fields."""
    for node in tree(file).body:
        yield from ((name, name) for name in offered(node))
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", name) for part in node.body for name in offered(part))


def offered(node):
    """The names without an underscore that one statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    else:
        names = []
    return [name for name in names if not name.startswith("_")]


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_no_old_word_comes_back(file):
    """As a file's name, as a public name, or as a parameter of a public function."""
    assert dotted(file) not in OLD_FILES, f"this file is called {OLD_FILES[dotted(file)]} now"
    found = [where for where, name in public(file) if name.lower() in OLD_NAMES]
    for name, node in functions(file):
        if not any(map(is_private, name.split("."))):
            arguments = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
            old = arguments & (OLD_PARAMETERS | OLD_NAMES.keys()) - FIXED.get(name, set())
            found += [f"{name}({each}=)" for each in sorted(old)]
    assert not found


# Words that had several meanings. Those that are left have one: what it is, and every public name that says it.
ONE_MEANING = {
    "run": ("one training, with its checkpoint", {"checkpoint.Run"}),
    "report": ("symptoms as text", {"diagnose.report"}),
    "table": (
        "rows of numbers: logits a state; the map of settings",
        {"policies.TableCategorical", "bridge.command_line.table"},
    ),
    "words": ("", set()),
    "judge": ("", set()),
    "batch": (
        "what one update learns from; at the end of a class's name, environments side by side",
        {
            "cartpole.CartPoleBatch",
            "maze.MazeBatch",
            "vector.VectorBatch",
            "language.settings.RLHFConfig.batch",
            "language.settings.RLHFConfig.micro_batch",
            "language.settings.RLHFConfig.ptx_batch",
            "language.supervised.SupervisedConfig.batch",
            "language.supervised.SupervisedConfig.micro_batch",
            "commands.options.BATCH",
        },
    ),
    "look": ("seeing a later token", {"language.loading.refuse_a_look_ahead"}),
    "collect": (
        "take steps with a policy",
        {"maze.MazeBatch.collect", "cartpole.CartPoleBatch.collect", "vector.VectorBatch.collect"},
    ),
    "scale": ("divide by a spread", {"normalize.RewardScale", "language.settings.RLHFConfig.scale_groups"}),
    "most": ("", set()),
    "about": ("", set()),
    "again": ("", set()),
    "once": ("", set()),
    "some": ("", set()),
    "how": ("", set()),
}


def said(name):
    """The words of a name: RewardScale and reward_scale are "reward" and "scale"."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_one_word_has_one_meaning():
    names = [
        (f"{dotted(file)}.{where}".removeprefix("ppo_lesson."), name)
        for file in files("ppo_lesson")
        for where, name in public(file)
    ]
    for word, (_, allowed) in ONE_MEANING.items():
        assert {where for where, name in names if word in said(name)} == allowed, word


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_environments_side_by_side_are_envs(file):
    """A `batch` is what one update learns from: in the root folder nothing else has that name."""
    arguments = {node.arg for node in ast.walk(tree(file)) if isinstance(node, ast.arg)}
    if dotted(file).count(".") == 1:
        assert "batch" not in arguments | {*defined(file)}


def test_no_two_files_offer_one_name():
    """`execute` is what each file with a command offers to the command line."""
    offers = {}
    for file in files("ppo_lesson"):
        for where, name in public(file):
            if where == name:
                offers.setdefault(name, set()).add(dotted(file))
    assert {name: found for name, found in offers.items() if len(found) > 1} == {
        "execute": {f"ppo_lesson.commands.{name}" for name in ("explain", "export", "train")}
    }
