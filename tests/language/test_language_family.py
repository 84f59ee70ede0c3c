"""PPO's family: golden numbers, each member's gradient by enumeration, what is refused, and that each one learns."""

import math
from dataclasses import fields, replace

import family as pages  # tools/family.py
import pytest
import torch
from replies import PLAIN, setting, texts, walks
from test_language_rlhf import SHORT, family, run, sampled

from ppo_lesson.kl import FixedKL
from ppo_lesson.language import rlhf
from ppo_lesson.language.advantages import advantages_of, length_adaptive_lam, rloo_advantages, varied_groups
from ppo_lesson.language.family import MEMBERS, member, policy_objective
from ppo_lesson.language.microbatch import micro_batches
from ppo_lesson.language.models import Models
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.maze import Maze
from ppo_lesson.objectives import binary_divergence, cispo, clipped_surrogate, dppo, sequence_log_ratio
from ppo_lesson.returns import gae

TRAIN = [name for name, row in MEMBERS.items() if "settings" in row]
SUM = {"advantages": "rloo", "aggregate": "seq-mean-token-sum"}
ROUND = 1e-12  # sums of a few thousand float64 numbers near 1


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=ROUND)


def off(got, true):
    """Relative distance of a gradient from the true one."""
    return ((got - true).norm() / true.norm()).item()


@pytest.fixture(scope="module")
def replies():
    return texts()


@pytest.fixture(scope="module")
def one_token():
    return texts(longest=1)


# ---- on policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["clip", "plain", "cispo", "dppo-tv", "dppo-kl"])
@pytest.mark.parametrize("n", [2, 3])
def test_rloo_has_the_policy_gradient_on_policy_whatever_limits_the_step(replies, objective, n):
    old = replies.logits(0)
    close(replies.gradient(setting(**SUM, replies=n, objective=objective), old, old), replies.true_gradient(old))


@pytest.mark.parametrize("n", [2, 3])
def test_the_mean_of_all_scores_as_a_baseline_shortens_it_by_one_nth(replies, n):
    """Dr. GRPO: the reply's own score is a part of its baseline."""
    old = replies.logits(0)
    config = setting(advantages="group", scale_groups=False, aggregate="seq-mean-token-sum", replies=n)
    close(replies.gradient(config, old, old), (n - 1) / n * replies.true_gradient(old))


@pytest.mark.parametrize("ratio", ["token", "sequence", "sequence-token"])
def test_a_mean_over_each_reply_is_the_gradient_of_another_task(replies, ratio):
    """Each reply's pull is divided by its length: GRPO's mean, and GSPO's ratio of a reply alike."""
    x = replies.logits(0).requires_grad_()
    logp = replies.logps(x).sum(-1)
    p, length = logp.exp().detach(), replies.mask.sum(-1)
    weight = p * (replies.scores - (p * replies.scores).sum()) / length
    (expected,) = torch.autograd.grad((weight * logp).sum(), x)
    config = setting(advantages="rloo", aggregate="seq-mean-token-mean", ratio=ratio)
    old = replies.logits(0)
    close(replies.gradient(config, old, old), expected)
    assert off(2.0 * expected, replies.true_gradient(old)) > 0.1  # not the policy gradient, nor a multiple of it
    cosine = torch.nn.functional.cosine_similarity(expected.flatten(), replies.true_gradient(old).flatten(), 0)
    assert cosine < 0.999


def test_division_by_the_deviation_and_a_token_mean_are_biased_too(replies):
    old = replies.logits(0)
    true = replies.true_gradient(old).flatten()
    for changes in ({"advantages": "group", "aggregate": "seq-mean-token-sum", "replies": 3}, {"advantages": "rloo"}):
        got = replies.gradient(setting(**changes), old, old).flatten()
        assert torch.nn.functional.cosine_similarity(got, true, 0) < 0.9999
    two = setting(advantages="group", aggregate="seq-mean-token-sum", replies=2)
    assert off(replies.gradient(two, old, old), true.view_as(old)) > 0.1


