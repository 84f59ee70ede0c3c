"""rlhf: the losses of the maze on language models so small that the right answer is known, and what can go wrong."""

import copy
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from tiny_language import Letters, build

from ppo_lesson import objectives, returns
from ppo_lesson.diagnose import diagnose, report
from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL, estimate, estimate_off_policy
from ppo_lesson.language import advantages as formulas
from ppo_lesson.language import family as family_of_ppo
from ppo_lesson.language import rlhf
from ppo_lesson.language.advantages import advantages_of, group_advantages, shape_rewards
from ppo_lesson.language.microbatch import micro_batches
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.rollout import ReplyRollout, roll_out
from ppo_lesson.language.sampling import full_mask, token_logps

SHORT = RLHFConfig(iterations=3, batch=8, minibatches=2, micro_batch=4, max_new_tokens=6, lr=1e-3, critic_lr=1e-3)


def family(vocab=8, kind="llama"):
    """actor, critic, reference, tokenizer: all from one random model."""
    model = without_dropout(build(kind, vocab_size=vocab, eos_token_id=0, pad_token_id=0))
    return copy.deepcopy(model), ScalarModel.critic(model), model, Letters(vocab)


def run(config, reward, *, vocab=8, prompts=("ab", "c", "gfe"), **more):
    actor, critic, reference, tokenizer = family(vocab)
    critic = critic if config.advantages == "gae" else None
    rows = list(rlhf.rlhf(config, Models(actor, critic, reference, reward), prompts, tokenizer=tokenizer, **more))
    return rows, actor


def sampled(config, reward=len, **more):
    """One rollout of eight replies."""
    actor, critic, reference, tokenizer = family()
    prompts = [(p, tokenizer(p)["input_ids"]) for p in ("ab", "c", "gfe", "a") * 2]
    judge = (lambda prompt, reply: float(reward(reply))) if callable(reward) else reward
    rollout = roll_out(
        Models(actor, critic, reference, judge), tokenizer, prompts, config, torch.Generator().manual_seed(3), **more
    )
    return actor, critic, rollout


# ---- oracles ---------------------------------------------------------------------------------------------------------

WORTH = {"": 0.3, "a": 1.0, "b": -0.5, "c": 0.2, "d": 0.9, "e": -1.0, "f": 0.0, "g": 0.6}
BETA = 0.5
NOISE = BETA * (len(WORTH) - 1) / (2 * 256)  # what a policy fitted to one batch would miss: beta KL = beta (A - 1) / 2n


def bandit(**settings):
    """A one-token language model trained on WORTH: how far J ends below its known maximum."""
    config = RLHFConfig(
        iterations=100,
        batch=256,
        minibatches=1,
        epochs=2,
        micro_batch=256,
        max_new_tokens=1,
        lr=1e-2,
        critic_lr=1e-2,
        warmup=0,
        anneal=True,
        value_clip=None,
        **settings,
    )
    actor, critic, reference, tokenizer = family()
    judge = lambda prompt, reply: WORTH[reply]  # noqa: E731
    for _ in rlhf.rlhf(config, Models(actor, critic, reference, judge), ["a"], tokenizer=tokenizer):
        pass
    ids, mask = torch.tensor([[1]]), torch.ones(1, 1, dtype=torch.bool)
    with torch.no_grad():
        logp, ref = (
            m(input_ids=ids, attention_mask=mask.long()).logits[0, -1].log_softmax(-1) for m in (actor, reference)
        )
    r = torch.tensor(list(WORTH.values()))
    best = BETA * (ref + r / BETA).logsumexp(-1)  # of pi* ~ pi_ref exp(r / beta)
    return (best - (logp.exp() * (r - BETA * (logp - ref))).sum()).item()


@pytest.mark.slow
def test_kl_in_the_reward_reaches_the_known_optimum():
    assert 0 <= bandit(kl=FixedKL(BETA)) < NOISE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_a_loss_with_its_ratio_reaches_the_known_optimum(kind):
    assert 0 <= bandit(kl=None, kl_loss=BETA, kl_loss_kind=kind, whiten_advantages=False) < NOISE


