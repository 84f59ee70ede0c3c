"""Equal or not, the slips everybody makes, and the helpers that properties call."""

import numpy as np
import pytest
import torch

from course.check.compare import difference
from course.check.slips import familiar, shape_tip
from course.check.spec import Wrong, close, mean_within, require


@pytest.mark.parametrize(
    "actual, expected, kind",
    [
        (1, 1.0, None),
        (1.0, 1, "dtype"),
        (True, 1, "dtype"),
        (np.float64(2.0), 2.0, None),
        (torch.tensor(2.0), 2.0, None),
        (2.0, torch.tensor(2.0), "type"),
        ([1.0, 2.0], (1.0, 2.0), None),
        ([1.0], [1.0, 2.0], "shape"),
        ((1.0, 2.0), 1.0, "type"),
        ("a", "a", None),
        ("a", "b", "value"),
        (None, 1.0, "type"),
        ((1.0, torch.ones(2)), (1.0, torch.ones(3)), "shape"),
        ({"a": 1}, {"a": 1}, None),
        ({"b": 1}, {"a": 1}, "type"),
        (torch.tensor([torch.nan, 1.0]), torch.ones(2), "nan"),
        (torch.tensor([torch.nan]), torch.tensor([torch.nan]), None),
        (np.ones(2), torch.ones(2).double(), "type"),
        (torch.ones(2, 3), torch.ones(3, 2), "shape"),
    ],
)
def test_difference(actual, expected, kind):
    found = difference(actual, expected)
    assert (found.kind if found else None) == kind


T = torch.tensor([0.3, -1.2, 2.0, 0.7])
M = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "actual, expected, words",
    [
        (-T, T, "The sign is flipped"),
        (2 * T, T, "Twice the expected value: did you forget the 1/2"),
        (T / 2, T, "Half the expected value"),
        (M.T, M, "The result is transposed"),
        (T.flip(0), T, "reverse order"),
        (torch.cat([T[:1] * 9, T[:-1]]), T, "stands at step t+1"),
        (torch.cat([T[1:], T[:1] * 9]), T, "stands at step t-1"),
        (3 * T, T, "3 times the expected one"),
        (T - 0.25, T, "minus 0.25"),
        (T.exp(), T, "is a logarithm missing"),
        (T.abs(), T, "sign is lost"),
        ((T, M), (M, T), "The two values you return are swapped"),
        ((M, -T), (M, T), "In result[1]: the sign is flipped"),
        (T**2 - 1, T, ""),
        (T, T, ""),
    ],
)
def test_familiar_slips_are_named(actual, expected, words):
    said = familiar([(actual, expected, (T,))])
    assert words in said if words else said == ""


def test_a_slip_must_explain_every_case():
    assert familiar([(-T, T, (T,)), (T + 0.1, T, (T,))]) == ""


W = torch.tensor([[1.0, 2.0, 4.0], [3.0, -5.0, 0.5]])


@pytest.mark.parametrize(
    "actual, expected, words",
    [
        (
            lambda x: x.sum(-1),
            lambda x: x.mean(-1),
            "a sum, and a mean is expected: divide by the length of the last axis of `x`.",
        ),
        (lambda x: x.mean(-1), lambda x: x.sum(-1), "do not divide by the length of the last axis of `x`."),
        (lambda x: x.sum(0), lambda x: x.mean(0), "divide by the length of axis 0 of `x`."),
        (lambda x: x.sum(), lambda x: x.mean(), "divide by the number of all entries of `x`."),
        (lambda x: x.sum(), lambda x: x.sum(-1).mean(), "divide by the length of axis 0 of `x`."),
        (lambda x: x * 0, lambda x: x, "Only zeros come back."),
        (lambda x: 1e-19 * x, lambda x: x, "Only zeros come back."),
        (lambda x: x / 2**30, lambda x: x, "Every value is 9.313e-10 times the expected one."),
        (lambda x: x * 2**30, lambda x: x, "Every value is 1.074e+09 times the expected one."),
        (lambda x: 1e-9 * x.roll(1), lambda x: x, "Only zeros come back."),
        (lambda x: x * 0 + 2, lambda x: x, "2 comes back in every case."),
        (lambda x: x.clone(), lambda x: 3 * x + x**2, "In every case this is `x`, as it came."),
        (lambda x: x > 0, lambda x: x <= 0, "True and false are exchanged."),
        (lambda x: x > 99, lambda x: x <= 0, "False comes back in every case."),
        (lambda x: (2.5 * x).int(), lambda x: 2.5 * x, "The decimals are cut off"),
    ],
)
def test_what_is_said_names_the_axis_and_the_argument(actual, expected, words):
    said = familiar([(actual(x), expected(x), (x,)) for x in (W, W[:, :2], torch.cat([W, -W, W**2]))], ("x",))
    assert said.endswith(words) or (words in said and "cut off" in words)


