"""What all cases together say about a wrong answer: a slip that everybody makes, an axis too many, a raw error.

What is said here is an observation, true of every case; where a cause is a guess, it is a question. Left out: mistakes
that are particular to one exercise; diagnosis.py looks for these first.
"""

from __future__ import annotations

import torch

from . import texts
from .compare import as_tensor, difference, leaves

# ---- values ------------------------------------------------------------------


def familiar(results: list[tuple], names: tuple = ()) -> str:
    """One sentence if all (actual, expected, arguments) miss in the same familiar way, else "". names: of arguments."""
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
    if all(e.dtype == a.dtype == torch.bool and a.shape == e.shape for a, e in pairs):
        words = "true and false are exchanged." if all(torch.equal(a, ~e) for a, e in pairs) else _still(pairs)
    else:
        pairs = [(a.double(), e.double()) for a, e in pairs]
        words = _slip(pairs, _lengths([arguments for *_, arguments in results], names))
        words = words or _argument(pairs, [arguments for *_, arguments in results], names) or _still(pairs)
    if path and words:
        words = f"In result{path}: {words}"
    return words[:1].upper() + words[1:]


def _slip(pairs, lengths) -> str:
    """The slip that explains every pair, in words, or ""."""
    a, e = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    if all(_near(x, y) for x, y in pairs) or e.abs().unique().numel() < 2:
        return ""  # only the type is wrong; or one number, which any slip could have made
    if a.abs().max() > 1e-6 * e.abs().max() and all(_near(x, y.trunc()) for x, y in pairs):
        return "the decimals are cut off, by an integer division or a tensor made of integers."
    for slip, words in _SLIPS:
        if all(slip(x, y) for x, y in pairs):
            return words
    long = [(x, y) for x, y in pairs if y.dim() and x.shape == y.shape and y.shape[-1] > 2]
    if any(y.unique().numel() > 2 for _, y in long):
        if all(_near(x[..., 1:], y[..., :-1]) for x, y in long):
            return "shifted in time: the value that belongs to step t stands at step t+1."
        if all(_near(x[..., :-1], y[..., 1:]) for x, y in long):
            return "shifted in time: the value that belongs to step t stands at step t-1."
    if any(x.shape != y.shape for x, y in pairs):
        return ""
    for many, words in enumerate(
        ("a sum, and a mean is expected: divide", "a mean, and a sum is expected: do not divide")
    ):
        fits = [
            n
            for n, sizes in lengths.items()
            if all(_near(x * s if many else x, y if many else y * s) for (x, y), s in zip(pairs, sizes))
        ]
        if fits:
            return f"this is {words} by {fits[0]}."
    if a.isfinite().all() and e.isfinite().all() and e.unique().numel() > 1:
        factor, offset = (a @ e / (e @ e)).item(), (a - e).mean().item()
        if 1e-12 < abs(factor) < 1e12 and _near(a / factor, e):  # GiB for bytes too; below it is rounding
            return f"every value is {factor:.4g} times the expected one."
        if _near(a, e + offset):
            return f"every value is the expected one {'plus' if offset > 0 else 'minus'} {abs(offset):.4g}."
    return ""