@pytest.mark.slow
def test_a_plain_k1_loss_does_not_for_its_gradient_is_zero():
    assert bandit(kl=None, kl_loss=BETA, kl_loss_kind="k1", kl_loss_ratio=False, whiten_advantages=False) > 0.1


@pytest.mark.slow
def test_a_plain_k3_loss_ends_near_it_but_not_there_for_it_is_the_other_direction():
    plain = {"kl_loss_kind": "k3", "kl_loss_ratio": False, "whiten_advantages": False}
    assert 2e-3 < bandit(kl=None, kl_loss=BETA, **plain) < 0.1


def test_the_gradient_is_that_of_J_over_all_sequences():
    """Three tokens, up to three steps: every reply enumerated, weighted by its probability."""
    actor, _, reference, _tokenizer = family(vocab=3)
    for p in actor.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    replies = {tuple(y[: y.index(0) + 1] if 0 in y else y) for y in product(range(3), repeat=3)}
    replies = sorted(replies)
    mask = torch.tensor([[t < len(y) for t in range(3)] for y in replies])
    ids = torch.tensor([[1, *y, *[0] * (3 - len(y))] for y in replies])
    attention = full_mask(torch.ones(len(ids), 1, dtype=torch.bool), mask)
    scores = torch.tensor([float(sum(y) + 2 * (y[-1] == 0)) for y in replies])

    logp = token_logps(actor, ids, attention, 3).where(mask, 0)
    ref = token_logps(reference, ids, attention, 3).where(mask, 0).detach()
    p = logp.sum(-1).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-5), "these are all the replies there are"
    J = (p * (scores - 0.1 * (logp - ref).sum(-1))).sum()
    exact = torch.autograd.grad(J, list(actor.parameters()))

    rollout = ReplyRollout(
        ids, attention, mask, mask.any(-1), logp.detach(), ref, torch.zeros(mask.shape), scores, [], []
    )
    config = RLHFConfig(lam=1.0, whiten_advantages=False, aggregate="seq-mean-token-sum")
    advantages, _ = advantages_of(rollout, config, 0.1, torch.zeros(len(ids)))
    weights = advantages * p.detach()[:, None] * len(ids)
    piece = (torch.arange(len(ids)), ids, attention, 3)
    loss, *_ = rlhf.actor_loss(actor, rollout, weights, piece, 1, len(ids), config)
    ours = torch.autograd.grad(-loss, list(actor.parameters()))
    for a, b in zip(ours, exact):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-4)


def test_it_uses_the_losses_of_the_maze_and_no_others():
    assert family_of_ppo.clipped_surrogate is objectives.clipped_surrogate and rlhf.value_loss is objectives.value_loss
    assert rlhf.policy_objective is family_of_ppo.policy_objective
    assert formulas.gae is returns.gae and formulas.whiten is returns.whiten and rlhf.aggregate is objectives.aggregate


# ---- rewards and advantages ------------------------------------------------------------------------------------------


def test_a_reference_that_is_the_actor_has_kl_exactly_0():
    _, _, rollout = sampled(SHORT)
    assert torch.equal(rollout.logp, rollout.logp_ref) and torch.equal(rollout.kl_ref, torch.zeros(8))


def test_the_sum_of_rewards_is_score_minus_beta_kl():
    _, _, rollout = sampled(SHORT)
    ref = rollout.logp_ref - 0.3 * torch.rand(rollout.mask.shape) * rollout.mask
    rewards = shape_rewards(rollout.scores, rollout.logp, ref, rollout.mask, 0.2)
    expected = rollout.scores - 0.2 * (rollout.logp - ref).sum(-1)
    torch.testing.assert_close(rewards.sum(-1), expected)
    assert torch.equal(rewards[~rollout.mask], torch.zeros(int((~rollout.mask).sum())))


