"""No check calls a learner's function with what its stub excludes: promises.toml says what that is, as data.

Every call counts, those of the cases and those of properties and statistics. A right answer that uses what its stub
promises (four actions, an index inside of the table, a log-probability below 0) must not fail.
"""

import ast
import functools
import inspect
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import torch

from course.check import catalog, sandbox
from course.check.index import find

HERE = Path(__file__).resolve().parent
PROMISES = tomllib.loads((HERE / "promises.toml").read_text("utf-8"))
FORM = re.compile(r"(?P<kind>[a-z|]+)(?: (?P<shape>\(.*\)))?(?: (?P<least>\S*)\.\.(?P<most>\S*))?")
SHAPE = re.compile(r"(\w+(?:, \w+)*):\s*(\([^()]*\))")  # as stubs write it: "values, returns: (N,)"


def kind(value):
    if isinstance(value, torch.Tensor):
        return "real" if value.is_floating_point() else "bool" if value.dtype == torch.bool else "whole"
    known = {
        bool: "bool",
        int: "number",
        float: "number",
        type(None): "none",
        list: "list",
        tuple: "tuple",
        dict: "dict",
    }
    return known.get(type(value), "function" if inspect.isfunction(value) else "object")


def hold(shape, value, sizes):
    """Is this the shape? `sizes` holds what the names in it mean in this call, and learns new ones."""
    dims = [d.strip() for d in shape.strip("()").split(",") if d.strip()]
    got = list(value.shape)
    if dims[:1] == ["..."]:
        rest = len(got) - (len(dims) - 1)
        if rest < 0 or sizes.setdefault("...", tuple(got[:rest])) != tuple(got[:rest]):
            return False
        dims, got = dims[1:], got[rest:]
    return len(dims) == len(got) and all(
        int(d) == n if d.isdigit() else sizes.setdefault(d, n) == n for d, n in zip(dims, got)
    )


def bound(text, sizes):
    """ "0", "14", "A-1" as a number."""
    name, _, less = text.partition("-")
    return (sizes[name] if name in sizes else float(name)) - (float(less) if less else 0)


def broken(id, args):
    """The first promise that a call breaks, in words, and the lengths of its axes."""
    sizes, promised = {}, PROMISES[id]
    named = list(zip(promised.items(), args, strict=True))
    for (name, text), value in named:
        says = FORM.fullmatch(text)
        if kind(value) not in says["kind"].split("|"):
            return f"{name} is {kind(value)}; promised {text}", sizes
        if says["shape"] and not hold(says["shape"], value, sizes):
            return f"{name} has the shape {tuple(value.shape)}; promised {text}, with {sizes}", sizes
    for (name, text), value in named:  # a length may be named by a later argument
        says = FORM.fullmatch(text)
        low, high = says["least"], says["most"]
        if value is None or not (low or high):
            continue
        numbers = torch.as_tensor(value, dtype=torch.float64)
        numbers = numbers[~numbers.isnan()]
        if (low and (numbers < bound(low, sizes)).any()) or (high and (numbers > bound(high, sizes)).any()):
            return f"{name} holds {numbers.min():.4g} to {numbers.max():.4g}; promised {text}, with {sizes}", sizes
    return "", sizes


def calls(spec):
    """The arguments of every call that a check makes of a right answer."""
    seen = [(f"case {n}", args) for n, args in enumerate(spec.cases())]

    def watched(*args):
        seen.append((place, sandbox.snapshot(args)))
        return spec.solution(*args)

    with sandbox.isolated():
        for place in (*spec.properties, *spec.statistics):
            sandbox.reseed()
            spec.check(place)(watched)
    return seen


@pytest.mark.parametrize("id", catalog())
def test_no_call_leaves_what_the_stub_promises(id):
    axes = {}
    for place, args in calls(find(id)):
        words, sizes = broken(id, args)
        assert not words, f"{place}: {words}"
        for name, size in sizes.items():
            axes.setdefault(name, set()).add(size)
    alike = [name for name, found in axes.items() if len(found) < 2]
    assert not alike, f"{alike} never change, so nothing was learned about them"


@functools.cache
def stubs():
    """[(id, docstring)] of the stubs in the notebooks, read once for all tests."""
    made = []
    for path in sorted((HERE.parents[1] / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            found = re.search(r'^@exercise\("([^"]+)"\)\n(def .*)', cell.source, re.DOTALL | re.MULTILINE)
            if cell.cell_type == "code" and found:
                made.append((found[1], ast.get_docstring(ast.parse(found[2]).body[0])))
    return made


@pytest.mark.parametrize("id", catalog())
def test_the_promises_are_those_of_the_stub(id):
    names = list(inspect.signature(find(id).solution).parameters)
    assert list(PROMISES[id]) == names
    forms = {name: FORM.fullmatch(text) for name, text in PROMISES[id].items()}
    assert all(forms.values()), id
    for text in [doc.split("Returns")[0] for stub, doc in stubs() if stub == id]:
        for found, shape in SHAPE.findall(text):
            for name in found.split(", "):
                assert forms[name]["shape"] in (shape, None if forms[name]["kind"] == "list" else shape), name
        for name in re.findall(r"(\w+):\s+float in \[0, 1\]", text):
            assert (forms[name]["least"], forms[name]["most"]) == ("0", "1")


@pytest.mark.parametrize("id", [id for id in catalog() if find(id).gradient and len(PROMISES[id]) > 1])
def test_what_carries_a_gradient_is_promised_and_all_else_is_data(id):
    spec, doc = find(id), dict(stubs())[id]
    reals = [name for name, text in PROMISES[id].items() if text.startswith("real")]
    carries = reals if spec.gradient is True else spec.gradient
    assert "with gradient" in doc or len(reals) == 1
    assert set(reals) == set(carries) or re.search(r"\bdata\b", doc), "an answer may leave a gradient in the others"
    for place, args in calls(spec):
        tracked = {n for n, x in zip(PROMISES[id], args) if torch.is_tensor(x) and x.requires_grad}
        assert tracked <= set(carries), place


@pytest.mark.parametrize(
    "args",
    [
        (torch.full((5, 2), 0.5), torch.ones(5, 2)),
        (torch.full((5, 4), 0.25), torch.ones(4, 4)),
        (torch.full((5, 4), 1.25), torch.ones(5, 4)),
        (torch.full((5, 4), 1), torch.ones(5, 4)),
    ],
)
def test_a_broken_promise_is_found(args):
    assert broken("baseline_bias", args)[0]
    assert not broken("baseline_bias", (torch.full((5, 4), 0.25), torch.ones(5, 4)))[0]
