"""Is this value the expected one, and if not, in which familiar way does it miss?

`difference` compares numbers, tensors, arrays and tuples, lists, dicts or dataclasses of them, and says the first thing
that is not equal. `familiar` looks at all cases together and names the slips everybody makes: a sign, a factor 2, a
transposed axis, a shift by one step. Left out: complex numbers and sparse tensors: named, not compared.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import NamedTuple

import numpy as np
import torch

NUMBER = (numbers.Number, np.generic)
DEEP = 20  # lists in lists: a list that holds itself has no end


class Difference(NamedTuple):
    """kind: "type", "shape", "dtype", "nan" or "value". message: for the learner. path: which part of the value."""

    kind: str
    message: str
    path: str = ""


def leaves(value, path: str = "", depth: int = 0) -> list[tuple[str, object]]:
    """Take a value apart: [(where, tensor or number or list of numbers or anything else)]; DEEP inside, no further.

    >>> leaves((1.0, {"a": [2, 3]}, "x"))
    [('[0]', 1.0), ("[1]['a']", [2, 3]), ('[2]', 'x')]
    """
    numbers_only = isinstance(value, (tuple, list)) and all(issubclass(t, NUMBER) for t in set(map(type, value)))
    parts = None
    if depth < DEEP and isinstance(value, (tuple, list)) and not (value and numbers_only):
        parts = ((f"[{i}]", v) for i, v in enumerate(value))
    elif depth < DEEP and isinstance(value, dict):
        parts = ((f"[{k!r}]", v) for k, v in value.items())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((f".{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value))
    if parts is None:
        return [(path, value)]
    return [leaf for name, v in parts for leaf in leaves(v, path + name, depth + 1)]


def difference(actual, expected, *, rtol: float = 1e-5, atol: float = 1e-7, check_dtype: bool = True):
    """The first `Difference` of `actual` from `expected`, or None. check_dtype=False: only shapes and numbers count."""
    if isinstance(actual, dict) and not isinstance(expected, dict):
        return Difference("type", f"{name_of(actual)} came back; expected {name_of(expected)}")
    got, want = leaves(actual), leaves(expected)
    places = {path: i for i, (path, _) in enumerate(want)}
    got.sort(key=lambda leaf: places.get(leaf[0], len(places)))  # a dict may come in another order
    if [path for path, _ in [*got, *want]] != ["", ""]:
        if _kind(actual) != _kind(expected):
            return Difference("type", f"{name_of(actual)} came back; expected {name_of(expected)}")
        if [p for p, _ in got] != [p for p, _ in want]:
            if _kind(expected) == "list":
                return _item(actual, expected)
            return Difference("type", f"the result has the parts {_parts(got)}; expected {_parts(want)}")
    for (path, a), (_, e) in zip(got, want):
        found = _leaf(a, e, rtol, atol, check_dtype)
        if found:
            return Difference(found.kind, (f"result{path}: " if path else "") + found.message, path)
    return None


def _item(actual, expected, path: str = "") -> Difference:
    """Where two lists (or tuples) that are not made of the same parts begin to differ."""
    if _kind(actual) != "list" or _kind(expected) != "list" or len(actual) != len(expected):
        where = f"result{path} is {name_of(actual)}" if path else f"{name_of(actual)} came back"
        if isinstance(actual, dict) and isinstance(expected, dict):
            return Difference("type", f"{where} with the keys {list(actual)}; expected {list(expected)}", path)
        return Difference("type", f"{where}; expected {name_of(expected)}", path)
    shapes = [(_kind(a), *dict(leaves(a))) == (_kind(e), *dict(leaves(e))) for a, e in zip(actual, expected)]
    first = shapes.index(False) if False in shapes else 0
    return _item(actual[first], expected[first], f"{path}[{first}]")


def _leaf(a, e, rtol, atol, check_dtype) -> Difference | None:
    ta, te = as_tensor(a), as_tensor(e)
    if te is None:  # strings, None, other objects
        return None if type(a) is type(e) and a == e else Difference("value", "this is not the expected value")
    plain = isinstance(e, NUMBER) and ta is not None and ta.dim() == 0  # a 0-d tensor will do for a Python number
    if ta is None or (check_dtype and _kind(a) != _kind(e) and not plain):
        return Difference("type", f"{name_of(a)} came back; expected {name_of(e)}")
    if ta.shape != te.shape:
        tip = _shape_tip(ta, te)
        return Difference("shape", f"the shape is {tuple(ta.shape)}; expected {tuple(te.shape)}{tip}")
    if check_dtype and not _dtype_fits(a, e):
        return Difference("dtype", f"the dtype is {dtype_name(a)}; expected {dtype_name(e)}{_dtype_tip(ta, te)}")
    truth = ta.dim() == 0 and ta.dtype == te.dtype == torch.bool
    ta, te = ta.double(), te.double()
    if ta.numel() and ta.isnan().all() and not te.isnan().all():
        return Difference("nan", "nothing but NaN came back. Look for 0/0, log(0), inf - inf, or a mean over nothing")
    if (ta.isnan() & ~te.isnan()).any():
        where = (ta.isnan() & ~te.isnan()).nonzero()[0].tolist()
        return Difference("nan", f"the entry at {where} is NaN. Look for 0/0, log(0), or inf - inf")
    equal = torch.isclose(ta, te, rtol=rtol, atol=atol, equal_nan=True)
    if equal.all():
        return None
    if ta.dim() == 0:
        words = [str(bool(x)) if truth else f"{x.item():.6g}" for x in (ta, te)]
        return Difference("value", f"the value is {words[0]}; expected {words[1]}")
    where = tuple((~equal).nonzero()[0].tolist())
    numbers_there = f"{ta[where].item():.6g}, expected {te[where].item():.6g}"
    return Difference("value", f"the first entry that differs is at {list(where)}: {numbers_there}")


def as_tensor(value) -> torch.Tensor | None:
    """Numbers, lists of numbers, arrays and tensors as a detached tensor on the CPU; None for anything else."""
    if isinstance(value, torch.Tensor):
        return None if _unusual(value) else value.detach().cpu()
    if isinstance(value, (*NUMBER, np.ndarray)) or (isinstance(value, (list, tuple)) and value):
        try:
            value = torch.as_tensor(np.asarray(value))
            return None if value.is_complex() else value
        except (TypeError, ValueError, OverflowError, RecursionError):
            return None
    return None


def _unusual(x: torch.Tensor) -> str:
    """What keeps a tensor from being compared number by number, or ""."""
    if x.layout != torch.strided or x.is_nested:
        return "nested " if x.is_nested else "sparse "
    return "complex " if x.is_complex() else "quantized " if x.is_quantized else "meta " if x.is_meta else ""


def _kind(value) -> str:
    """tensor, array, number, list (tuples too), dict, or the name of the type."""
    kinds = {torch.Tensor: "tensor", np.ndarray: "array", NUMBER: "number", (list, tuple): "list", dict: "dict"}
    return next((name for types, name in kinds.items() if isinstance(value, types)), type(value).__name__)


def name_of(value) -> str:
    """ "a tensor of shape (3,)", "a float", "None", "a tuple of 2" """
    if isinstance(value, torch.Tensor):
        return f"a {_unusual(value)}tensor" + ("" if value.is_nested else f" of shape {tuple(value.shape)}")
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, (list, tuple, dict)):
        return f"a {kind} of {len(value)}"
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _parts(pairs) -> str:
    words = ", ".join(path or "(one value)" for path, _ in pairs[:20]) or "(none)"
    return words if len(words) <= 200 else words[:200] + " ..."


def dtype_name(value) -> str:
    """float32, float64, int64 ... of a tensor or array; float, int or bool of Python numbers and lists of them."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return str(value.dtype).removeprefix("torch.")
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}.get(np.asarray(value).dtype.kind, type(value).__name__)