def test_trap_4_without_critic_and_kl_the_last_advantage_is_the_score():
    _, _, rollout = sampled(SHORT)
    rollout.values.zero_()
    advantages, _targets = advantages_of(rollout, replace(SHORT, whiten_advantages=False), 0.0, None)
    last = rollout.mask.sum(-1) - 1
    assert len(set(last.tolist())) > 1, "short ones and cut ones"
    torch.testing.assert_close(advantages.gather(-1, last[:, None])[:, 0], rollout.scores)
    torch.testing.assert_close(advantages[:, 0], rollout.scores * 0.95**last)


def test_trap_7_nothing_leaks_from_outside_the_mask():
    _actor, _critic, rollout = sampled(SHORT)
    before = advantages_of(rollout, SHORT, 0.1, None)
    for x in (rollout.values, rollout.logp, rollout.logp_ref):
        x[~rollout.mask] = torch.nan
    for a, b in zip(before, advantages_of(rollout, SHORT, 0.1, None)):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_trap_7_no_gradient_looks_outside_the_mask(kind):
    config, gradients = replace(SHORT, entropy_coef=0.1, kl_loss=0.3, kl_loss_kind=kind, value_clip=0.2), []
    for soil in (0.0, torch.nan, torch.inf):
        actor, critic, rollout = sampled(SHORT)
        advantages, targets = advantages_of(rollout, config, 0.1, None)
        for x in (rollout.values, rollout.logp, rollout.logp_ref, advantages, targets):
            x[~rollout.mask] = soil
        tokens = int(rollout.mask.sum())
        for batch in micro_batches(rollout.ids, rollout.attention_mask, rollout.mask, torch.arange(8), 4):
            loss, facts, error = rlhf.actor_loss(actor, rollout, advantages, batch, tokens, 8, config)
            (loss + rlhf.critic_loss(critic, rollout, targets, batch, tokens, config)).backward()
        gradients.append([p.grad for p in (*actor.parameters(), *critic.parameters()) if p.grad is not None])
        assert all(map(math.isfinite, (*facts.values(), error)))
    assert len(gradients[0]) > 2 and any(g.any() for g in gradients[0])
    for soiled in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], soiled, strict=True))


def rounding(gradient, tokens):
    """What the order of a sum over so many tokens may change in float32: each addition by eps / 2 of what stands there,
    at most; for two orders that is eps * tokens * the largest of all.
    """
    return torch.finfo(gradient.dtype).eps * tokens * gradient.abs().max().item()


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
def test_trap_8_micro_batches_change_no_gradient(how):
    gradients = []
    for micro in (1, 2, 4, 8):
        actor, critic, rollout = sampled(SHORT)
        config = replace(SHORT, micro_batch=micro, aggregate=how, entropy_coef=0.1, kl_loss=0.3)
        advantages, targets = advantages_of(rollout, config, 0.1, None)
        tokens, every = int(rollout.mask.sum()), torch.arange(8)
        for batch in micro_batches(rollout.ids, rollout.attention_mask, rollout.mask, every, micro):
            loss, _, error = rlhf.actor_loss(actor, rollout, advantages, batch, tokens, 8, config)
            loss.backward()
            rlhf.critic_loss(critic, rollout, targets, batch, tokens, config).backward()
            assert error < 1e-5
        gradients.append(torch.cat([p.grad.flatten() for m in (actor, critic) for p in m.parameters()]))
    assert gradients[0].abs().max() > 1e-3
    for g in gradients[1:]:
        torch.testing.assert_close(g, gradients[0], atol=rounding(gradients[0], tokens), rtol=1e-4)


