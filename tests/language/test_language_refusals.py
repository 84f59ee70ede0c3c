"""Formulas and settings of PPO's family: what they cannot mean is refused by name, argument by argument."""

import dataclasses
import math

import gymnasium
import pytest
import shop
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv
from tiny_language import Letters, build

from ppo_lesson import validate
from ppo_lesson.language.advantages import rloo_advantages, varied_groups
from ppo_lesson.language.data import Pair
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig, sft
from ppo_lesson.objectives import binary_divergence, cispo, sequence_log_ratio, truncated_weight
from ppo_lesson.vector import VectorBatch

NAN, INF = math.nan, math.inf
X, SHORT, WHOLE = -torch.ones(2, 3), -torch.ones(2, 2), torch.zeros(2, 3, dtype=torch.long)
HOLE, FLAGS = torch.tensor([[-1.0, NAN, -1.0], [-1.0, -1.0, -1.0]]), torch.ones(2, 3, dtype=torch.bool)
SCORES, GROUPS = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 1])

BAD = [  # a call, words of its refusal
    *(
        (lambda e=e: cispo(X, X, X, e), "eps_high must be positive; got")
        for e in (0, -0.1, NAN, "0.2", None, True, [1.0])
    ),
    (lambda: cispo(X, SHORT, X, 0.2), "must have one shape: logp .2, 3., logp_old .2, 2."),
    (lambda: cispo(X, X, [1.0], 0.2), "advantages must be a torch tensor"),
    (lambda: cispo(WHOLE, X, X, 0.2), "logp must hold real numbers; got torch.int64"),
    (lambda: cispo(X, HOLE, X, 0.2), r"logp_old has a non-finite entry: logp_old\[0, 1\] = nan"),
    (lambda: cispo(X, X, X * INF, 0.2), "advantages has a non-finite entry"),
    (lambda: cispo(X[:0], X[:0], X[:0], 0.2), "logp is empty"),
    *(
        (lambda k=k: binary_divergence(X, X, k), "divergence must be 'tv' or 'kl'; got")
        for k in ("TV", "", None, 1, "k3")
    ),
    (lambda: binary_divergence(X, SHORT, "tv"), "must have one shape"),
    (lambda: binary_divergence(X, 0.5, "kl"), "logp_old must be a torch tensor; got float"),
    (lambda: binary_divergence(WHOLE, X, "kl"), "logp must hold real numbers"),
    (lambda: binary_divergence(HOLE, X, "kl"), "logp has a non-finite entry"),
    (lambda: sequence_log_ratio(X, SHORT), "must have one shape"),
    (lambda: sequence_log_ratio(X, X, FLAGS[:, :2]), "must have one shape: .*mask"),
    (lambda: sequence_log_ratio(X, X, 0.5 * FLAGS), "mask must be true or false, or 1 and 0"),
    (lambda: sequence_log_ratio(X, X, [[True]]), "mask must be a torch tensor; got list"),
    (lambda: sequence_log_ratio(X, WHOLE), "logp_old must hold real numbers"),
    (lambda: sequence_log_ratio(HOLE, X), "logp has a non-finite entry"),
    (lambda: sequence_log_ratio(HOLE, X, FLAGS), "logp has a non-finite entry"),
    *((lambda c=c: truncated_weight(X, X, c), "cap must be ") for c in (0.99, 0, -1.0, NAN, INF, "2", None, True)),
    (lambda: truncated_weight(X, SHORT, 2.0), "must have one shape: logp .2, 3., logp_sampler .2, 2."),
    (lambda: truncated_weight(X, WHOLE, 2.0), "logp_sampler must hold real numbers"),
    (lambda: truncated_weight(X, HOLE, 2.0), "has a non-finite entry"),
    (lambda: truncated_weight(X[:0], X[:0], 2.0), "logp is empty"),
]
for ask in (rloo_advantages, varied_groups):
    BAD += [
        (lambda ask=ask: ask([1.0], GROUPS), "scores must be a torch tensor; got list"),
        (lambda ask=ask: ask(SCORES, [0, 0, 1]), "group_ids must be a torch tensor; got list"),
        (lambda ask=ask: ask(SCORES[:2], GROUPS), "scores .2,., group_ids .3,."),
        (lambda ask=ask: ask(SCORES, GROUPS.float()), "group_ids must have one whole number for each of 3 replies"),
        (lambda ask=ask: ask(SCORES[None], GROUPS[None]), "group_ids must have one whole number"),
        (lambda ask=ask: ask(torch.tensor(1.0), torch.tensor(0)), "group_ids must have one whole number"),
        (lambda ask=ask: ask(SCORES[:0], GROUPS[:0]), "scores is empty"),
        (
            lambda ask=ask: ask(torch.tensor([1.0, NAN, 2.0]), GROUPS),
            r"scores has a non-finite entry: scores\[1\] = nan",
        ),
        (lambda ask=ask: ask(torch.tensor([1.0, INF, 2.0]), GROUPS), "scores has a non-finite entry"),
    ]


