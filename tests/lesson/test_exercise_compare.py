"""Equal or not, the slips everybody makes, and the helpers that properties call."""

import numpy as np
import pytest
import torch

from course.check.compare import difference, familiar
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
        (T.sum() / 4, T.sum(), "This is a mean, and a sum is expected"),
        (T.sum(), T.sum() / 4, "This is a sum, and a mean is expected"),
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