@pytest.mark.parametrize("ratio", [True, False])
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_the_kl_loss_off_policy_is_that_of_its_estimate_however_it_is_split(kind, ratio):
    """Without advantages nothing else is left of the loss; old log-probabilities are shaken: ratios are off 1."""
    gradients = []
    for micro in (0, 1, 4):
        actor, _, rollout = sampled(SHORT)
        noise = torch.Generator().manual_seed(7)
        rollout.logp = rollout.logp + 0.4 * torch.randn(rollout.mask.shape, generator=noise) * rollout.mask
        rollout.logp_ref = rollout.logp_ref - 0.4 * torch.randn(rollout.mask.shape, generator=noise) * rollout.mask
        tokens, every = int(rollout.mask.sum()), torch.arange(8)
        config = replace(SHORT, kl_loss=0.3, kl_loss_kind=kind, kl_loss_ratio=ratio)
        if micro:
            for batch in micro_batches(rollout.ids, rollout.attention_mask, rollout.mask, every, micro):
                rlhf.actor_loss(actor, rollout, 0 * rollout.logp, batch, tokens, 8, config)[0].backward()
        else:
            logp = token_logps(actor, rollout.ids, rollout.attention_mask, rollout.mask.shape[1])
            k = estimate(logp, rollout.logp_ref, kind)
            if ratio:
                k = estimate_off_policy(logp, rollout.logp, rollout.logp_ref, kind)
            (0.3 * k[rollout.mask].sum() / tokens).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in actor.parameters()]))
    assert gradients[0].abs().max() > 1e-3
    for g in gradients[1:]:
        torch.testing.assert_close(g, gradients[0], atol=rounding(gradients[0], tokens), rtol=1e-4)


def test_trap_1_the_first_ratio_is_1():
    """But for rounding: the update's micro-batches have other rows than the rollout's, and may add in another order.

    15 matrices one after the other, each rounded by at most 6e-8 of logits up to 4: 3e-6 as in test_language_scale.
    """
    rows, _ = run(SHORT, lambda p, r: len(r))
    assert all(row["ratio_error"] < 1e-5 for row in rows)


def test_the_sampler_knows_the_old_log_probabilities_already():
    _, _, rollout = sampled(SHORT)
    _, _, again = sampled(replace(SHORT, rescore=False))
    assert torch.equal(rollout.ids, again.ids) and (again.logp[~again.mask] == 0).all()
    torch.testing.assert_close(again.logp, rollout.logp, atol=1e-5, rtol=1e-5)


def test_trap_25_groups_of_one_or_of_equal_scores_have_no_advantage():
    scores, groups = torch.tensor([1.0, 3.0, 5.0, 5.0, 9.0]), torch.tensor([4, 4, 1, 1, 0])
    ours = group_advantages(scores, groups)
    torch.testing.assert_close(ours, torch.tensor([-(0.5**0.5), 0.5**0.5, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_scores_of_every_type_have_the_advantages_of_their_numbers(dtype):
    """All of these numbers are exact in each type; the square of a deviation of 512 is none of float16."""
    scores = torch.tensor([0.0, 1024.0, 0.0, 512.0, 1.0, 0.0]).to(dtype)
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    for scale in (True, False):
        expected = group_advantages(scores.float(), groups, scale=scale)
        assert torch.equal(group_advantages(scores, groups, scale=scale), expected) and (expected != 0).all()


@pytest.mark.parametrize("score", [0.1, 0.9, 1 / 3, -17.13, 10000.3])
def test_equal_scores_give_exactly_0_in_groups_of_every_size(score):
    """The mean of eight times 0.9 is not 0.9 in float32; over a deviation of 1e-6 the rest would be .06."""
    for size in range(1, 70):
        scores, groups = torch.full((2 * size,), score), torch.arange(2 * size) // size
        for scale in (True, False):
            assert not group_advantages(scores, groups, scale=scale).any(), size


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"kl": None},
        {"kl": ZieglerKL(0.2, target=0.01, horizon=20)},
        {"kl_loss": 0.1, "kl_loss_kind": "k3"},
        {"kl_loss": 0.1, "kl_loss_ratio": False},
        {"eps_high": 0.3, "dual_clip": 3.0},
        {"value_clip": None, "entropy_coef": 0.01},
        {"advantages": "group", "replies": 4, "aggregate": "seq-mean-token-mean"},
        {"target_kl": 1e-6},
        {"score_clip": 1.0, "no_eos_penalty": 1.0},
    ],
    ids=str,
)
def test_options_train(settings):
    rows, actor = run(replace(SHORT, **settings), lambda p, r: len(r))
    assert len(rows) == 3 and all(math.isfinite(row["score"]) and row["kl_ref"] == row["kl_ref"] for row in rows)
    assert any(not torch.equal(a, b) for a, b in zip(actor.parameters(), family()[0].parameters()))
    if isinstance(settings.get("kl"), ZieglerKL):
        assert rows[0]["beta"] == 0.2 and len({row["beta"] for row in rows}) == 3
    if "score_clip" in settings:
        assert all(-2 <= row["score"] <= 1 for row in rows)


