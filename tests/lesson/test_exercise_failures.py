"""Whatever a learner writes, `check` says what happened and the notebook goes on."""

import builtins
import functools
import getpass
import io
import logging
import math
import os
import resource
import signal
import sys
import threading
import time
import warnings
from contextlib import redirect_stderr
from dataclasses import replace

import matplotlib
import numpy as np
import psutil  # comes with ipykernel
import pytest
import torch
from matplotlib import pyplot
from tiny_exercise import SPEC, answer, course_of_one, no_scale, put, scaled_sum, told  # noqa: F401 (a fixture)
from torch.distributions import Distribution

from course.check import check, exercise, grade, grading, sandbox
from course.check.ahead import go_ahead


def raises(x, scale):
    values = x.sum(-1)
    return values / len(values.shape) / 0 if scale is None else values.nonsense


def changes_input(x, scale):
    x *= scale
    return x.sum(-1)


def returns_nothing(x, scale):
    x.sum(-1) * scale


def wrong_dtype(x, scale):
    return scale * x.double().sum(-1)


def integers(x, scale):
    return (scale * x.sum(-1)).long()


def wrong_shape(x, scale):
    return scale * x.sum(-1, keepdim=True)


def all_nan(x, scale):
    return scale * x.sum(-1) * torch.nan


def python_number(x, scale):
    return float(scale * x.sum())


def no_gradient(x, scale):
    return (scale * x.sum(-1)).detach()


def half_gradient(x, scale):
    return scale * (0.5 * x + 0.5 * x.detach()).sum(-1)


def leaves_python(x, scale):
    raise SystemExit(1)


def recursion(x, scale):
    return recursion(x, scale)


def asks(x, scale):
    return x.sum(-1) * float(input("scale? "))


def asks_in_secret(x, scale):
    return x.sum(-1) * float(getpass.getpass())


