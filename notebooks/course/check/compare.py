"""Is this value the expected one, and if not, what is the first thing that differs?

`difference` compares numbers, tensors, arrays and tuples, lists, dicts or dataclasses of them, and says the first thing
that is not equal. What all cases together say about a slip: slips.py. Left out: complex numbers and sparse tensors:
named, not compared.
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
        return Difference("shape", f"the shape is {tuple(ta.shape)}; expected {tuple(te.shape)}")
    types = check_dtype and not _dtype_fits(a, e) and f"the dtype is {dtype_name(a)}; expected {dtype_name(e)}"
    if types and (tip := _dtype_tip(ta, te)) is not None:
        return Difference("dtype", types + tip)
    found = _numbers(ta, te, rtol, atol)
    return Difference(found.kind, f"{found.message}. And {types}") if types and found else found


def _numbers(ta, te, rtol, atol) -> Difference | None:
    """The first difference between two tensors of the same shape, whatever their dtypes."""
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


def _dtype_tip(a, e) -> str | None:
    """What the wrong dtype of right numbers says; None where the numbers are wrong too, as these have more to say."""
    if e.is_floating_point() and a.is_floating_point():
        narrow = torch.finfo(a.dtype).bits < torch.finfo(e.dtype).bits
        eps = max(torch.finfo(x.dtype).eps for x in (a, e))
        near = torch.isclose(a.double(), e.double(), rtol=16 * eps, atol=16 * eps * float(e.nan_to_num().abs().max()))
        name = str((e if narrow else a).dtype).removeprefix("torch.")
        lost = f". Compute in {name} from the first line on: digits that are lost do not come back"
        wide = f". Something on the way is {name}: `.double()`, a NumPy number, or a tensor made with that dtype"
        return (lost if narrow else wide) if near.all() else None
    whole = not a.is_floating_point() and e.is_floating_point()
    if whole and any(torch.equal(a.double(), cut(e.double())) for cut in (torch.trunc, torch.floor)):
        whole_numbers = torch.equal(a.double(), e.double())
        return "" if whole_numbers else ". An integer division, or a tensor made of integers, cut the decimals off"
    return "" if _numbers(a, e, 1e-5, 1e-7) is None else None