@pytest.mark.slow
def test_reward_rises_with_a_rule():
    config = replace(SHORT, iterations=30, batch=64, micro_batch=32, lr=3e-3, critic_lr=3e-3, kl=None)
    rows, _ = run(config, lambda prompt, reply: reply.count("d"))
    assert rows[-1]["score"] > rows[0]["score"] + 2 and rows[-1]["kl_ref"] > 1


@pytest.mark.slow
def test_ptx_holds_the_language_model_loss():
    documents = ["abcabcabcabc" * 4] * 20
    config = replace(SHORT, iterations=20, lr=3e-3, ptx_coef=1.0)
    rows, _ = run(config, lambda p, r: len(r), documents=documents)
    assert rows[-1]["ptx_loss"] < 0.7 * rows[0]["ptx_loss"]


# ---- stop and go on --------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    config = replace(SHORT, iterations=5, checkpoint_every=2, kl=ZieglerKL(0.1, target=0.01, horizon=20))
    whole, expected = run(config, lambda p, r: len(r))
    calls = []

    def mortal(prompt, reply):
        calls.append(reply)
        if len(calls) == 3 * 8 + 2:  # in the middle of iteration 3
            raise Killed
        return len(reply)

    with pytest.raises(Killed):
        run(config, mortal, resume=tmp_path / "run.safetensors")
    rows, actor = run(config, lambda p, r: len(r), resume=tmp_path / "run.safetensors")
    assert [r["iteration"] for r in rows] == list(range(5))
    assert all(torch.equal(a, b) for a, b in zip(actor.parameters(), expected.parameters()))
    assert [r["beta"] for r in rows] == [r["beta"] for r in whole]


@pytest.mark.parametrize(
    ("reward", "expected"),
    [(lambda p, r: 1.0, ["score without spread", "no price on KL"]), (lambda p, r: float(len(r)), ["no price on KL"])],
)
def test_three_rows_show_what_needs_no_trend(reward, expected):
    rows, _ = run(replace(SHORT, kl=None, temperature=1.5), reward)
    assert [symptom.name for symptom in diagnose(rows)] == expected
    assert all(0 < row["distinct"] <= 1 and row["kl_loss"] == 0 for row in rows)