def test_a_right_critic_has_the_policy_gradient_at_every_lambda(replies):
    """Values enumerated, those of the policy: gae with lambda 0, 1 and by length; one reply at a time."""
    old = replies.logits(0)
    p, columns = replies.logps(old).sum(-1).exp(), replies.mask.shape[1]
    values = torch.zeros(replies.mask.shape, dtype=torch.float64)
    for i, y in enumerate(replies.steps):
        for t in range(len(y)):
            same = torch.tensor([other[:t] == y[:t] and len(other) > t for other in replies.steps])
            values[i, t] = (p * replies.scores * same).sum() / (p * same).sum()
    assert columns == 3
    for changes in ({"lam": 0.0}, {"lam": 1.0}, {"lam_alpha": 0.7}):
        config = setting(replies=1, whiten_advantages=False, aggregate="seq-mean-token-sum", **changes)
        got = replies.gradient(config, old, old, values=values)
        if "lam_alpha" in changes:  # lambda depends on the reply: what is left is a bias, of its own
            assert 1e-6 < off(got, replies.true_gradient(old)) < 0.5
        else:
            close(got, replies.true_gradient(old))


def test_in_the_maze_prompts_are_squares_and_replies_are_walks():
    """J by backward induction; the gradient, and its variance once more, a group at a time by autograd."""
    maze, old = Maze(), None
    for start in (14, 10):
        world = walks(start, 3, maze)
        old = world.logits(0)
        probs, V = old.softmax(-1), torch.zeros(maze.n_states, dtype=torch.float64)
        for _ in range(3):
            V = (probs * (maze.move_reward + V[maze.next_state])).sum(-1)
            V[maze.goal] = 0.0
        close(world.J(old), V[start])
        close(world.gradient(setting(**SUM), old, old), world.true_gradient(old))
    world = walks(14, 2, maze)
    config = setting(advantages="group", eps=0.1)
    x = (old + world.true_gradient(old)).requires_grad_()
    value, p = world.groups(config, x, old)
    each = torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0] for v in value])
    mean = (p[:, None, None] * each).sum(0)
    found, variance = world.spread(config, x.detach(), old)
    close(found, mean)
    assert variance == pytest.approx((p * (each - mean).square().sum((-2, -1))).sum().item(), rel=1e-9)


# ---- off policy ----------------------------------------------------------------------------------------------------


def test_with_one_token_a_reply_the_ratio_makes_it_exact(one_token):
    old, new = one_token.logits(0), one_token.logits(0) + 0.5 * one_token.logits(1)
    true = one_token.true_gradient(new)
    for changes in (
        {"objective": "plain"},
        {"objective": "cispo", "eps_high": 50.0},
        {"objective": "dppo-tv", "eps": 0.999},
    ):
        close(one_token.gradient(setting(**SUM, **changes), new, old), true)
        close(one_token.gradient(setting(**SUM, **changes, ratio="token"), new, old), true)
    plain = setting(**SUM, objective="plain", ratio="sequence")
    close(one_token.gradient(plain, new, old), true)  # of one token the mean is the token's
    new = old + 2.0 * one_token.true_gradient(old)  # a step uphill: back down no limit binds
    for kind in ("clip", "dppo-tv", "cispo"):
        low = {} if kind == "cispo" else {"eps": 0.05}  # which has one limit
        config = setting(**SUM, objective=kind, eps_high=0.05, **low)
        assert off(one_token.gradient(config, new, old), one_token.true_gradient(new)) > 1e-3


