"""Running somebody else's function safely: a time limit, its own random numbers, its prints kept, its inputs watched.

The limit is a timer signal on Unix's main thread; elsewhere (Windows, other threads) a daemon thread that is abandoned.
It counts processor time, so that a busy machine does not fail a right answer; three times as much on the clock ends it
too. A loop inside of C, `sum(range(10**12))`, hears neither, and `os._exit` ends more than itself: on Linux a copy of
this program goes ahead (ahead.py). Left out: security. The function is the learner's own, in the learner's notebook.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import getpass
import inspect
import io
import linecache
import logging
import math
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from operator import is_not

import numpy as np
import torch
from matplotlib import rcParams
from matplotlib._pylab_helpers import Gcf  # pyplot's own, without loading pyplot

from .compare import leaves
from .spec import Exercise

SECONDS = 1.0  # processor time of one grade
PRINTS = 100_000  # characters kept of what is printed: a loop that prints for a second would fill the memory
LATE = "it did not finish within 1 second. Is there an endless loop, far more work than needed, or a large import?"
CHECKED = torch.distributions.Distribution
HOMES = [builtins, getpass, math, random, time, np, np.linalg, np.random, torch, torch.linalg, torch.nn.functional]
HOMES += [torch.Tensor, torch.nn, torch.nn.Module, torch.optim.Adam, CHECKED, torch.distributions.Categorical]
PRINTED = vars(inspect.getmodule(torch.set_printoptions).PRINT_OPTS)  # torch has no get_printoptions
SWITCHES = {  # what is the whole notebook's, and how it is read and set
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (
        torch.get_default_device,
        lambda d: torch.set_default_device(None if d.type == "cpu" else d),
    ),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "NumPy's handling of errors": (np.geterr, lambda how: np.seterr(**how)),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic mode": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "torch's search for anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the checks of torch's distributions": (lambda: vars(CHECKED)["_validate_args"], CHECKED.set_default_validate_args),
    "Python's filters of warnings": (lambda: [*warnings.filters], lambda x: warnings.filters.__init__(x)),
    "Python's recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "the working folder": (os.getcwd, os.chdir),
    "an environment variable": (lambda: dict(os.environ), lambda x: (os.environ.clear(), os.environ.update(x))),
    "the way torch prints": (lambda: dict(PRINTED), PRINTED.update),
    "the way NumPy prints": (np.get_printoptions, lambda how: np.set_printoptions(**how)),
    "which messages are logged": (lambda: logging.root.manager.disable, logging.disable),
    "where Python looks for modules": (lambda: [*sys.path], lambda paths: sys.path.__setitem__(slice(None), paths)),
    "the look of all pictures": (lambda: [*dict.items(rcParams)], lambda items: dict.update(rcParams, items)),
    "torch's precision of products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "pyplot's list of figures": (lambda: [*Gcf.figs], lambda old: [*map(Gcf.destroy, {*Gcf.figs} - {*old})]),
}


class TimeUp(BaseException):
    """The time limit was reached. Not an Exception, so that a learner's `except Exception` lets it pass."""


def limited(job):
    """job() with a time limit of SECONDS, or TimeUp. Inside another `limited` the outer limit holds."""
    if running:
        return job()
    running.append(True)
    try:
        on_main = threading.current_thread() is threading.main_thread()
        return (_by_signal if on_main and hasattr(signal, "setitimer") else _by_thread)(job, SECONDS)
    finally:
        running.clear()


running: list[bool] = []


def _clock(seconds):
    """A function that says how many times over the limit is used up."""
    cpu, wall = time.process_time(), time.monotonic()
    return lambda: max(time.process_time() - cpu, (time.monotonic() - wall) / 3) / seconds


