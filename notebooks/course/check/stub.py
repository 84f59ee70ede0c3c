"""Has anybody written something here yet? Read from the syntax tree, so that nothing has to run."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable

from . import sandbox
from .ahead import go_ahead
from .spec import Exercise


def is_stub(fn: Callable, spec: Exercise) -> bool:
    """True if the body is only a docstring, `...`, `pass` or `raise NotImplementedError`.

    Without a readable source the function is called once: NotImplementedError or None means that it is a stub.
    """
    body = body_of(fn)
    if body is not None:
        return all(_is_blank(node) for node in body)
    try:
        with sandbox.isolated():
            if go_ahead(spec, fn)[0]:
                return False
            seen = sandbox.limited(lambda: sandbox.observe(fn, spec.cases()[0], sandbox.names_of(spec)))
    except sandbox.TimeUp:
        return False
    return seen.error.split(":")[0] == "NotImplementedError" or (not seen.error and seen.value is None)


def _is_blank(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        name = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(name, ast.Name) and name.id == "NotImplementedError"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value is ... or isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def body_of(fn: Callable) -> list[ast.stmt] | None:
    """The statements of a function's body, or None if its source cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError):
        return None
    found = (n.body for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == fn.__name__)
    return next(found, None)


def returns_something(fn: Callable) -> bool:
    """Does a `return` with something behind it stand in the body? False too if the source cannot be read."""
    found = [n for node in body_of(fn) or () for n in _own(node) if isinstance(n, ast.Return)]
    return any(n.value is not None and ast.unparse(n.value) != "None" for n in found)


def _own(node: ast.AST):
    """A node and those below it, without the bodies of functions inside."""
    yield node
    for child in () if isinstance(node, (ast.FunctionDef, ast.Lambda)) else ast.iter_child_nodes(node):
        yield from _own(child)


def fingerprint(fn: Callable) -> str:
    """Eight characters that are the same for the same code, whatever its spacing, comments and docstring."""
    body = body_of(fn)
    if body is None:
        code = getattr(fn, "__code__", None)
        text = repr((code.co_code, code.co_names, [c for c in code.co_consts if not inspect.iscode(c)])) if code else ""
    else:
        text = "\n".join(ast.dump(node) for node in body if not _is_blank(node))
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