@pytest.mark.parametrize("kind", ["clip", "dppo-tv", "dppo-kl", "cispo"])
def test_what_a_limit_leaves_of_it_token_by_token(one_token, kind):
    """Each pair of one-token replies by hand: plain floats, no function of the library."""
    old = one_token.logits(0)
    new = old + 2.0 * one_token.true_gradient(old)
    q, p, r = (x.tolist() for x in (old.softmax(-1)[0], new.softmax(-1)[0], one_token.scores))
    eps, high = 0.1, 0.15
    expected = [0.0, 0.0, 0.0]
    for a in range(3):
        for b in range(3):
            A, ratio = r[a] - r[b], p[a] / q[a]
            distance = {"clip": abs(ratio - 1), "dppo-tv": abs(p[a] - q[a]), "cispo": 0.0}
            distance["dppo-kl"] = q[a] * math.log(q[a] / p[a]) + (1 - q[a]) * math.log((1 - q[a]) / (1 - p[a]))
            away = (ratio - 1) * A > 0
            weight = min(ratio, 1 + high) if kind == "cispo" else ratio
            if away and distance[kind] > (high if A > 0 else eps):
                weight = 0.0
            for c in range(3):  # the mean of both replies: twice the first one's half
                expected[c] += q[a] * q[b] * weight * A * ((a == c) - p[c])
    config = setting(**SUM, objective=kind, eps_high=high, **({} if kind == "cispo" else {"eps": eps}))
    close(one_token.gradient(config, new, old)[0], torch.tensor(expected, dtype=torch.float64))
    assert off(one_token.gradient(config, new, old), one_token.true_gradient(new)) > 1e-3, "it binds"


def test_gspo_token_is_gspo_where_all_tokens_of_a_reply_have_one_advantage(replies):
    old, new = replies.logits(0), replies.logits(0) + 0.3 * replies.logits(1)
    forms = [
        setting(advantages="rloo", aggregate="seq-mean-token-mean", ratio=r, eps=0.05)
        for r in ("sequence", "sequence-token", "token")
    ]
    sequence, token, ppo = (replies.gradient(config, new, old) for config in forms)
    close(sequence, token)
    assert off(ppo, sequence) > 0.01


def test_the_ratio_of_tokens_is_no_importance_weight_of_replies(replies):
    """With three tokens even the unclipped gradient is off: prefixes are still the old policy's."""
    old = replies.logits(0)
    errors = [
        off(replies.gradient(setting(**SUM, objective="plain"), new, old), replies.true_gradient(new))
        for new in (old + step * replies.logits(1) for step in (0.0, 0.1, 0.3))
    ]
    assert errors[0] < 1e-9 < 1e-3 < errors[1] < errors[2]


def test_weights_for_a_sampler_that_is_not_the_trainer(one_token):
    """Replies come from `sampler`. Without a cap the weights make up for it; cut at 1, or left out, they do not."""
    old, new = one_token.logits(0), one_token.logits(0) + 0.2 * one_token.logits(1)
    sampler, true = old + 0.4 * one_token.logits(2), one_token.true_gradient(new)
    plain = setting(**SUM, objective="plain")
    close(one_token.gradient(replace(plain, tis_cap=1e6), new, old, sampler=sampler), true)
    cut, left_out = (one_token.gradient(replace(plain, tis_cap=cap), new, old, sampler=sampler) for cap in (1.0, None))
    assert off(cut, true) > 1e-3 and off(left_out, true) > 1e-3


# ---- golden numbers, ends of the range ------------------------------------------------------------------------------


ALL = [
    {"advantages": who, "ratio": ratio, "objective": objective, "aggregate": how, **limits, **price}
    for who in ("group", "rloo")
    for ratio in ("token", "sequence", "sequence-token")
    for objective in ("clip", "plain", "cispo", "dppo-tv", "dppo-kl")
    for how in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum")
    for limits in ({}, {"eps_high": 0.5}, {"dual_clip": 3.0})
    for price in ({}, {"kl_loss": 0.05, "kl_loss_kind": "k3"}, {"kl_loss": 0.05, "kl_loss_ratio": False})
]