@pytest.mark.parametrize(("call", "words"), BAD, ids=[f"{i}: {words[:40]}" for i, (_, words) in enumerate(BAD)])
def test_a_formula_says_which_argument_cannot_be(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_good_calls_of_each_still_work():
    assert (
        cispo(X, X, X, 0.2).shape == binary_divergence(X, X, "kl").shape == truncated_weight(X, X, 1).shape == X.shape
    )
    hidden = FLAGS & ~HOLE.isnan()
    assert sequence_log_ratio(HOLE, X, hidden).isfinite().all(), "what the mask hides may be anything"
    assert rloo_advantages(torch.tensor([1, 2, 3]), GROUPS).tolist() == [-1, 1, 0]
    assert varied_groups(SCORES, GROUPS).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rloo_is_as_exact_as_the_scores_are(dtype):
    """n / (n - 1) was rounded to float32, whatever the scores were: three steps of rounding are allowed."""
    scores = torch.tensor([0.1, 0.7, 0.4, -2.3], dtype=dtype)
    others = [(scores.double().sum() - x).item() / 3 for x in scores.double()]
    got = rloo_advantages(scores, torch.zeros(4, dtype=torch.long))
    room = 8 * scores.abs().max().item() * torch.finfo(dtype).eps
    assert got.dtype == dtype and got.tolist() == pytest.approx(
        [x.item() - o for x, o in zip(scores, others)], abs=room
    )


# ---- spaces that leave nothing to choose -----------------------------------------------------------------------------


class Idle(gymnasium.Env):
    observation_space = Box(-1, 1, (2,))

    def __init__(self, actions):
        self.action_space = actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.low, {}


ONE = {
    "low is high": Box(2.0, 2.0, (1,)),
    "in one of two": Box(torch.tensor([0.0, 1.0]).numpy(), torch.tensor([1.0, 1.0]).numpy()),
    "of whole numbers": Box(3, 3, (1,), dtype="int32"),
}


@pytest.mark.parametrize("space", ONE.values(), ids=ONE)
def test_a_space_that_leaves_no_choice_is_refused(space):
    with pytest.raises(ValueError, match=r"actions .* leave nothing to choose: .*TransformAction"):
        VectorBatch(SyncVectorEnv([lambda: Idle(space)] * 2))


@pytest.mark.parametrize(
    "space", [Discrete(1), Discrete(1, start=5), Discrete(2), Box(0, 1, (1,)), Box(0, 1, (2,), dtype="int8")], ids=str
)
def test_one_that_leaves_two_is_taken_and_a_probe_of_one_action_too(space):
    assert VectorBatch(SyncVectorEnv([lambda: Idle(space)] * 2)).n == 2


# ---- settings that nothing reads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eps", "eps_high"])
def test_a_width_that_the_objective_does_not_read_is_refused(name):
    config = RLHFConfig(objective="plain", **{name: 0.3})
    with pytest.raises(
        ValueError, match=rf"{name}=0.3 has no effect with objective='plain': leave it out, or take 'cl"
    ):
        validate.used(config)
    for objective in ("clip", "cispo", "dppo-tv", "dppo-kl"):
        validate.used(dataclasses.replace(config, objective=objective))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


GROUP = ("advantages=group", "replies=2")
DEFAULT = RLHFConfig()
IDLE = [  # --set, one of them at its default
    (f"critic_lr={DEFAULT.critic_lr}", *GROUP),
    (f"lam={DEFAULT.lam}", *GROUP),
    (f"gamma={DEFAULT.gamma}", *GROUP),
    (f"value_clip={DEFAULT.value_clip}", *GROUP),
    ("whiten_advantages=true", *GROUP),
    ("scale_groups=true",),
    ("kl_loss_kind=k2",),
    ("kl_loss_ratio=true",),
    (f"ptx_batch={DEFAULT.ptx_batch}",),
    (f"eps={DEFAULT.eps}", "objective=plain"),
]


@pytest.mark.parametrize("given", IDLE, ids=[x[0] for x in IDLE])
def test_a_command_refuses_what_it_was_told_and_nothing_reads_be_it_the_default(given, folder, tmp_path, capsys):
    words = [x for text in given for x in ("--set", text)]
    assert shop.rlhf(folder, tmp_path / "run", *words) == 2
    name = given[0].partition("=")[0]
    assert f"error: {name}=" in (message := capsys.readouterr().err) and "has no effect with" in message, message
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_default_that_is_read_may_be_said(folder, tmp_path):
    words = [x for text in GROUP for x in ("--set", text)]
    words += ["--set", "scale_groups=true", "--set", f"eps={DEFAULT.eps}", "--kl", "loss", "--set", "kl_loss_kind=k2"]
    assert shop.rlhf(folder, tmp_path / "run", *words) == 0


def test_a_rhythm_without_a_file_changes_no_number():
    """Whether a run is saved is the call's business: a configuration with a rhythm may be tried without a file."""

    def rows(every):
        model, pairs = build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0), [Pair("ab", "c"), Pair("b", "ca")]
        return list(sft(model, Letters(8), pairs, SupervisedConfig(steps=3, batch=2, checkpoint_every=every), seed=0))

    assert rows(1) == rows(None)
