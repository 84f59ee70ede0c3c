"""Errors a person can act on: each names the argument, what came, and what was expected. Nothing here but torch."""

import contextlib
import difflib
import functools
import math
import operator
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from importlib.resources import files

import torch
from torch import Tensor

MAY_MISS = ("mask", "values_old", "ended", "truncated", "weights")  # tensors that a formula can do without
INTEGERS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64  # what ids and actions of a table may be


def read_toml(package: str, name: str) -> dict:
    """A table that stands beside the code of `package`."""
    return tomllib.loads(files(package).joinpath(name).read_text("utf-8"))


_READ, _REFUSALS = read_toml(__package__, "validate.toml"), read_toml(__package__, "refusals.toml")
ELSEWHERE, FIELDS, DRAWS = (_READ[name] for name in ("elsewhere", "fields", "draws"))  # see there what they are


def refusal(topic: str, name: str, *given) -> str:
    """The sentence of refusals.toml, with what was given in it."""
    return _REFUSALS[topic][name].format(*given)


def require(good: bool, error: type[Exception], topic: str, name: str, *given) -> None:
    """Raise `error` with that sentence of refusals.toml unless `good`."""
    if not good:
        raise error(refusal(topic, name, *given))


@contextlib.contextmanager
def refusing(caught, error: type[Exception], topic: str, name: str, *given) -> Iterator[None]:
    """What is `caught` inside becomes `error` with that sentence of refusals.toml; the last {} is what was caught."""
    try:
        yield
    except caught as why:
        raise error(refusal(topic, name, *given, why)) from why


def helpful(cls):
    """A dataclass that checks its settings when it is made, and answers a misspelled one with what was probably meant.

    Left out: what fits together with an environment, models or other fields, which a trainer looks at.
    """
    init = cls.__init__

    @functools.wraps(init)
    def checked(self, *args, **given):
        for name in given:
            if unknown := misspelled(cls, name):
                raise TypeError(unknown)
        init(self, *args, **given)
        settings(self)

    cls.__init__ = checked
    return cls


def misspelled(cls, name: str) -> str:
    """What to answer to settings of `cls` that have no field `name`; "" if there is one."""
    known = [f.name for f in fields(cls)]
    elsewhere = {other: ours for other, ours in ELSEWHERE.items() if ours.partition("=")[0] in known}
    if name in known:
        return ""
    close = (difflib.get_close_matches(name, [*known, *elsewhere], 1) or [""])[0]
    meant = f"Did you mean {elsewhere.get(close, close)}?" if close else f"There are {', '.join(known)}"
    return f"{cls.__name__} has no field {name!r}. {meant}"


def settings(config) -> None:
    """ValueError that names field, value and what it may be, for a configuration that cannot work; see validate.toml.

    None may stand where the field's type says so. Fields that the table does not know are looked at elsewhere.
    """
    rules = FIELDS | _READ.get(type(config).__name__, {})
    for f in fields(config):
        value, optional = getattr(config, f.name), "None" in str(f.type)
        match None if optional and value is None else rules.get(f.name, getattr(f.type, "__name__", f.type)):
            case {"least": low}:
                integer(f.name, value, low)
            case {"between": bounds}:
                number(f.name, value, *bounds)
            case {"positive": without}:
                positive(f.name, value, without=without if optional else "")
                without or number(f.name, value)
            case {"one_of": words} if value not in words:
                known = " or ".join(", ".join(map(repr, part)) for part in (words[:-1], words[-1:]))
                raise ValueError(f"{f.name} must be one of {known}; got {value!r}")
            case "bool" if not isinstance(value, bool):
                raise ValueError(f"{f.name} must be True or False; got {value!r}")
        if hasattr(value, "item") or type(value).__module__ in ("decimal", "fractions"):  # else it is written otherwise
            object.__setattr__(config, f.name, value.item() if hasattr(value, "item") else float(value))