def test_every_combination_is_refused_by_name_or_has_the_gradient_of_its_own_words():
    """Two tokens a reply, all pairs of replies, off policy: finite, and by a loop over tokens in plain floats."""
    world, seen = texts(longest=2), 0
    old = world.logits(0)
    new = old + 0.7 * world.logits(1)
    lengths, logp_old = world.mask.sum(-1).tolist(), world.logps(old)
    for changes in ALL:
        try:
            config = setting(**changes)
        except ValueError as refused:
            assert ("ratio=" in str(refused)) or "dual_clip=3.0 has no effect" in str(refused)
            continue
        seen += 1
        leaf = world.logps(new).requires_grad_()
        value, p = world.groups(config, new, old, logp=leaf)
        (got,) = torch.autograd.grad((p * value).sum(), leaf)
        torch.testing.assert_close(got, by_hand(config, world, leaf.detach(), logp_old, lengths), rtol=1e-9, atol=1e-9)
    assert seen == 2 * 3 * 3 * (3 * 3 + 3 * 2 + 3 * 2)  # clip and plain with each ratio, only clip with a dual clip


def by_hand(config, world, logp, logp_old, lengths):
    """d expected objective / d log pi of each token: weight * A * share of the mean, minus the price of KL."""
    slopes = torch.zeros_like(logp)
    q, scores, high = logp_old.sum(-1).exp().tolist(), world.scores.tolist(), config.eps_high or config.eps
    for a in range(len(lengths)):
        mean_log = ((logp - logp_old)[a].sum() / lengths[a]).item()
        for b in range(len(lengths)):
            half = (scores[a] - scores[b]) / 2
            A = 2 * half if config.advantages == "rloo" else half
            if config.advantages == "group" and config.scale_groups:
                A /= math.sqrt(2) * abs(half) + 1e-6  # the unbiased deviation of two
            tokens = {"token-mean": lengths[a] + lengths[b], "seq-mean-token-mean": 2 * lengths[a]}
            share = q[a] * q[b] * 2 / tokens.get(config.aggregate, 2)  # 2: each pair is there both ways round
            for t in range(lengths[a]):
                r = math.exp((logp - logp_old)[a, t]) if config.ratio == "token" else math.exp(mean_log)
                x, y = logp[a, t].exp().item(), logp_old[a, t].exp().item()
                limit, far = (high if A > 0 else config.eps), {"plain": 0.0, "cispo": 0.0, "clip": abs(r - 1)}
                far |= {"dppo-tv": abs(x - y)}
                far["dppo-kl"] = y * math.log(y / x) + (1 - y) * math.log((1 - y) / (1 - x))
                weight = min(r, 1 + high) if config.objective == "cispo" else r
                if (r - 1) * A > 0 and far[config.objective] > limit:
                    weight = 0.0
                if config.dual_clip and A < 0 and r > config.dual_clip:
                    weight = 0.0
                slopes[a, t] += share * weight * A  # the home is the old policy: log ratios to it are those to old
                d, ratio = math.log(x / y), x / y
                slopes[a, t] -= share * config.kl_loss * (ratio if config.kl_loss_ratio else 1) * price_of(config, d)
    return slopes


def price_of(config, d):
    """The slope of k2, or of k3 without its ratio: with it both have d, the gradient of the KL."""
    return d if config.kl_loss_ratio or config.kl_loss_kind == "k2" else 1 - math.exp(-d)


def test_golden_numbers():
    logp, old = torch.tensor([[0.5, 0.2, 0.9]]).log(), torch.tensor([[0.25, 0.4, 0.6]]).log()  # ratios 2, .5, 1.5
    A = torch.tensor([[1.0, -1.0, 1.0]])
    torch.testing.assert_close(sequence_log_ratio(logp, old).exp(), torch.full((1, 3), 1.5 ** (1 / 3)))
    torch.testing.assert_close(cispo(logp, old, A, 0.5), torch.tensor([[1.5, -0.5, 1.5]]) * logp)
    torch.testing.assert_close(dppo(logp, old, A, 0.27), torch.tensor([[2.0, -0.5, 0.0]]))
    kl = 0.6 * math.log(0.6 / 0.9) + 0.4 * math.log(0.4 / 0.1)
    assert binary_divergence(logp, old, "kl")[0, 2].item() == pytest.approx(kl, rel=1e-6)
    torch.testing.assert_close(length_adaptive_lam(torch.ones(1, 48), 0.05), torch.tensor([[1 - 1 / 2.4]]))
    assert length_adaptive_lam(torch.ones(1, 3), 0.05).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["tv", "kl"])