def _lengths(cases, names) -> dict[str, list[int]]:
    """{what a mean could have divided by: its number in each case}: the axes and the entries of every argument.

    Whatever is 1 in all cases, or missing in one, is left out; of two with the same numbers the first is kept.
    """
    found = {}
    for i in range(min(map(len, cases), default=0)):
        tensors = [as_tensor(arguments[i]) for arguments in cases]
        if any(t is None or not t.dim() for t in tensors):
            continue
        name, dims = f"`{names[i]}`" if i < len(names) else "its argument", [t.dim() for t in tensors]
        axes = {f"the length of axis 0 of {name}": [len(t) for t in tensors]}
        axes = {f"the length of {name}": [len(t) for t in tensors]} if max(dims) == 1 else axes
        axes |= {f"the length of the last axis of {name}": [t.shape[-1] for t in tensors]}
        for k in range(1, max(dims)):
            axes[f"the length of axis {k} of {name}"] = [t.shape[k] for t in tensors if t.dim() > k]
        axes |= {f"the number of rows of {name}": [t.numel() // max(t.shape[-1], 1) for t in tensors]}
        axes |= {f"the number of all entries of {name}": [t.numel() for t in tensors]}
        for words, sizes in axes.items():
            if len(sizes) == len(cases) and max(sizes) > 1 and sizes not in found.values():
                found[words] = sizes
    return found


def _argument(pairs, cases, names) -> str:
    """Said if every answer is one of the arguments, as it came."""
    for i, name in enumerate(names):
        given = [as_tensor(arguments[i]) for arguments in cases]
        if all(g is not None and _near(a, g.double()) for (a, _), g in zip(pairs, given)):
            return f"in every case this is `{name}`, as it came."
    return ""


def _still(pairs) -> str:
    """Said if the answer is the same in every case, and should not be."""
    a, e = (torch.cat([pair[i].flatten().double() for pair in pairs]) for i in (0, 1))
    if len(pairs) < 2 or e.unique().numel() < 2 or not a.numel() or not e.isfinite().all():
        return ""
    if a.abs().max() <= 1e-6 * min(1.0, e.abs().max()):  # small beside large numbers is not zero
        return "false comes back in every case." if pairs[0][0].dtype == torch.bool else "only zeros come back."
    if a.unique().numel() == 1:
        value = "true" if pairs[0][0].dtype == torch.bool else f"{a[0].item():.6g}"
        return f"{value} comes back in every case."
    return ""


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


# ---- shapes ------------------------------------------------------------------


def shape_tip(pairs) -> str:
    """What may have happened, if it explains every pair (actual, expected) of tensors whose shapes differ; else ""."""
    shapes = [(tuple(a.shape), tuple(e.shape)) for a, e in pairs if a is not None and e is not None]
    shapes = [(a, e) for a, e in shapes if a != e]

    def without_ones(shape):
        return [n for n in shape if n != 1]

    if all(len(a) == len(e) >= 2 and a == (*e[:-2], e[-1], e[-2]) for a, e in shapes):
        return ". Transposed?"
    if all(without_ones(a) == without_ones(e) for a, e in shapes):
        return f". An axis of length 1 too {'many' if all(len(a) > len(e) for a, e in shapes) else 'few'}"
    if all(not a for a, _ in shapes):
        return ". One mean or sum too many?"
    if all(len(a) > len(e) > 0 and a[-1] == e[-1] and set(a) <= set(e) for a, e in shapes):
        return f". {texts.read('slips')['grades']['all met all']}"
    if all(not e for _, e in shapes):
        return ". Is a mean or a sum missing?"
    for axis in (0, -1, 1, -2):
        which = {-1: "the last axis", -2: "the last axis but one"}.get(axis, f"axis {axis}")
        if all(-len(a) <= axis < len(a) and (*a[: axis % len(a)], *a[axis % len(a) + 1 :]) == e for a, e in shapes):
            one = ", or `gather`, which takes one entry of it" if axis == -1 and all(e for _, e in shapes) else ""
            return f". Is a sum or a mean over {which} missing{one}?"
        if all(-len(e) <= axis < len(e) and (*e[: axis % len(e)], *e[axis % len(e) + 1 :]) == a for a, e in shapes):
            return f". {which[0].upper()}{which[1:]} is gone: a sum, a mean or an index too many?"
    return ""


# ---- errors ------------------------------------------------------------------


def error_tip(error: str) -> str:
    """What the raw words of PyTorch or NumPy mean, for errors that come from habits; else ""."""
    tips = texts.read("slips")["errors"].items()
    return next((tip for words, tip in tips if all(part in error for part in words.split(" ... "))), "")