def _by_signal(job, seconds):
    used, due, armed = _clock(seconds), 1.0, True

    def tick(_signal, frame):
        nonlocal due
        if not armed or used() < due:
            return
        if due > 1:  # a bare `except:` swallowed the first: raise at its next line too, which is outside that try
            frame.f_trace = interrupt
            sys.settrace(interrupt)
        due = used() + 0.2
        raise TimeUp

    def interrupt(_frame, _event, _arg):
        raise TimeUp

    trace, handler = sys.gettrace(), signal.signal(signal.SIGALRM, tick)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        try:
            return job()
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if sys.gettrace() is interrupt:
            sys.settrace(trace)
        if timer[0]:
            signal.setitimer(signal.ITIMER_REAL, *timer)


def _by_thread(job, seconds):
    used, result = _clock(seconds), {}

    def work():
        torch.set_num_threads(1)
        try:
            result["value"] = job()
        except BaseException as problem:
            result["problem"] = problem

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and used() < 1:
        thread.join(0.01)
    if thread.is_alive():  # abandoned; if it runs Python code it also gets the exception and ends
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TimeUp))
        thread.join(0.1)
        raise TimeUp
    if "problem" in result:
        raise result["problem"]
    return result["value"]


class _Prints(io.StringIO):
    """Keeps the first PRINTS characters."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTS - self.tell())])
        return len(text)


@contextlib.contextmanager
def isolated():
    """Keep prints, warnings and questions from the notebook, gradients on; restore random numbers and switches.

    Entered by the thread that waits, never by the one that may be abandoned: so everything is put back in any case.
    A question (`input`) raises: it would wait in the notebook, and no other cell would run until it is answered.
    One thread, because the tensors are tiny: on a busy machine torch's threads mostly wait for each other.
    """
    prints = _Prints()
    states = (random.getstate(), np.random.get_state(), torch.random.get_rng_state())
    switches = _switches()
    try:
        torch.set_num_threads(1)
        builtins.input = getpass.getpass = _no_keyboard
        with warnings.catch_warnings(), contextlib.redirect_stdout(prints), contextlib.redirect_stderr(prints):
            warnings.simplefilter("ignore")
            with torch.enable_grad():
                yield
    finally:
        _put_back(switches)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


def _no_keyboard(*_args, **_keywords):
    raise EOFError("there is no keyboard here: all that the function needs comes as its arguments")


def _switches() -> dict:
    return {name: read() for name, (read, _) in SWITCHES.items()} | {"": [dict(vars(home)) for home in HOMES]}


def _put_back(switches: dict) -> list[str]:
    """The names of those that were changed and are now as they were."""
    changed = [name for name, (read, _) in SWITCHES.items() if read() != switches[name]]
    for name in changed:
        SWITCHES[name][1](switches[name])
    for home, before in zip(HOMES, switches[""]):
        now = vars(home)
        if len(now) == len(before) and not any(map(is_not, now.values(), before.values())):
            continue
        new = [name for name, f in now.items() if name not in before and callable(f)]  # modules come by themselves
        old = [name for name, f in before.items() if now.get(name) is not f]
        for name in (*new, *old):
            setattr(home, name, before[name]) if name in before else delattr(home, name)
            changed.append(f"{home.__name__}.{name}")
    return changed


def reseed() -> None:
    """Start all random numbers at seed 0, as before every call of a learner's function."""
    random.seed(0)
    np.random.seed(0)
    torch.random.default_generator.manual_seed(0)


def _prints() -> str:
    """What has been printed inside `isolated` so far."""
    return sys.stdout.getvalue() if isinstance(sys.stdout, io.StringIO) else ""


@dataclass
class Observation:
    """What one call did.

    Its value, or the exception ("type: message") and the line it came from; the name of an argument or of a switch that
    it changed, and whether an argument was only told to carry a gradient; what it printed. `gradients` is filled in
    when an exercise asks for them, and `no_gradients` with the exception if there are none.
    """

    value: object = None
    error: str = ""
    line: str = ""
    changed: str = ""
    tracked: bool = False
    gradients: dict | None = None
    no_gradients: str = ""
    printed: str = ""


def names_of(spec: Exercise) -> list[str]:
    """The names of the solution's arguments."""
    return list(inspect.signature(spec.solution).parameters)