def test_a_token_that_was_certain_or_impossible_makes_no_nan(kind, dtype):
    logp = torch.tensor([0.0, 0.0, -80.0, -1e-4, 0.0], dtype=dtype).requires_grad_()
    old = torch.tensor([0.0, -1.0, 0.0, 0.0, -80.0], dtype=dtype)
    found = binary_divergence(logp, old, kind)
    assert found.isfinite().all() and (found >= 0).all() and found[0] == 0 and found[2] > 0.5
    for A in (1.0, -1.0):
        (gradient,) = torch.autograd.grad(dppo(logp, old, torch.full_like(old, A), divergence=kind).sum(), logp)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("token", [False, True])
def test_the_ratio_of_a_reply_never_looks_outside_the_mask(token):
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    for soil in (math.nan, math.inf):
        logp = torch.full((3, 3), -1.0).where(mask, soil).requires_grad_()
        ratio = sequence_log_ratio(logp, torch.full((3, 3), -2.0).where(mask, soil), mask, token=token)
        (gradient,) = torch.autograd.grad(ratio.sum(), logp)
        assert torch.equal(ratio, mask.float()) and torch.equal(gradient, mask.float())


def test_groups_of_one_of_equals_and_none_at_all():
    scores, groups = torch.tensor([1.0, 3.0, 5.0, 5.0, 9.0]), torch.tensor([4, 4, 1, 1, 0])
    assert rloo_advantages(scores, groups).tolist() == [-2.0, 2.0, 0.0, 0.0, 0.0]
    assert varied_groups(scores, groups).tolist() == [True, True, False, False, False]
    for function in (rloo_advantages, varied_groups):
        with pytest.raises(ValueError, match="scores is empty"):
            function(scores[:0], groups[:0])


def test_a_lambda_for_each_row_is_that_of_each_row_alone():
    r, v, following = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1], [4]])
    about = {"terminated": mask & ~torch.cat([mask[:, 1:], mask[:, :1] & False], 1), "gamma": 0.9}
    lam = torch.tensor([[0.0], [0.5], [0.9], [1.0]])
    whole, _ = gae(r, v, following, mask=mask, lam=lam, **about)
    for i in range(4):
        row = {name: x[i] for name, x in about.items() if name != "gamma"}
        assert torch.equal(
            whole[i], gae(r[i], v[i], following[i], mask=mask[i], lam=lam[i].item(), gamma=0.9, **row)[0]
        )
    for wrong, words in ((torch.full((4,), 0.5), "shape"), (torch.full((4, 1), 1.5), "in \\[0.0, 1.0\\]")):
        with pytest.raises(ValueError, match=words):
            gae(r, v, following, mask=mask, lam=wrong, **about)


def test_the_critics_targets_have_a_lambda_of_their_own():
    _, _, rollout = sampled(SHORT)
    config = replace(SHORT, critic_lam=1.0, lam=0.3, whiten_advantages=False)
    rollout.values = torch.rand(rollout.values.shape) * rollout.mask
    advantages, targets = advantages_of(rollout, config, 0.0, None)
    torch.testing.assert_close(targets, rollout.scores[:, None].expand_as(targets) * rollout.mask)
    assert torch.equal(advantages, advantages_of(rollout, replace(config, critic_lam=None), 0.0, None)[0])


