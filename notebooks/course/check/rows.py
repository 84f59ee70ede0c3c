"""Cases and examples of an exercise as a table, exercises/NAME.toml:

    seed = 5                                        # of a generator for all that is drawn, in the order of the cases
    cases = [
      [[0.5, -1.0], 0.2],                           # a list: the arguments of one call
      [{ normal = [3, 4] }, { float32 = [1.0] }],   # drawn, or of another type
      { groups = [0, 0, 1], seed = 4 },             # a table: what the exercise's own function makes arguments of
    ]

    [examples.golden]                               # a property that needs no code: these calls give these values
    calls = [[[1.0], 0.2]]
    wants = [[1.2]]                                 # without wants: all give what the first gives

A list is a tensor: float64, int64 or bool. `plain = true`: it stays a list. "None" is None, `{ tuple = [1] }` a tuple.
Left out: whatever has to be computed; that stands in the exercise's file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .. import exercises
from .spec import close


@cache
def read(name: str) -> dict:
    """The table of the exercise in the file `name`."""
    return tomllib.loads((Path(exercises.__file__).parent / f"{name}.toml").read_text("utf-8"))


def rows(name: str, make: Callable | None = None, which: str = "cases") -> Callable[[], list[tuple]]:
    """The function that makes the cases, or other rows that are called `which`, new ones at every call.

    make: the arguments of a row that is a table, make(**row), or make(generator, **row) if the table has a seed.
    """

    def cases():
        table = read(name)
        g = torch.Generator().manual_seed(table["seed"]) if "seed" in table else None
        return [_arguments(row, g, make, table) for row in table[which]]

    return cases


def examples(name: str, make: Callable | None = None) -> list[Callable]:
    """The properties of the table `examples`, each called like its key; `make` as above. atol: how close is equal."""
    return [_holds(name, key, make) for key in read(name)["examples"]]


def _holds(name: str, key: str, make: Callable | None) -> Callable:
    def holds(fn):
        table = read(name)
        says = table["examples"][key]
        cases = [_arguments(call, None, make, table) for call in says["calls"]]
        wants = says["wants"] if "wants" in says else [fn(*cases[0])] * len(cases)
        for case, want in zip(cases, wants):
            if isinstance(want, dict) and not table.get("plain"):
                want = _entry(want, None)
            close(fn(*case), want, case=case, atol=says.get("atol", 1e-7))

    holds.__name__ = key
    return holds


def _arguments(row, g, make, table: dict) -> tuple:
    if isinstance(row, dict):
        row = {key: getattr(torch, x) if key == "dtype" else _plain(x) for key, x in row.items()}
        return make(g, **row) if g else make(**row)
    return tuple(_plain(x) if table.get("plain") else _entry(x, g) for x in row)


def _plain(x):
    if isinstance(x, dict) and "tuple" in x:
        return tuple(x["tuple"])
    return None if x == "None" else deepcopy(x)


def _entry(x, g):
    if isinstance(x, list):
        return torch.tensor(np.array(x))
    if not isinstance(x, dict):
        return _plain(x)
    for name in ("float32", "float64", "int64", "bool"):
        if name in x:
            return torch.tensor(x[name], dtype=getattr(torch, name))
    return _draw(g if "seed" not in x else torch.Generator().manual_seed(x["seed"]), **x)


def _draw(
    g, *, normal=None, uniform=None, integers=None, below=0, seed=0, dtype="float64", to="", size=False, times=1, plus=0
):
    """Numbers of one kind in this shape; integers from 0 to below - 1. size: absolute values. to: converted at last."""
    if integers is not None:
        return torch.randint(below, integers, generator=g)
    x = (torch.randn if uniform is None else torch.rand)(normal or uniform, generator=g, dtype=getattr(torch, dtype))
    return (times * (x.abs() if size else x) + plus).to(getattr(torch, to or dtype))