def _dtype_fits(a, e) -> bool:
    """The same dtype; for Python numbers, an int will do where a float is expected."""
    if isinstance(e, (torch.Tensor, np.ndarray)):
        return dtype_name(a) == dtype_name(e)
    a, e = dtype_name(a).rstrip("0123456789"), dtype_name(e)
    return a == e or (a, e) == ("int", "float")


def _shape_tip(a, e) -> str:
    if a.dim() >= 2 and e.dim() >= 2 and a.shape == e.mT.shape:
        return ". Transposed?"
    if a.dim() == 0:
        return ". One mean or sum too many?"
    if e.dim() == 0:
        return ". Is a mean or a sum missing?"
    if a.dim() == e.dim() + 1 and a.shape[-1] == a.shape[-2] == e.shape[-1]:
        return ". A column (N, 1) met a row (N,), and broadcasting made a square of them"
    if a.squeeze().shape == e.squeeze().shape:
        return ". An axis of length 1 too many or too few"
    return ""


def _dtype_tip(a, e) -> str:
    if e.is_floating_point() and not a.is_floating_point():
        return ". Did an integer division, or a tensor made of integers, cut the decimals off?"
    if e.is_floating_point() and a.is_floating_point():
        return ". Keep the precision of the input: new tensors need dtype=x.dtype"
    return ""