def test_the_price_of_length_is_no_part_of_the_score_that_drops_a_group():
    config = replace(SHORT, advantages="group", kl=None, replies=4, dynamic_sampling=True, overlong_buffer=6)
    rows, _ = run(config, lambda prompt, reply: 1.0)
    assert [row["kept"] for row in rows] == [0.0] * 3 and all(row["score"] == 1.0 for row in rows)
    assert "policy_loss" not in rows[0] and None not in rows[0].values()
    assert any(x for x in advantages_of(sampled(config)[2], config, 0.0, torch.arange(8) // 4)[0].flatten())


# ---- members --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAIN)
def test_a_members_settings_can_be_one_run_and_are_its_own(name):
    changes, row = member(name), MEMBERS[name]
    RLHFConfig(**changes)
    assert set(changes) <= {f.name for f in fields(RLHFConfig)} and len(row["settings"]) <= 6
    assert all(row[key] for key in ("title", "source", "line", "fixes", "costs", "thread", "verl", "trl", "openrlhf"))


def test_the_page_of_the_family_is_what_its_table_says():
    assert pages.PAGE.read_text("utf-8") == pages.page(), "run: python tools/family.py --write"


def test_a_member_that_has_no_settings_says_which_have():
    with pytest.raises(ValueError, match="'remax' is no member that trains; there are ppo"):
        member("remax")


GROUPS = {"advantages": "group", "replies": 4, "kl": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "cispo", "eps": 0.3, "eps_high": 5.0, **GROUPS}, "eps=0.3 has no effect with objective='cispo'"),
        ({"objective": "cispo", "ratio": "sequence", **GROUPS}, "objective='cispo' looks at each token"),
        ({"objective": "dppo-kl", "ratio": "sequence-token"}, "cannot take ratio='sequence-token'"),
        ({"ratio": "sequence"}, "take ratio='sequence-token'"),
        ({"objective": "plain", "dual_clip": 3.0}, "dual_clip=3.0 has no effect with objective='plain'"),
        ({"tis_cap": 2.0, "rescore": False}, "set rescore=True"),
        ({"dynamic_sampling": True}, "advantages='gae' has no groups"),
        ({"dynamic_sampling": True, "no_eos_penalty": 1.0, **GROUPS}, "Take overlong_buffer instead"),
        ({"overlong_buffer": 99}, "overlong_buffer=99 must be at most max_new_tokens=48"),
        ({"critic_warmup": 60}, "critic_warmup=60 of iterations=60"),
        ({"critic_warmup": 1, **GROUPS}, "critic_warmup=1 is about a critic"),
        ({"critic_lam": 1.0, **GROUPS}, "critic_lam=1.0 is about a critic"),
        ({"lam_alpha": 0.5, **GROUPS, "advantages": "rloo"}, "advantages='rloo' has none"),
        (
            {"objective": "cispo", "eps": 0.1, "eps_high": 4.0},
            "eps=0.1 has no effect with objective='cispo' and eps_high=4.0",
        ),
        ({"lam": 0.9, "lam_alpha": 0.05}, "lam=0.9 has no effect with lam_alpha=0.05"),
        ({"advantages": "group"}, "replies=1 leaves none to compare a reply with, as advantages='group' does"),
        ({"advantages": "rloo"}, "Take replies=4 or so"),
    ],
)
def test_what_cannot_be_one_run_is_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=words):
        RLHFConfig(**changes)


@pytest.mark.parametrize("changes", [{"tis_cap": 0.5}, {"advantages": "grpo"}, {"ratio": "reply"}, {"lam_alpha": 0.0}])
def test_what_no_setting_may_be(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be"):
        RLHFConfig(**changes)


def small(name, **changes):
    """A member on the tiny model."""
    asked = member(name)
    if "replies" in asked:
        asked["replies"] = 4
    asked |= {
        "overlong_buffer": min(2, asked.get("overlong_buffer", 0)),
        "critic_warmup": min(1, asked.get("critic_warmup", 0)),
    }
    return replace(SHORT, **asked | changes)


@pytest.mark.parametrize("name", TRAIN)
@pytest.mark.slow
def test_no_gradient_of_a_member_looks_outside_the_mask_and_the_first_ratio_is_1(name):
    gradients, config = [], small(name)
    for soil in (0.0, math.nan, math.inf):
        actor, _, rollout = sampled(config)
        advantages, _ = advantages_of(rollout, config, 0.0, torch.arange(8) // 4)
        spoiled = (rollout.logp, rollout.logp_ref, advantages, rollout.logp_sampler)
        for x in spoiled:
            if x is not None:
                x[~rollout.mask] = soil
        assert (~rollout.mask).any()
        for batch in micro_batches(rollout.ids, rollout.attention_mask, rollout.mask, torch.arange(8), 4):
            loss, facts, error = rlhf.actor_loss(actor, rollout, advantages, batch, 30, 8, config)
            loss.backward()
            assert error < 1e-5 and all(map(math.isfinite, facts.values()))
            assert facts["clip_fraction"] == 0  # nothing binds where the policy has not moved
        gradients.append([p.grad for p in actor.parameters()])
    assert any(g.any() for g in gradients[0])
    for soiled in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], soiled, strict=True))


