"""A wrong answer as an edit of the right one's text: what differs is what one reads, and nothing else can differ.

Left out: edits of functions with closures or decorators; no solution has any.
"""

from __future__ import annotations

import inspect
import linecache
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType

from .spec import Mistake


def edited(solution: Callable, edits: dict[str, str], name: str) -> Callable:
    """`solution` with each text replaced by another, in order, called `name`; it sees the solution's own module.

    ValueError unless each text stands there once: the solution has changed. `inspect` finds the wrong source, and
    `.edits` are the edits.
    """
    source = inspect.getsource(solution)
    for right, wrong in edits.items():
        if (times := source.count(right)) != 1:
            raise ValueError(f"{name}: {solution.__name__} must hold this text once, found {times} times: {right!r}")
        source = source.replace(right, wrong)
    source = source.replace(f"def {solution.__name__}(", f"def {name}(")
    file = f"<{solution.__module__}: {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = compile("from __future__ import annotations\n" + source, file, "exec", dont_inherit=True)
    code = next(c for c in module.co_consts if isinstance(c, CodeType))
    made = FunctionType(code, solution.__globals__, name, solution.__defaults__)
    made.edits = dict(edits)
    return made


def written(solution: Callable) -> list[Mistake]:
    """The mistakes that stand under `wrong`, by the solution's name, in the .toml beside its module.

    Each has a name, edits ([right, wrong], in order), a hint and perhaps a source.
    """
    table = tomllib.loads(Path(inspect.getfile(solution)).with_suffix(".toml").read_text("utf-8"))
    return [
        Mistake(edited(solution, dict(one["edits"]), one["name"]), one["hint"], one.get("source", ""))
        for one in table["wrong"][solution.__name__]
    ]