def used(config, *, critic=..., named=()) -> None:
    """ValueError that names a field which nothing reads, and that was set or is among `named`. critic: a trainer's."""
    known = vars(config) | {"critic": critic}
    for f in fields(config):
        for other, wanted in _READ["idle"].get(type(config).__name__, {}).get(f.name, {}).items():
            reads = known.get(other, wanted) not in (None, 0) if wanted is True else known[other] in wanted
            meant = "change" if wanted is True else f"take {wanted[0]!r} for"
            words, silent = (f.name, known[f.name], other, known.get(other), meant), f.name not in named
            require(reads or (silent and known[f.name] == f.default), ValueError, "run", "no effect", *words)


def number(name: str, value, low: float = -math.inf, high: float = math.inf, *, why: str = "") -> float:
    """`value` as a finite float in [low, high], or a ValueError that says which of these it missed."""
    expected = "a finite number" if math.isinf(low) and math.isinf(high) else f"a number in [{low}, {high}]"
    x = as_float(value)
    if not (math.isfinite(x) and low <= x <= high):
        raise ValueError(f"{name} must be {expected}; got {value!r}" + (f". {why}" if why else ""))
    return x


def positive(name: str, value, *, without: str = "") -> float:
    """`value` as a float above 0 (infinity counts), or a ValueError. without: what leaving it out means, if one may."""
    x = as_float(value)
    if not x > 0:
        raise ValueError(f"{name} must be positive{f', or None for {without}' if without else ''}; got {value!r}")
    return x


def as_float(value) -> float:
    """NaN for what is no number: a number in quotes would be a text in the arithmetic, True a 1 that nobody meant."""
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):  # the last: 10**400
        odd = any(word in str(getattr(value, "dtype", "")) for word in ("bool", "complex", "U", "S"))
        return math.nan if odd or isinstance(value, str | bytes | bytearray | bool) else float(value)
    return math.nan


def integer(name: str, value, low: int, high: float = math.inf) -> int:
    """`value` as an int in [low, high]; 4.0 and True are refused, because they are usually a slip."""
    with refusing(TypeError, ValueError, "numbers", "whole", name, value, type(value).__name__):
        x = operator.index(None if math.isnan(as_float(value)) else value)
    upper = f" and at most {high}" if high < math.inf else ""
    require(low <= x <= high, ValueError, "numbers", "range", name, low, upper, x)
    return x


def seeds_of(seed) -> tuple[tuple[int, ...], list[int]]:
    """Of an int: (), [it]; of K ints: (K,), all of them. ValueError for what is none to torch."""
    alone = not isinstance(seed, Iterable) or getattr(seed, "ndim", 1) == 0
    numbers = [integer("seed", s, 0, 2**63 - 1) for s in ([seed] if alone else seed)]
    require(numbers, ValueError, "run", "no seed")
    return () if alone else (len(numbers),), numbers


def finite(name: str, x: Tensor) -> None:
    """Raise unless every entry of `x` is a finite number. Quickly: any NaN or infinity would be in the sum."""
    for where in [] if math.isfinite(x.detach().sum()) else (~x.isfinite()).nonzero()[:1].tolist():
        raise ValueError(refusal("numbers", "not finite", name, where, x[tuple(where)].item()))