@pytest.mark.parametrize("name", TRAIN)
@pytest.mark.slow
def test_one_token_replies_are_enough(name):
    rows, _ = run(small(name, max_new_tokens=1, overlong_buffer=0), lambda prompt, reply: float(len(reply)))
    assert len(rows) == 3 and all(math.isfinite(row["score"]) for row in rows)


def test_while_the_critic_learns_first_the_actor_waits():
    config = replace(SHORT, critic_warmup=2, kl=FixedKL(0.1))
    rows, actor = run(config, lambda prompt, reply: float(len(reply)))
    alone, moves = rows[:2], rows[2]
    assert all("policy_loss" not in row and "grad_norm" not in row and row["value_loss"] > 0 for row in alone)
    assert [row["kl_ref"] for row in rows] == [0.0] * 3  # of what was sampled: the actor had not moved yet
    assert (
        moves["grad_norm"] > 0
        and "policy_loss" in moves
        and any(p.grad is not None for p in actor.parameters()) is False
    )


@pytest.mark.parametrize("name", ["vc-ppo", "dapo", "tis"])
def test_a_run_of_a_member_that_was_interrupted_goes_on_as_if_it_had_not_been(name, tmp_path):
    config, judge = small(name, checkpoint_every=1), lambda prompt, reply: float(reply.count("a") > 1)
    whole, actor = run(config, judge, resume=tmp_path / "whole.pt")
    for part in range(2):
        actor_, critic, reference, tokenizer = family()
        models = Models(actor_, critic if config.advantages == "gae" else None, reference, judge)
        rows = rlhf.rlhf(config, models, ("ab", "c", "gfe"), tokenizer=tokenizer, resume=tmp_path / "parts.pt")
        parts = [next(rows), next(rows)] if part == 0 else list(rows)
    assert [{**row, "seconds": 0, "replies": 0} for row in parts] == [
        {**row, "seconds": 0, "replies": 0} for row in whole
    ]
    assert all(torch.equal(a, b) for a, b in zip(actor.parameters(), actor_.parameters(), strict=True))


def test_the_default_objective_is_the_clip_itself():
    g = torch.Generator().manual_seed(0)
    logp, old, A = torch.randn(3, 4, 6, generator=g)
    mask = torch.ones(4, 6, dtype=torch.bool)
    assert torch.equal(policy_objective(logp, old, A, mask, PLAIN)[0], clipped_surrogate(logp, old, A, 0.2))


def learns(name, seed):
    """The mean score of the last three iterations minus that of the first, of the share of the letter a."""
    critic = {"critic_lr": 1e-2} if member(name).get("advantages", "gae") == "gae" else {}
    config = small(name, iterations=14, batch=32, lr=1e-2, seed=seed, micro_batch=32, **critic)
    rows, _ = run(config, lambda prompt, reply: reply.count("a") / 6)
    scores = [row["score"] for row in rows]
    return sum(scores[-3:]) / 3 - sum(scores[:2]) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAIN)
def test_every_member_learns(name):
    """Up on at least 4 of 5 seeds: by chance alone once in 5."""
    assert sum(learns(name, seed) > 0 for seed in range(5)) >= 4
