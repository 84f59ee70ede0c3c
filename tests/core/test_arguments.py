"""Every argument of every formula, in turn, as something else: a message that names it, or the right number.

Neither torch's own words, which know no names, nor a number that something else was taken for.
"""

import math

import pytest
import torch

from ppo_lesson import kl, objectives, returns
from ppo_lesson.language.advantages import group_advantages, shape_rewards

X, NO = torch.tensor([[0.1, -0.2, 0.3], [0.5, 0.2, -1.0]]), torch.tensor([[False, False, True], [False, True, False]])
SCORES, GROUPS, PAIR = torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), {"logp": X, "logp_old": X, "advantages": X}
GOOD = {  # function: arguments that it takes
    objectives.policy_gradient: {"logp": X, "advantages": X},
    objectives.surrogate: PAIR,
    objectives.clipped_surrogate: PAIR | {"eps": 0.2, "eps_high": 0.3, "dual_clip": 3.0},
    objectives.penalized_surrogate: PAIR | {"kl": X.abs(), "beta": 1.0},
    objectives.clip_fraction: PAIR | {"eps": 0.2, "eps_high": 0.3, "mask": NO, "dim": -1},
    objectives.clip_range: {"eps": 0.2, "eps_high": 0.3, "dual_clip": 3.0},
    objectives.value_loss: {"values": X, "returns": X, "values_old": X, "clip": 0.2},
    objectives.entropy: {"logits": X},
    objectives.aggregate: {"x": X, "mask": NO, "how": "token-mean", "dim": -1, "denominator": 2.0},
    objectives.explained_variance: {"values": X, "returns": X, "mask": NO, "dim": -1},
    returns.discounted_returns: {"rewards": X, "gamma": 0.9, "ended": NO},
    returns.gae: {"rewards": X, "values": X, "next_values": X, "terminated": NO, "truncated": NO, "mask": ~NO}
    | {"gamma": 0.9, "lam": 0.9},
    returns.whiten: {"x": X, "mask": ~NO, "dim": -1, "eps": 1e-8},
    kl.exact: {"logits_p": X, "logits_q": X},
    kl.estimate: {"logp": X, "logp_ref": X, "kind": "k3"},
    kl.estimate_off_policy: {"logp": X, "logp_old": X, "logp_ref": X, "kind": "k2"},
    shape_rewards: {"scores": SCORES, "logp": X, "logp_ref": X, "mask": ~NO, "beta": 0.1},
    group_advantages: {"scores": SCORES, "group_ids": GROUPS},
    kl.FixedKL: {"beta": 0.1},
    kl.PaperKL: {"beta": 0.1, "target": 0.1},
    kl.ZieglerKL: {"beta": 0.1, "target": 0.1, "horizon": 3},
}
WRONG = {
    "text": "x",
    "None": None,
    "list": [[0.1, 0.2, 0.3]] * 2,
    "whole numbers": torch.full((2, 3), 3),
    "halves": torch.full((2, 3), 0.5),
    "twos": torch.full((2, 3), 2.0),
    "NaN": torch.full((2, 3), math.nan),
    "infinities": torch.full((2, 3), math.inf),
    "minus infinities": torch.full((2, 3), -math.inf),
    "vector": torch.tensor([0.2, 0.3]),
    "long vector": torch.ones(7),
    "complex": X + 0j,
    "no axis": torch.tensor(0.5),
    "empty": torch.ones(2, 0),
    "True": True,
    "nan": math.nan,
    "below 0": -1,
    "object": object(),
    "axes twice": (0, 0),
    "a column of ids": torch.zeros(2, 1, dtype=torch.long),
    "ids of no group": torch.tensor([0.5, 1.0]),
    "flags": NO,
}
FLAGS, LOGITS, RATIOS = (
    {"terminated", "truncated", "ended", "mask"},
    {"logits", "logits_p", "logits_q"},
    {"eps", "eps_high"},
)
REFUSED = {  # what must not pass for something else, argument by argument
    "halves": FLAGS,
    "twos": FLAGS | RATIOS,
    "NaN": FLAGS
    | LOGITS
    | {"values", "returns", "rewards", "logp", "logp_old", "logp_ref", "advantages", "kl", "beta"},
    "infinities": FLAGS | LOGITS | {"values", "returns", "rewards", "logp"},
    "minus infinities": LOGITS | {"values", "returns", "logp"},
    "whole numbers": FLAGS | LOGITS | {"logp", "logp_old", "logp_ref", "advantages", "kl"},
    "vector": RATIOS | {"dual_clip", "clip", "gamma", "lam"},
    "a column of ids": {"group_ids", "scores"},
    "ids of no group": {"group_ids"},
    "complex": {"x", "rewards", "values", "logp", "logits", "beta", "denominator", "scores"},
    "None": {"logp", "logp_old", "advantages", "terminated", "values", "rewards", "scores", "group_ids", "logits"},
    "long vector": {"beta", "denominator", "scores", "mask"} - {"beta"},
}


@pytest.mark.parametrize("function", GOOD, ids=lambda function: function.__name__)
def test_an_argument_that_cannot_be_is_named(function):
    function(**GOOD[function])
    for name in GOOD[function]:
        for what, value in WRONG.items():
            said = ""
            try:
                function(**GOOD[function] | {name: value})
            except (ValueError, TypeError) as error:
                said = str(error)
                assert name in said and len(said) < 320, (name, what, said)
            assert said or name not in REFUSED.get(what, ()), (name, what, "was taken for something")


def test_a_flag_that_is_a_share_or_a_count_is_shown():
    """Both would count as true: a robot that is half sure that its episode has ended."""
    arguments = GOOD[returns.gae]
    for value in (0.5, 2.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=rf"terminated must be true or false.*terminated\[0, 1\] = {value}"):
            returns.gae(**arguments | {"terminated": torch.tensor([[0.0, value, 1.0], [0.0, 0.0, 1.0]])})
    as_numbers = returns.gae(**arguments | {"terminated": NO.float(), "mask": (~NO).to(torch.uint8)})
    assert all(torch.equal(a, b) for a, b in zip(as_numbers, returns.gae(**arguments)))


def test_a_policy_of_nan_has_no_entropy_and_no_distance():
    logits = torch.zeros(2, 3)
    assert objectives.entropy(logits.where(torch.tensor([True, True, False]), -math.inf)).tolist() == pytest.approx(
        [math.log(2)] * 2
    )
    for row in ([math.nan, 0.0, 0.0], [math.inf, 0.0, 0.0], [-math.inf] * 3):
        bad = torch.stack([logits[0], torch.tensor(row)])
        for function, given in ((objectives.entropy, [bad]), (kl.exact, [logits, bad]), (kl.exact, [bad, logits])):
            with pytest.raises(ValueError, match=r"logits(_[pq])?\[1\] = .* gives no probabilities"):
                function(*given)
    assert kl.exact(logits, torch.tensor([[0.0, 0.0, -math.inf]] * 2)).tolist() == [math.inf] * 2  # which is right