# ---- slips everybody makes ---------------------------------------------------


def familiar(results: list[tuple]) -> str:
    """One sentence if all (actual, expected, arguments) miss in the same familiar way, else ""."""
    differences = [difference(a, e) for a, e, _ in results]
    path = next((d.path for d in differences if d), None)
    if path is None:
        return ""
    pairs = [(a, e) for a, e, _ in results]
    two = all(isinstance(v, tuple) and len(v) == 2 for pair in pairs for v in pair)
    if two and all(difference(a[::-1], e) is None for a, e in pairs):
        return "The two values you return are swapped."
    pairs = [tuple(as_tensor(dict(leaves(v)).get(path)) for v in pair) for pair in pairs]
    if any(v is None for pair in pairs for v in pair):
        return ""
    pairs = [(a.double(), e.double()) for a, e in pairs]
    words = _slip(pairs, [_sizes(arguments) for _, _, arguments in results])
    if path and words:
        words = f"In result{path}: {words}"
    return words[:1].upper() + words[1:]


def _slip(pairs, sizes) -> str:
    """The slip that explains every pair, in words, or ""."""
    if all(_near(a, e) for a, e in pairs):
        return ""  # the numbers are right; it is the type or the dtype that is not
    for slip, words in _SLIPS:
        if all(slip(a, e) for a, e in pairs):
            return words
    long = [(a, e) for a, e in pairs if e.dim() and a.shape == e.shape and e.shape[-1] > 2]
    if any(e.unique().numel() > 2 for _, e in long):
        if all(_near(a[..., 1:], e[..., :-1]) for a, e in long):
            return "shifted in time: the value that belongs to step t stands at step t+1."
        if all(_near(a[..., :-1], e[..., 1:]) for a, e in long):
            return "shifted in time: the value that belongs to step t stands at step t-1."
    if any(a.shape != e.shape for a, e in pairs):
        return ""
    if any(max(s) > 1 for s in sizes):
        if all(any(_near(a * n, e) for n in s) for (a, e), s in zip(pairs, sizes)):
            return "this is a mean, and a sum is expected: do not divide by the number of entries."
        if all(any(_near(a, e * n) for n in s) for (a, e), s in zip(pairs, sizes)):
            return "this is a sum, and a mean is expected: divide by the number of entries."
    a, e = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    if a.numel() > 2 and a.isfinite().all() and e.isfinite().all() and e.unique().numel() > 1:
        factor, offset = (a @ e / (e @ e)).item(), (a - e).mean().item()
        if _near(a, factor * e):
            return f"every value is {factor:.4g} times the expected one."
        if _near(a, e + offset):
            return f"every value is the expected one {'plus' if offset > 0 else 'minus'} {abs(offset):.4g}."
    return ""


def _sizes(arguments) -> set[int]:
    """The lengths that a mean could have divided by: the axes and the number of entries of every argument."""
    tensors = [t for t in map(as_tensor, arguments) if t is not None]
    return {1} | {n for t in tensors for n in (*t.shape, t.numel())}


def _near(a, e) -> bool:
    return a.shape == e.shape and torch.allclose(a, e, rtol=1e-4, atol=1e-6, equal_nan=True)


_SLIPS = [
    (lambda a, e: _near(a, -e), "the sign is flipped: every value is minus the expected one."),
    (lambda a, e: _near(a, 2 * e), "twice the expected value: did you forget the 1/2, or add something twice?"),
    (lambda a, e: _near(a, e / 2), "half the expected value: is there a factor 1/2 too many?"),
    (lambda a, e: _near(a, -2 * e), "minus twice the expected value: check the sign, then the 1/2."),
    (lambda a, e: _near(a, -e / 2), "minus half the expected value: check the sign, then the 1/2."),
    (lambda a, e: a.dim() >= 2 and _near(a.mT, e), "the result is transposed: its last two axes are swapped."),
    (lambda a, e: a.dim() > 0 and _near(a.flip(-1), e), "the right values in reverse order along the last axis."),
    (lambda a, e: _near(a, e.abs()), "the sign is lost: every value is the absolute value of the expected one."),
    (lambda a, e: _near(a, e.exp()), "every value is exp of the expected one: is a logarithm missing?"),
    (lambda a, e: _near(a.exp(), e), "every value is the logarithm of the expected one."),
]