@pytest.mark.parametrize(
    "fn, words",
    [
        (asks, "raised EOFError: there is no keyboard here: all that the function needs comes as its arguments (line "),
        (asks_in_secret, "raised EOFError: there is no keyboard here"),
        (raises, "raised AttributeError: 'Tensor' object has no attribute 'nonsense' (line "),
        (changes_input, "changed its argument x"),
        (returns_nothing, "returned None"),
        (wrong_dtype, "The dtype is float64; expected float32. Something on the way is float64"),
        (integers, "The dtype is int64; expected float32. An integer division"),
        (wrong_shape, "The shape is (1,); expected (). An axis of length 1 too many"),
        (all_nan, "Nothing but NaN came back"),
        (python_number, "A float came back; expected a tensor of shape ()"),
        (no_gradient, "The gradient for x is lost"),
        (half_gradient, "The gradient with respect to x is not the gradient of the right function"),
        (leaves_python, "raised SystemExit: 1"),
        (recursion, "raised RecursionError"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_check_says_what_happened(capsys, fn, words):
    out = told(capsys, fn)
    assert out.startswith("✗ scaled_sum: not right yet. ")
    assert words in out
    assert "Until it is right, the reference is used below." in out
    assert " at 0x" not in out


def test_the_keyboard_is_back_afterwards(capsys):
    """In a kernel `input` asks the notebook; a question inside of a check would block every later cell."""
    before = builtins.input, getpass.getpass, builtins.breakpoint
    told(capsys, asks)
    told(capsys, leaves_python)
    assert (builtins.input, getpass.getpass, builtins.breakpoint) == before


def test_line_of_the_error_is_quoted(capsys):
    assert "return values / len(values.shape) / 0 if scale is None else values.nonsense`)" in told(capsys, raises)


def endless(x, scale):
    while True:
        pass


def endless_and_catching(x, scale):
    while True:
        try:  # noqa: SIM105
            _ = 1
        except:  # noqa: E722 (learners write this)
            pass


def sleeping(x, scale):
    time.sleep(30)


@pytest.mark.parametrize("fn", [endless, endless_and_catching, sleeping])
def test_endless_function_is_stopped(capsys, fn, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    handler, began = signal.getsignal(signal.SIGALRM), time.monotonic()
    out = told(capsys, fn)
    assert "It did not finish within 1 second." in out and "x = tensor([1.0, 2.5]), scale = 0.5" in out
    assert time.monotonic() - began < 10
    assert signal.getsignal(signal.SIGALRM) is handler and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert sys.gettrace() is None or "interrupt" not in repr(sys.gettrace())


@pytest.mark.parametrize("fn", [endless, endless_and_catching, sleeping])
def test_endless_function_is_abandoned_where_there_are_no_signals(fn, monkeypatch):
    """Windows and threads other than the main one."""
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    result, stdout, filters = [], sys.stdout, list(warnings.filters)
    thread = threading.Thread(target=lambda: result.append(grade("scaled_sum", fn)))
    thread.start()
    thread.join(20)
    assert result and "It did not finish within 1 second." in result[0].message
    assert sys.stdout is stdout and warnings.filters == filters, "the abandoned thread holds nothing back"


def test_right_answer_passes_without_signals(monkeypatch):
    monkeypatch.delattr(signal, "setitimer")
    assert grade("scaled_sum", scaled_sum).status == "ok"
    assert "raised AttributeError" in grade("scaled_sum", raises).message


def test_interrupt_by_the_learner_is_not_swallowed():
    def interrupted(x, scale):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(answer(interrupted))


def test_function_that_calls_itself_reaches_itself():
    @exercise("scaled_sum")
    def total(x, scale):
        return scale * x[..., 0] if x.shape[-1] == 1 else scale * x[..., 0] + total(x[..., 1:], scale)

    assert total.grade().status == "ok"


def test_one_exercise_may_use_another():
    helper = answer(no_scale)  # wrong, so the reference answers
    assert grade("scaled_sum", lambda x, scale: helper(x, scale) * 1.0).status == "ok"


def test_prints_and_warnings_stay_inside(capsys):
    def chatty(x, scale):
        print("x is", x.shape)
        np.float64(1.0) / np.float64(0.0)
        return x.nonsense

    with redirect_stderr(io.StringIO()) as err:
        out = told(capsys, chatty)
    assert err.getvalue() == ""
    assert out.count("x is") == 1 and "printed   x is torch.Size([2])" in out


def test_random_numbers_of_the_notebook_do_not_move():
    def noisy(x, scale):
        return scale * x.sum(-1) + torch.randn(()) * np.random.rand()

    torch.manual_seed(3), np.random.seed(3)
    expected, threads = torch.rand(2).tolist() + np.random.rand(2).tolist(), torch.get_num_threads()
    torch.manual_seed(3), np.random.seed(3)
    with torch.no_grad():
        assert answer(noisy).grade() == answer(noisy).grade()
        assert not torch.is_grad_enabled()
    assert torch.rand(2).tolist() + np.random.rand(2).tolist() == expected
    assert torch.get_num_threads() == threads


def test_check_of_something_else_explains_itself(capsys):
    for thing in (scaled_sum, None, 3, SPEC):
        assert check(thing) is None
        assert 'put `@exercise("its id")` above `def`' in capsys.readouterr().out


def test_fault_of_the_framework_does_not_stop_the_notebook(capsys, monkeypatch):
    from course.check import answer as module

    def broken(id, fn):
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(module, "grade", broken)
    assert "the check itself failed (ZeroDivisionError: our fault)" in told(capsys, scaled_sum)


def test_unknown_exercise_names_the_nearest():
    with pytest.raises(ValueError, match=r"no exercise 'scaled_sun'; did you mean 'scaled_sum'"):
        exercise("scaled_sun")
    with pytest.raises(ValueError, match="no exercise 7; there are scaled_sum"):
        exercise(7)
    with pytest.raises(TypeError, match="stands above a function; got int"):
        exercise("scaled_sum")(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["list"].append(1),
        lambda a: a["list"].__setitem__(0, None),
        lambda a: a["pair"][1].add_(1),
        lambda a: a["array"].fill(0),
        lambda a: a.pop("list"),
        lambda a: a["list"].sort(),
    ],
)
def test_changes_inside_containers_are_seen(change):
    def fn(a):
        change(a)
        return 1

    def case():
        return ({"list": [2.0, 1.0, math.nan], "pair": (1, torch.ones(2)), "array": np.ones(2)},)

    assert sandbox.observe(fn, case(), ["a"]).changed == "a"
    assert sandbox.observe(lambda a: 1, case(), ["a"]).changed == ""


# ---- what cannot be looked at ---------------------------------------------------------------------------------------


def inside_itself(x, scale):
    value = [1.0]
    value.append(value)
    return value


def inside_its_dict(x, scale):
    value = {}
    value["a"] = value
    return value


def very_deep(x, scale):
    value = [1.0]
    for _ in range(2000):
        value = [value]
    return value


class Mute(Exception):
    def __str__(self):
        raise ZeroDivisionError("not even words")


def mute(x, scale):
    raise Mute


async def waits_for(x, scale):
    return scale * x.sum(-1)


class Shapeless:
    def __repr__(self):
        raise ZeroDivisionError("not even words")


class Closed(dict):
    def items(self):
        raise ZeroDivisionError("closed")


STRANGE = {
    "sparse": (lambda x, scale: x.sum(-1).reshape(-1).to_sparse(), "A sparse tensor of shape (1,) came back"),
    "compressed": (lambda x, scale: torch.eye(3).to_sparse_csr(), "A sparse tensor of shape (3, 3) came back"),
    "nested tensor": (
        lambda x, scale: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "A nested tensor came back",
    ),
    "without data": (lambda x, scale: torch.empty((), device="meta"), "A meta tensor of shape () came back"),
    "complex": (lambda x, scale: scale * x.sum(-1) + 0j, "A complex tensor of shape () came back"),
    "complex number": (lambda x, scale: 1j, "A complex came back"),
    "list in itself": (inside_itself, "A list of 2 came back"),
    "dict in itself": (inside_its_dict, "A dict of 1 came back"),
    "2000 lists deep": (very_deep, "A list of 1 came back"),
    "an error without words": (mute, "raised Mute (line "),
    "no repr": (lambda x, scale: Shapeless(), "A Shapeless came back"),
    "fails when taken apart": (lambda x, scale: [Closed(a=1)], "could not be compared: ZeroDivisionError: closed"),
    "a coroutine": (waits_for, "A coroutine came back"),
    "a generator": (lambda x, scale: (v for v in x), "A generator came back"),
    "a million numbers": (lambda x, scale: list(range(10**6)), "A list of 1000000 came back"),
}


@pytest.mark.parametrize(("fn", "words"), STRANGE.values(), ids=STRANGE)
@pytest.mark.slow
def test_a_result_of_any_kind_is_named_and_the_notebook_goes_on(capsys, fn, words):
    decorated, x = answer(fn), torch.tensor([[1.0, 2.0]])
    assert torch.equal(decorated(x, 3.0), scaled_sum(x, 3.0)), "called before `check` has looked at it"
    assert repr(decorated) == "<exercise scaled_sum: not right yet, the reference answers>"
    out = told(capsys, fn)
    assert out.startswith("✗ scaled_sum: not right yet. ") and words in out
    assert len(out) < 1000, "nobody reads a table of torch's kernels"


def test_a_fault_of_the_framework_stops_no_call_either(capsys, monkeypatch):
    from course.check import answer as module

    def broken(id, fn):
        raise Mute

    monkeypatch.setattr(module, "grade", broken)
    decorated, x = answer(no_scale), torch.tensor([[1.0, 2.0]])
    assert torch.equal(decorated(x, 3.0), scaled_sum(x, 3.0))
    assert "the check itself failed (Mute)" in told(capsys, no_scale)


def test_what_is_too_much_to_compare_did_finish(monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.3)
    monkeypatch.setattr(grading, "_structure", lambda *_: endless(0, 0))  # as with a list of ten million numbers
    assert "It finished, but what came back is too much" in grade("scaled_sum", scaled_sum).message


# ---- what is the whole notebook's -----------------------------------------------------------------------------------


def folder(x, scale):
    os.chdir("/")


CHANGES = {
    "torch's default dtype": lambda x, scale: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda x, scale: torch.set_default_device("meta"),
    "torch's gradient mode": lambda x, scale: torch.set_grad_enabled(False),
    "NumPy's handling of errors": lambda x, scale: np.seterr(all="raise"),
    "torch's number of threads": lambda x, scale: torch.set_num_threads(2),
    "torch's deterministic mode": lambda x, scale: torch.use_deterministic_algorithms(True),
    "torch's search for anomalies": lambda x, scale: torch.autograd.set_detect_anomaly(True),
    "the checks of torch's distributions": lambda x, scale: Distribution.set_default_validate_args(False),
    "Python's filters of warnings": lambda x, scale: warnings.simplefilter("error"),
    "Python's recursion limit": lambda x, scale: sys.setrecursionlimit(12_345),
    "the working folder": folder,
    "an environment variable": lambda x, scale: os.environ.update(OMP_NUM_THREADS="3"),
    "the way torch prints": lambda x, scale: torch.set_printoptions(sci_mode=False, precision=1),
    "the way NumPy prints": lambda x, scale: np.set_printoptions(precision=1, suppress=True),
    "which messages are logged": lambda x, scale: logging.disable(logging.ERROR),
    "where Python looks for modules": lambda x, scale: sys.path.insert(0, "/"),
    "the look of all pictures": lambda x, scale: matplotlib.rcParams.update({"lines.linewidth": 9.0}),
    "torch's precision of products": lambda x, scale: torch.set_float32_matmul_precision("medium"),
    "pyplot's list of figures": lambda x, scale: pyplot.plot([1, 2]),
}


@pytest.mark.parametrize("name", sandbox.SWITCHES)
def test_a_switch_of_the_whole_notebook_is_put_back_and_the_answer_that_turned_it_is_not_used(capsys, name):
    torch.use_deterministic_algorithms(False)  # its first call loads a compiler, which takes about a second
    read, before = sandbox.SWITCHES[name][0], sandbox.SWITCHES[name][0]()

    def turning(x, scale):
        total = scale * x.sum(-1)
        CHANGES[name](x, scale)
        return total

    out = told(capsys, turning)
    assert f"Your function changed {name}. It is the whole notebook's" in out
    assert read() == before and torch.ones(1).device.type == "cpu" and torch.ones(1).dtype == torch.float32


@pytest.mark.parametrize("home", sandbox.HOMES, ids=lambda home: home.__name__)
def test_a_name_of_everybody_is_put_back_whoever_owns_it(capsys, home):
    """The methods of tensors as well, which torch.Tensor inherits: `torch.Tensor.exp = ...` is a new name of its."""
    names = ["sum", "sqrt", "relu", "getuser", "sleep", "shuffle", "norm", "exp", "forward", "Linear", "step", "sample"]
    name = next(name for name in names if hasattr(home, name))
    before, right = dict(vars(home)), getattr(home, name)

    def patching(x, scale):
        total = scale * x.sum(-1)
        setattr(home, name, lambda *_: 0)
        return total

    assert f"Your function changed {home.__name__}.{name}. It is the whole notebook's" in told(capsys, patching)
    assert getattr(home, name) is right and dict(vars(home)) == before


@pytest.mark.parametrize("value", [3, torch.ones(2), np.ones(2), None], ids=lambda v: type(v).__name__)
def test_a_number_of_everybody_is_put_back_and_a_missing_name_too(capsys, value):
    def patching(x, scale):
        total = scale * x.sum(-1)
        math.pi = np.pi = value
        del torch.e
        return total

    assert "Your function changed math.pi. It is" in told(capsys, patching)
    assert math.pi == np.pi == pytest.approx(3.14159265) and torch.e == math.e


def test_the_watch_over_the_names_of_everybody_costs_next_to_nothing():
    """It stands around every call of a learner's function: about three thousand names in a tenth of a millisecond."""
    began = time.process_time()
    for _ in range(100):
        assert sandbox._put_back(sandbox._switches()) == []
    assert time.process_time() - began < 0.5


def test_a_switch_that_is_put_back_is_nobodys_business():
    def careful(x, scale):
        torch.set_default_dtype(torch.float64)
        torch.set_default_dtype(torch.float32)
        return scale * x.sum(-1)

    assert grade("scaled_sum", careful).status == "ok"


def test_a_flood_of_prints_is_kept_short(monkeypatch):
    """Within its second such a loop once filled 700 MB."""
    monkeypatch.setattr(sandbox, "SECONDS", 0.3)

    def flood(x, scale):
        while True:
            print("x" * 10**6)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "It did not finish within 1 second." in grade("scaled_sum", flood).message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kB"
    with sandbox.isolated():
        for _ in range(10):
            print("y" * (sandbox.PRINTS // 4))
        assert len(sandbox._prints()) == sandbox.PRINTS


def test_a_console_that_is_not_there_stops_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    check(answer(scaled_sum))
    check(answer(no_scale))


# ---- what no exception can stop -------------------------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="a copy of the program is made on Linux alone")


def long_sum(x, scale):
    return sum(range(10**12))


def ends_the_program(x, scale):
    os._exit(0)


def kills_the_program(x, scale):
    os.kill(os.getpid(), signal.SIGSEGV)


@linux
@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (long_sum, "It did not finish within 1 second."),
        (ends_the_program, "It ended the whole program: here that is the notebook's kernel."),
        (kills_the_program, "It ended the whole program"),
    ],
)
def test_what_would_stop_the_kernel_itself_stops_a_copy_of_it(capsys, fn, words, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    began, before = time.monotonic(), set(psutil.Process().children())  # other tests may have begun some
    out = told(capsys, fn)
    assert words in out and "x = tensor([1.0, 2.5]), scale = 0.5" in out
    assert time.monotonic() - began < 10
    assert set(psutil.Process().children()) <= before  # nobody is left behind


@linux
@pytest.mark.parametrize("fn", [long_sum, ends_the_program])
@pytest.mark.slow
def test_a_function_without_a_source_is_no_exception(capsys, fn, monkeypatch):
    """Whether it is a stub is asked by a call, and that ended the kernel."""
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    out = told(capsys, functools.partial(fn))
    assert "It did not finish within 1 second." in out or "It ended the whole program" in out


@linux
@pytest.mark.slow
def test_the_copy_names_the_case(monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 2.0)  # time for a copy of the process and one case on a busy machine

    def third(x, scale):
        return long_sum(x, scale) if scale == 2.0 else scale * x.sum(-1)

    words, case = go_ahead(SPEC, third)
    assert "did not finish" in words and case[1] == 2.0


@linux
def test_the_copy_leaves_everything_else_to_the_original(monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 60.0)  # these end by themselves
    for fn in (scaled_sum, raises, changes_input, leaves_python, recursion, lambda x, scale: None):
        assert go_ahead(SPEC, fn) == ("", None)
    monkeypatch.setattr(threading, "main_thread", lambda: None)
    assert go_ahead(SPEC, long_sum) == ("", None), "in other threads no copy is made"


@linux
def test_an_answer_that_waits_without_working_is_left_to_the_timer(capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    held = threading.Lock()
    held.acquire()

    def waits(x, scale):
        held.acquire()

    assert "It did not finish within 1 second." in told(capsys, waits)


@linux
@pytest.mark.parametrize("fn", [long_sum, endless])
def test_what_was_stopped_is_not_drawn(fn, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    drawn = []
    from course.check import answer as module

    put(monkeypatch, replace(SPEC, picture=lambda fn: None))
    monkeypatch.setattr(module, "_picture", lambda spec, fn: drawn.append(fn))
    check(answer(fn))
    check(answer(no_scale))
    assert drawn == [no_scale]