@pytest.mark.parametrize("name", ["score", "kl_ref"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_or_a_kl_that_is_no_number_is_no_all_clear(name, value):
    """ "No symptom in 30 rows", said the report: a column that is nowhere finite was not asked."""
    row = {"score": 1.0, "kl_ref": 0.5, "length": 9.0, "entropy": 2.0, "approx_kl": 0.01, "beta": 0.1}
    assert "1. not finite" in report([row | {name: value}] * 30) and "not finite" not in report([row] * 30)
    assert "replies all alike" not in report([row | {"entropy": -1.0}] * 30), "a column of another sign collapses to 0"


def test_scores_whose_squares_overflow_are_refused_and_not_turned_into_advantages_of_0():
    for scale in (1e20, 1e30):
        with pytest.raises(ValueError, match="the variance of scores has a non-finite entry"):
            group_advantages(torch.tensor([scale, -scale]), torch.tensor([0, 0]))
    assert group_advantages(torch.tensor([1e15, -1e15]), torch.tensor([0, 0])).tolist() == pytest.approx(
        [0.5**0.5, -(0.5**0.5)]
    )


@pytest.mark.parametrize("beta", [-1.0, math.nan, torch.tensor([0.1, 0.2])], ids=str)
def test_a_beta_that_was_changed_after_it_was_checked_is_checked_again(beta):
    """Groups took a negative one, and rewarded distance."""
    config = replace(SHORT, advantages="group", replies=2, critic_lr=RLHFConfig.critic_lr, kl=FixedKL(0.1))
    config.kl.beta = beta
    with pytest.raises(ValueError, match="beta must be a number in"):
        run(config, lambda prompt, reply: float(len(reply)))


def test_one_text_for_all_is_counted():
    rows, _ = run(replace(SHORT, lr=0.0, critic_lr=0.0, temperature=1e-4, max_new_tokens=1), lambda p, r: 1.0)
    texts, prompts = ({x[i] for x in rows[0]["replies"]} for i in (1, 0))
    assert rows[0]["distinct"] == (len(texts) - 1) / (len(prompts) - 1)
    rows, _ = run(SHORT, lambda p, r: 1.0, prompts=["ab"])
    assert "distinct" not in rows[0], "one prompt has nothing to differ from"


def test_a_score_that_is_no_number_stops_and_says_where_the_run_is_safe(tmp_path):
    config = replace(SHORT, checkpoint_every=1)
    scores = iter([1.0] * 12 + [math.nan] * 99)
    with pytest.raises(ValueError, match=r"reward.*must be a finite number; got nan") as error:
        run(config, lambda p, r: next(scores), resume=tmp_path / "run.safetensors")
    assert "up to iteration 1" in error.value.__notes__[0]
    rows, _ = run(config, lambda p, r: 1.0, resume=tmp_path / "run.safetensors")
    assert len(rows) == 3


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"kl": PaperKL(1.0, 0.01)}, "belongs to ppo"),
        ({"advantages": "grpo"}, "advantages must be one of"),
        ({"kl_loss_kind": "k4"}, "kl_loss_kind must be one of"),
        ({"advantages": "group", "replies": 1}, "replies=1 leaves none to compare"),
        ({"replies": 3}, "batch must be a multiple"),
        ({"minibatches": 9}, "batch must be"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"lr": -1.0}, "lr must be"),
        ({"ptx_coef": 1.0}, "needs documents"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"eps": 1.5}, "eps must lie"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings, what):
    with pytest.raises((ValueError, TypeError), match=what):
        run(replace(SHORT, **settings), lambda p, r: 1.0)


@pytest.mark.parametrize("prompts", [[], "one text"])
def test_prompts_must_be_a_list(prompts):
    with pytest.raises(ValueError, match="prompts must be a list"):
        run(SHORT, lambda p, r: 1.0, prompts=prompts)


def test_an_error_of_the_reward_function_says_for_which_reply():
    def broken(prompt, reply):
        raise KeyError("x")

    with pytest.raises(KeyError) as error:
        run(SHORT, broken)
    assert "raised by the reward function" in error.value.__notes__[0]


def test_the_reference_must_be_another_object():
    actor, critic, _, tokenizer = family()
    with pytest.raises(ValueError, match="same object"):
        next(rlhf.rlhf(SHORT, Models(actor, critic, actor, len), ["a"], tokenizer=tokenizer))


@pytest.mark.parametrize(
    ("scores", "beta", "what"),
    [([1.0], -0.1, "beta"), ([1.0, 2.0], 0.1, "one number for each"), ([math.nan], 0.1, "non-finite")],
)
def test_shape_rewards_refuses(scores, beta, what):
    x = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=what):
        shape_rewards(torch.tensor(scores), x, x, torch.tensor([[True, False]]), beta)


@pytest.mark.parametrize("which", ["actor", "critic"])
def test_a_run_whose_parameters_were_replaced_says_so(which):
    actor, critic, reference, tokenizer = family()
    rows = rlhf.rlhf(
        SHORT, Models(actor, critic, reference, lambda prompt, reply: len(reply)), ["ab", "c"], tokenizer=tokenizer
    )
    next(rows)
    model = {"actor": actor, "critic": critic}[which]
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    with pytest.raises(RuntimeError, match=f"a parameter of the {which} was replaced while the run was alive"):
        next(rows)
