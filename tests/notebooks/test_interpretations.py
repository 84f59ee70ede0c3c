"""What a notebook says to see in an output is asserted: interpretations/NN.toml names the assertion of each sentence.

    [see-fixed-figure]                                              a text cell of notebook NN
    "With β = 0.3 the KL stays above the target" = "fixed-table"    words of that cell = a code cell that asserts them

The words stand in the cell as they stand here, so who changes the sentence looks at its assertion again. A list names
several checks; a check is a code cell with an `assert`, of the same notebook or (`09#forest`) of another, or a test,
`tests/core/test_x.py::test_y`.
Cells called `see`, `see-...`, `...-see` or `...-seen` interpret an output, so each has rows; others may have them.
"""

import ast
import functools
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

import notebooks

TABLES = Path(__file__).resolve().parent / "interpretations"


def interprets(id):
    return re.fullmatch(r"see(-.*)?|.*-seen?", id) is not None


def asserts(source):
    """Does a cell, or a test, assert something that is no constant?"""
    found = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    return any(not isinstance(test, ast.Constant) for test in found)


@functools.cache
def parsed(path):
    """What stands in a file of tests, read once for all that name one of them."""
    return ast.parse(path.read_text("utf-8")).body if path.is_file() else []


def fault(check, code):
    """Why `check` checks nothing, in words; "" where it does. code: {cell id: source} of the notebook's code cells."""
    file, is_test, name = check.partition("::")
    if not is_test:
        number, elsewhere, id = check.partition("#")
        if elsewhere:
            paths = [path for path in notebooks.all_notebooks() if path.name.startswith(f"{number}_")]
            code, check = (
                {c.id: c.source for path in paths for c in nbformat.read(path, 4).cells if c.cell_type == "code"},
                id,
            )
        return "" if check in code and asserts(code[check]) else f"{check!r} is no code cell with an assert"
    tests = parsed(notebooks.ROOT / file)
    sources = [ast.unparse(test) for test in tests if isinstance(test, ast.FunctionDef) and test.name == name]
    return "" if sources and asserts(sources[0]) else f"{check!r} is no test with an assert"


def faults(cells, rows):
    """What is wrong with the table of a notebook: a list of sentences."""
    code = {cell.id: cell.source for cell in cells if cell.cell_type == "code"}
    text = {cell.id: " ".join(cell.source.split()) for cell in cells if cell.cell_type == "markdown"}
    wrong = [
        f"{id}: says what to see, and no row says what asserts it" for id in text if interprets(id) and not rows.get(id)
    ]
    for id, sentences in rows.items():
        wrong += [f"{id}: is no text cell"] if id not in text else []
        for words, checks in sentences.items():
            wrong += [f"{id}: does not say {words!r}"] if words not in text.get(id, words) else []
            found = [fault(check, code) for check in ([checks] if isinstance(checks, str) else checks)]
            wrong += [f"{id}: {why}" for why in found if why]
    return wrong


@pytest.mark.parametrize("path", notebooks.all_notebooks(), ids=lambda path: path.stem)
def test_every_sentence_about_an_output_names_what_asserts_it(path):
    rows = tomllib.loads((TABLES / f"{path.name[:2]}.toml").read_text("utf-8"))
    wrong = faults(nbformat.read(path, as_version=4).cells, rows)
    assert not wrong, "\n".join(wrong)


def test_a_row_that_asserts_nothing_is_found():
    new = nbformat.v4
    cells = [
        new.new_code_cell("x = 1\nassert x > 0", id="numbers"),
        new.new_code_cell("assert True", id="empty"),
        new.new_markdown_cell("It rises,\nthen it falls.", id="see-curve"),
    ]
    this = "tests/notebooks/test_interpretations.py::"
    good = {
        "It rises, then it falls": "numbers",
        "it falls": "00#train",
        "falls": ["numbers", this + "test_every_sentence_about_an_output_names_what_asserts_it"],
    }
    assert not faults(cells, {"see-curve": good})
    assert faults(cells, {}) and faults(cells, {"see-curve": {}}) and faults(cells, {"nobody": {}, "see-curve": good})
    for words, check in [
        ("It sinks", "numbers"),
        ("It rises", "empty"),
        ("It rises", "none"),
        ("It rises", "00#nowhere"),
        ("It rises", "77#train"),
        ("It rises", this + "test_x"),
    ]:
        assert faults(cells, {"see-curve": {words: check}}), (words, check)
