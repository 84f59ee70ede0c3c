"""Sentences of refusals.toml: each that is asked for is there and gets what it names, and none is left over."""

import ast
import re
import string
import tomllib

import pytest
from source import ROOMS, dotted, files, tree

TABLE = tomllib.loads((ROOMS["ppo_lesson"] / "ppo_lesson" / "refusals.toml").read_text("utf-8"))


def asked(file):
    """(topic, its names, number of things given, None if they are unpacked, whether the last is an error that need not
    be named) of each sentence that a file asks for.
    """
    for node in ast.walk(tree(file)):
        called = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
        if called in ("refusal", "require", "refusing"):
            topic, name, *given = node.args[2 * (called != "refusal") :]
            given += ["what was caught"] * (called == "refusing")
            names = [part.value for part in ast.walk(name) if isinstance(part, ast.Constant)]
            if isinstance(topic, ast.Constant):
                unpacked = any(isinstance(x, ast.Starred) for x in given)
                yield topic.value, names, None if unpacked else len(given), called == "refusing"


def places(sentence):
    names = (name for _, name, *_ in string.Formatter().parse(sentence) if name is not None)
    return {int(re.match(r"\d+", name)[0]) for name in names}  # "0[0]": the first of what is 0


@pytest.mark.parametrize("file", files("ppo_lesson"), ids=dotted)
def test_each_sentence_is_there_and_gets_what_it_names(file):
    for topic, names, given, caught in asked(file):
        for name in names:
            assert name in TABLE[topic], (topic, name)
            told = places(TABLE[topic][name])
            assert given is None or {*range(given - caught)} <= told <= {*range(given)}, (topic, name)


def test_no_sentence_is_left_over():
    constants = {n.value for file in files("ppo_lesson") for n in ast.walk(tree(file)) if isinstance(n, ast.Constant)}
    assert not [(topic, name) for topic, each in TABLE.items() for name in each if name not in constants]