def all_finite(result: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """`finite` for all named `tensors`, quickly: a finite `result` that is made of all of them shows that they are."""
    if not math.isfinite(result.detach().sum()):
        for name, x in tensors.items():
            finite(name, x)


def flags(name: str, x: Tensor) -> Tensor:
    """`x` as bool; ValueError for an entry that is neither 0 nor 1: a share or a count would pass for true."""
    if x.dtype != torch.bool and not bool((good := (x == 0) | (x == 1)).all()):
        where = tuple((~good).nonzero()[0].tolist())
        raise ValueError(refusal("numbers", "no flag", name, list(where), x[where].item()))
    return x.bool()


def axes(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes to reduce, counted from the front; None means all."""
    given = range(ndim) if dim is None else dim if isinstance(dim, tuple) and dim else (dim,)
    return tuple(dict.fromkeys(integer("dim", d, -ndim, ndim - 1) % ndim for d in given))


def log_softmax(name: str, logits: Tensor) -> Tensor:
    """Log-probabilities (..., A) in float32 at least; a logit may be -inf, but not all of a row, nor NaN or inf."""
    same_shape({name: logits}, reals=True)
    require(logits.ndim and logits.shape[-1], ValueError, "numbers", "no logits", name, tuple(logits.shape))
    logp = torch.log_softmax(at_least_float32(logits), -1)
    if bool((bad := logp.detach().isnan().any(-1)).any()):  # log_softmax makes NaN of a whole row
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(refusal("numbers", "no policy", name, list(where), logits[where].tolist()))
    return logp


def not_negative(name: str, value, *, zero: bool = True, shape=None):
    """A float, or a tensor of them that fits `shape`, finite and not below 0 (zero=False: above it), or ValueError."""
    real = isinstance(value, Tensor) and value.ndim and not (value.is_complex() or value.dtype == torch.bool)
    x = value if real else torch.tensor(as_float(value), dtype=torch.float64)
    require(bool(x.isfinite().all()), ValueError, "numbers", "infinite", name, value)
    wrong = "negative" if zero else "not positive"
    require(bool((x >= 0 if zero else x > 0).all()), ValueError, "numbers", wrong, name, value)
    sizes = zip(x.shape[::-1], () if shape is None else shape[::-1])
    good = shape is None or (x.ndim <= len(shape) and all(n in (1, m) for n, m in sizes))
    require(good, ValueError, "numbers", "no fit", name, shape and tuple(shape), tuple(x.shape))
    return value if real else x.item()


def limited(x: Tensor, low: float | None = None) -> Tensor:
    """`x` within +-20, so that exp(x) is finite; for float16 +-5.5, so that its square is. low: another lower end."""
    limit = min(20.0, math.log(torch.finfo(x.dtype).max) / 2)
    return x.clamp(-limit if low is None else low, limit)


def at_least_float32(x: Tensor) -> Tensor:
    """float16 and bfloat16 as float32: what is summed or squared in them is soon infinite, or 0."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def same_shape(tensors: Mapping[str, Tensor | None], *, reals: bool = False) -> None:
    """Raise unless all of these named arguments are tensors of one shape; None stands for an optional one left out.

    reals: of floating point numbers; whole ones would be ids or ranks in the place of log-probabilities.
    """
    for name, x in tensors.items():
        given = isinstance(x, Tensor)
        require(given or (x is None and name in MAY_MISS), TypeError, "numbers", "no tensor", name, type(x).__name__)
        good = not given or x.is_floating_point() or name == "mask" or not (reals or x.is_complex())
        require(good, ValueError, "numbers", "no reals", name, given and x.dtype)
    shapes = {name: tuple(x.shape) for name, x in tensors.items() if x is not None}
    if len(set(shapes.values())) > 1:
        raise ValueError("these arguments must have one shape: " + ", ".join(f"{n} {s}" for n, s in shapes.items()))


def not_empty(name: str, x: Tensor) -> None:
    """Raise if `x` holds no entry."""
    require(x.numel() > 0, ValueError, "numbers", "empty", name, tuple(x.shape))


def probabilities(name: str, probs, shape: tuple[int, ...]) -> Tensor:
    """`probs` as float64 (..., *shape) whose last axis sums to 1, or a ValueError that shows the offending row."""
    wanted = ", ".join(map(str, shape))
    with refusing((TypeError, ValueError, RuntimeError), TypeError, "numbers", "no table", name, wanted, type(probs)):
        probs = torch.as_tensor(probs.tolist() if hasattr(probs, "filled") and probs.mask.any() else probs)
        same_shape({name: probs})
    require(probs.shape[-len(shape) :] == shape, ValueError, "numbers", "shape", name, wanted, tuple(probs.shape))
    not_empty(name, probs)
    probs = probs.double()
    good = ((probs.sum(-1) - 1).abs() < 1e-5) & (probs >= 0).all(-1)  # false for NaN too
    if not bool(good.all()):
        row = tuple((~good).nonzero()[0].tolist())
        shown = [round(p, 6) for p in probs[row].tolist()]
        raise ValueError(refusal("numbers", "no probabilities", name, list(row), shown, probs[row].sum().item()))
    return probs