def observe_all(spec: Exercise, fn, now: list | None = None) -> list[Observation]:
    """fn on every case, with gradients if the exercise asks for them. `now` receives the case in work."""
    names = names_of(spec)
    wanted = names if spec.gradient is True else list(spec.gradient or ())
    observations, again = [], spec.cases() if wanted else []
    for i, args in enumerate(spec.cases()):
        if now is not None:
            now[:] = [snapshot(args)]
        seen = observe(fn, args, names)
        if wanted and not seen.error and not seen.changed:
            seen.gradients, seen.no_gradients = gradients(fn, again[i], names, wanted)
        observations.append(seen)
    return observations


def observe(fn, args: tuple, names: list[str]) -> Observation:
    """fn(*args) once, watched."""
    before, seen, printed, switches = snapshot(args), Observation(), len(_prints()), _switches()
    tracking = [isinstance(a, torch.Tensor) and a.requires_grad for a in args]
    reseed()
    try:
        seen.value = fn(*args)
        if inspect.iscoroutine(seen.value):
            seen.value.close()  # else Python warns the notebook that nobody waited for it
    except (KeyboardInterrupt, TimeUp):
        raise
    except BaseException as problem:
        seen.error, seen.line = describe_error(problem, fn)
    seen.printed = _prints()[printed:]
    changed = [name for name, a, b in zip(names, before, args) if not _equal(a, b)] + _put_back(switches)
    tracked = [n for n, a, was in zip(names, args, tracking) if isinstance(a, torch.Tensor) and a.requires_grad != was]
    seen.changed, seen.tracked = (*changed, *tracked, "")[0], not changed and bool(tracked)
    return seen


def gradients(fn, args: tuple, names: list[str], wanted: list[str]) -> tuple[dict, str]:
    """{name: d(fixed weighted sum of all floating-point results) / d(argument)}, ""; not connected: zeros.

    {} and the exception in words if something was raised.
    """
    args = [a.clone().requires_grad_() if n in wanted and _is_float(a) else a for a, n in zip(args, names)]
    inputs = {n: a for a, n in zip(args, names) if n in wanted and _is_float(a)}
    reseed()
    try:
        outputs = [v.double() for _, v in leaves(fn(*args)) if _is_float(v) and v.requires_grad]
        if not outputs:
            return {n: torch.zeros_like(a) for n, a in inputs.items()}, ""
        weights = [torch.linspace(0.5, 1.5, v.numel(), dtype=v.dtype, device=v.device).view(v.shape) for v in outputs]
        total = sum((v * w).sum() for v, w in zip(outputs, weights))
        found = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
        return {n: torch.zeros_like(a) if g is None else g for (n, a), g in zip(inputs.items(), found)}, ""
    except (KeyboardInterrupt, TimeUp):
        raise
    except BaseException as problem:
        return {}, describe_error(problem, fn)[0]


def _is_float(value) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def snapshot(value):
    """A copy of tensors, arrays, lists, tuples and dicts; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        copies = [snapshot(v) for v in value]
        return copies if isinstance(value, list) else tuple(copies)
    return {k: snapshot(v) for k, v in value.items()} if isinstance(value, dict) else value


def _equal(a, b) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(7e77), b.nan_to_num(7e77))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    return a is b or (isinstance(a, (int, float, str)) and type(a) is type(b) and a == b)


def describe_error(problem: BaseException, fn) -> tuple[str, str]:
    """("ZeroDivisionError: division by zero", "line 3: `return total / 0`"), the deepest line in fn's own cell."""
    words = first_line(problem)
    error = f"{type(problem).__name__}: {words}" if words else type(problem).__name__
    home = getattr(getattr(fn, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(problem.__traceback__) if f.filename == home]
    source = linecache.getline(home, lines[-1]).strip() if lines else ""
    return error, f"line {lines[-1]}: `{source}`" if source else ""


def first_line(problem: BaseException) -> str:
    """Of its message; "" if it has none, or one that cannot be read."""
    try:
        return (str(problem).strip().splitlines() or [""])[0][:300]
    except Exception:
        return ""
