"""A function with some of its words replaced: how an exercise gets its wrong answers, and the clinic its sick trainers.

What differs from the right text is what one reads, and nothing else can differ. Left out: functions with closures.
"""

from __future__ import annotations
import __future__

import inspect
import linecache
import textwrap
import zlib
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType


def source_of(function: Callable) -> str:
    """The text of a function as it is now, at the margin, decorators aside."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    return "".join(lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :])


def edited(function: Callable, edits: Mapping[str, str], name: str = "") -> FunctionType:
    """`function` with each text of `edits` replaced by another, in order, called `name` if one is given.

    It sees the module of `function`; tracebacks and `inspect` find its own text, and `.edits` are the edits. ValueError
    with both names unless each text stands there once when its turn comes: `function` has changed.
    """
    source, called = source_of(function), name or function.__name__
    for right, wrong in edits.items():
        if (times := source.count(right)) != 1:
            where = f"{function.__module__}.{function.__qualname__}"
            raise ValueError(f"{called}: {where} must hold this text once, found {times} times: {right!r}")
        source = source.replace(right, wrong)
    source = source.replace(f"def {function.__name__}(", f"def {called}(", 1)
    file = f"<{called} {zlib.crc32(source.encode()):08x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = compile(source, file, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    code = next(constant for constant in module.co_consts if isinstance(constant, CodeType))
    made = FunctionType(code, function.__globals__, called, function.__defaults__)
    made.__kwdefaults__, made.edits = function.__kwdefaults__, dict(edits)
    return made