def test_small_beside_large_numbers_is_not_zero():
    """16 bytes of one parameter, where those of billions are wanted: a number came back."""
    few, all_of_them = torch.tensor([16.0, 4.0]), torch.tensor([16e10, 4e9])
    assert "zero" not in familiar([(few, all_of_them, ()), (few, 2 * all_of_them, ())])


def test_one_number_names_no_slip():
    """0.7 where 1.4 is expected once: half of it, a mean of two, 0.7 too little. Nobody can know."""
    assert familiar([(0.7, 1.4, (T,))]) == ""


@pytest.mark.parametrize(
    "pairs, words",
    [
        ([((1, 3), (3,)), ((2, 3), (3,)), ((4, 2), (2,))], "Is a sum or a mean over axis 0 missing?"),
        ([((4, 1), (4,)), ((2, 1), (2,))], "An axis of length 1 too many"),
        ([((1, 1), (1,)), ((4, 4), (4,))], "Every entry met every other"),
        ([((3,), (3,)), ((4, 4), (4,)), ((2, 3, 2, 3), (2, 3))], "Every entry met every other"),
        ([((3, 2), (2, 3))], "Transposed?"),
        ([((), (3,)), ((), (2, 2))], "One mean or sum too many?"),
        ([((3, 4), (3,)), ((2,), ())], "Is a sum or a mean over the last axis missing?"),
        (
            [((2, 3, 9), (2, 3)), ((4, 9), (4,))],
            "over the last axis missing, or `gather`, which takes one entry of it?",
        ),
        ([((3,), ()), ((2,), ())], "Is a mean or a sum missing?"),
        ([((1, 2), (2,)), ((5,), (3,))], ""),
    ],
)
def test_a_tip_about_shapes_fits_every_case(pairs, words):
    said = shape_tip([(torch.zeros(a), torch.zeros(e)) for a, e in pairs])
    assert words in said if words else said == ""


@pytest.mark.parametrize(
    "actual, expected, kind, words",
    [
        (torch.tensor([1, 0]), torch.tensor([0.5, -1.0]), "value", "And the dtype is int64; expected float32"),
        (torch.tensor([0, -1]), torch.tensor([0.5, -1.0]), "dtype", "cut the decimals off"),
        (torch.tensor([2, -1]), torch.tensor([2.0, -1.0]), "dtype", "the dtype is int64; expected float32"),
        (T.bfloat16(), T, "dtype", "Compute in float32 from the first line on"),
        (T.float(), T.double() + 1e-9, "dtype", "Compute in float64 from the first line on"),
        (T.double(), T, "dtype", "Something on the way is float64"),
        (T.double() + 0.1, T, "value", "And the dtype is float64; expected float32"),
    ],
)
def test_the_numbers_are_judged_before_their_dtype(actual, expected, kind, words):
    found = difference(actual, expected)
    assert found.kind == kind and words in found.message


def test_mean_within():
    samples = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 1.0, 2.0])
    mean_within(samples, torch.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(Wrong, match=r"The mean of 4000 samples is 1.98, give or take 0.016; exact is 2.2"):
        mean_within(samples, torch.tensor([0.0, 1.0, 2.2]))
    with pytest.raises(Wrong):
        mean_within(samples * torch.nan, torch.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(Wrong):
        mean_within(torch.ones(5), torch.tensor(1.01))
    with pytest.raises(ValueError, match=r"samples must be \(N, \*\(2,\)\)"):
        mean_within(samples, torch.zeros(2))


def test_require_and_close():
    require(torch.tensor(True))
    with pytest.raises(Wrong, match="because"):
        require(False, "because")
    close(torch.tensor(0.3), 0.1 + 0.2)
    with pytest.raises(Wrong):
        close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]))


@pytest.mark.parametrize(
    "got, expected, words",
    [
        ((torch.tensor(4), torch.tensor(-0.1)), (4, -0.1), "result[0] is a tensor of shape (); expected an int"),
        ((4, None), (4, -0.1), "result[1] is None; expected a float"),
        ((None, None, None), (4, -0.1), "a tuple of 3 came back; expected a tuple of 2"),
        ([[1.0], [None]], [[1.0], [2.0]], "result[1][0] is None; expected a float"),
        ((1, 2), (torch.tensor(1), torch.tensor(2)), "result[0] is an int; expected a tensor of shape ()"),
        ({"a": 1}, {"b": 1}, "the result has the parts ['a']; expected ['b']"),
    ],
)
def test_other_parts_are_named_one_by_one(got, expected, words):
    assert difference(got, expected).message == words
