"""Notebook 03: the arrow of one walk with a baseline, and the bias of a bad baseline.

The best constant baseline: nb03_constant.py. The critic's two exercises: nb03_critic.py. The quiz: nb03_baselines.toml.
"""

from __future__ import annotations

import torch

from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.returns import discounted_returns
from ppo_lesson.rollout import whole_episodes

from ..check.spec import Exercise, Mistake, close, mean_within
from ..check.texts import written


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _draw(g, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=g, dtype=dtype)


# ---- 03.baseline_gradient: one walk, one arrow -------------------------------


def baseline_gradient(scores, returns, baselines):
    """The arrow of one walk: the sum over its steps of score * (return - baseline). (T, D), (T,), (T,) -> (D,)."""
    weights = returns - baselines  # (T,): how much better than the baseline it went
    return (weights[:, None] * scores).sum(0)


def _walk_cases():
    g = _generator(0)
    ones = torch.tensor([[0.75, -0.25]]).double(), torch.tensor([1.0]).double(), torch.tensor([0.4]).double()

    def walk(steps, size, dtype=torch.float64):
        return _draw(g, steps, size, dtype=dtype), _draw(g, steps, dtype=dtype), _draw(g, steps, dtype=dtype)

    return [ones, walk(2, 3), walk(4, 4), walk(6, 2), walk(5, 8, torch.float32)]


def _the_mean_stays(fn):
    """Averaged over all actions, each with its probability, the baseline must not change the arrow."""
    g = _generator(1)
    probs, returns = torch.softmax(_draw(g, 4), -1), _draw(g, 4)
    scores = torch.eye(4).double() - probs  # row a: the gradient of log pi(a)

    def mean(baseline):
        arrows = [fn(scores[a : a + 1], returns[a : a + 1], torch.full((1,), baseline).double()) for a in range(4)]
        return (probs[:, None] * torch.stack(arrows)).sum(0)

    close(mean(5.0), mean(0.0), case=(scores[:1], returns[:1], torch.tensor([5.0]).double()))
    truth = probs * (returns - (probs * returns).sum())
    close(mean(0.0), truth, case=(scores[:1], returns[:1], torch.zeros(1).double()))


def _zero_when_foretold(fn):
    """A walk that went exactly as the baseline said must not move the policy."""
    scores, returns, _ = _walk_cases()[3]
    close(fn(scores, returns, returns.clone()), torch.zeros(2), case=(scores, returns, returns), atol=1e-9)


def _unbiased_in_the_maze(fn):
    """Averaged over many walks, the arrow must be the exact gradient, whatever the baseline says about each square."""
    policy, gamma, baseline = TabularPolicy(), 0.9, _draw(_generator(2), 16)
    walks = whole_episodes(MazeBatch(Maze(), 400, seed=0), policy)
    G = discounted_returns(walks.rewards, gamma)
    arrows = []
    for s, a, g, real in zip(walks.observations, walks.actions, G, walks.mask):
        s, a, g = s[real], a[real], g[real]
        t = torch.arange(len(s))
        scores = torch.zeros(len(s), 16, 4).double()
        scores[t, s] -= 0.25
        scores[t, s, a] += 1
        arrows.append(fn((gamma ** t.double())[:, None] * scores.flatten(1), g, baseline[s]))
    truth = exact_policy_gradient(policy.logits.detach(), gamma).flatten()
    mean_within(torch.stack(arrows), truth)


def _every_baseline_for_every_step(scores, returns, baselines):
    return ((returns[:, None] - baselines[None, :]) @ scores).sum(0)


def _adds_the_baseline(scores, returns, baselines):
    return ((returns + baselines)[:, None] * scores).sum(0)


def _subtracts_too_late(scores, returns, baselines):
    return (returns[:, None] * scores - baselines[:, None]).sum(0)


def _mean_over_steps(scores, returns, baselines):
    return ((returns - baselines)[:, None] * scores).mean(0)


def _baseline_of_the_next_step(scores, returns, baselines):
    later = torch.cat([baselines[1:], torch.zeros_like(baselines[:1])])
    return ((returns - later)[:, None] * scores).sum(0)


def _one_baseline_for_all(scores, returns, baselines):
    return ((returns - baselines.mean())[:, None] * scores).sum(0)


def _weight_of_the_first_step(scores, returns, baselines):
    return (returns[0] - baselines[0]) * scores.sum(0)


def _no_baseline(scores, returns, baselines):
    return (returns[:, None] * scores).sum(0)


GRADIENT = Exercise(
    id="03.baseline_gradient",
    title="The arrow of one walk, with a baseline",
    solution=baseline_gradient,
    cases=_walk_cases,
    properties=[_the_mean_stays, _zero_when_foretold],
    statistics=[_unbiased_in_the_maze],
    mistakes=[
        Mistake(
            _every_baseline_for_every_step,
            "Every return met every baseline: a column (T, 1) minus a row (T,) is a (T, T) table. Subtract (T,) from "
            "(T,) "
            "first, and make a column of the result after that.",
            "PacktPublishing/Deep-Reinforcement-Learning-Hands-On issues 33 and 74, floodsung/a2c_cartpole_pytorch "
            "issue 3",
        ),
        Mistake(
            _adds_the_baseline,
            "You added the baseline. The mean is still right (a baseline may be any number), but the spread grows: "
            "returns MINUS baselines are small, returns plus baselines are large.",
        ),
        Mistake(
            _subtracts_too_late,
            "The baseline belongs to the return, not to the product: score * (return - baseline), not "
            "score * return - baseline. Mind the brackets.",
        ),
        Mistake(_mean_over_steps, "This divides by the length of the walk. An arrow is a sum over the steps."),
        Mistake(
            _baseline_of_the_next_step,
            "Each step got the baseline of the step after it: an index too far. That one depends on where the action "
            "led, and a baseline must not know the action.",
        ),
        Mistake(
            _one_baseline_for_all,
            "You subtracted the mean of the baselines from every return. Each step has its own baseline.",
        ),
        Mistake(
            _weight_of_the_first_step,
            "Every step got the weight of step 0. Each step has its own return and its own baseline.",
        ),
        Mistake(_no_baseline, "The baselines are not used: the weight of a step is its return minus its baseline."),
        *written(baseline_gradient),
    ],
    hints=[
        "Each step has one number, its return minus its baseline, and one row, its score.",
        "Multiply row t by number t: the numbers need the shape (T, 1), which is `weights[:, None]`.",
        "`((returns - baselines)[:, None] * scores).sum(0)`",
    ],
)


# ---- 03.baseline_bias: what a baseline adds to the mean arrow ----------------


def baseline_bias(probs, baseline):
    """The mean of score * baseline(s, a) over the actions, square by square: (S, 4), (S, 4) -> (S, 4)."""
    mean = (probs * baseline).sum(-1, keepdim=True)  # (S, 1): the baseline averaged with the policy
    return probs * (baseline - mean)


def _bias_cases():
    g = _generator(3)

    def table(squares, actions):
        return torch.softmax(_draw(g, squares, actions), -1), _draw(g, squares, actions)

    start = torch.full((1, 4), 0.25).double(), torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double()
    return [start, table(1, 4), table(3, 4), table(4, 4), table(5, 4), table(16, 4)]


def _only_the_square(fn):
    """A baseline that says the same for all four actions of a square must give exactly zero."""
    probs, _ = _bias_cases()[2]
    baseline = torch.tensor([[-7.0], [0.0], [100.0]]).double().expand(3, 4)
    close(fn(probs, baseline), torch.zeros(3, 4), case=(probs, baseline), atol=1e-9)


def _by_the_definition(fn):
    """It must be the sum over actions of pi(a) * (gradient of log pi(a)) * baseline(a)."""
    probs, baseline = _bias_cases()[1]
    logits = probs.log().requires_grad_()
    logp = torch.log_softmax(logits, -1)
    scores = torch.stack([torch.autograd.grad(logp[0, a], logits, retain_graph=True)[0][0] for a in range(4)])  # (4, 4)
    want = (probs[0, :, None] * baseline[0, :, None] * scores).sum(0)[None]
    close(fn(probs, baseline), want, case=(probs, baseline))


def _mean_with_equal_weights(probs, baseline):
    return probs * (baseline - baseline.mean(-1, keepdim=True))


def _mean_of_the_weighted(probs, baseline):
    return probs * (baseline - (probs * baseline).mean(-1, keepdim=True))


def _only_the_chosen_logit(probs, baseline):
    return probs * baseline


def _without_the_first_probs(probs, baseline):
    return baseline - (probs * baseline).sum(-1, keepdim=True)


def _one_mean_for_the_maze(probs, baseline):
    return probs * (baseline - (probs * baseline).sum(-1).mean())


def _forgets_how_often(probs, baseline):
    scores = torch.eye(probs.shape[-1]).to(probs) - probs[:, None, :]  # (S, a, logit)
    return (baseline[..., None] * scores).sum(1)


def _of_the_probabilities(probs, baseline):
    mean = (probs * baseline).sum(-1, keepdim=True)
    return probs**2 * (baseline - mean)


BIAS = Exercise(
    id="03.baseline_bias",
    title="What a baseline adds to the mean arrow",
    solution=baseline_bias,
    cases=_bias_cases,
    properties=[_only_the_square, _by_the_definition],
    mistakes=[
        Mistake(
            _mean_with_equal_weights,
            "The mean of the baseline must be taken with the policy: `(probs * baseline).sum(-1, keepdim=True)`. A "
            "plain "
            "mean is right only as long as all actions are equally likely.",
        ),
        Mistake(
            _mean_of_the_weighted,
            "`probs * baseline` is weighted already: add it up with `sum`. A `mean` divides by the number of actions "
            "once "
            "more.",
            "toshikwa/rltorch issue 1",
        ),
        Mistake(
            _only_the_chosen_logit,
            "The score of an action also lowers the other logits: it is one-hot MINUS probs. The second part is "
            "missing.",
        ),
        Mistake(
            _without_the_first_probs,
            "This is baseline minus its mean. Each action happens with its probability, so that goes in front.",
        ),
        Mistake(
            _one_mean_for_the_maze,
            "You used one mean for all squares. The actions are averaged within each square: `sum(-1, keepdim=True)`.",
        ),
        Mistake(
            _forgets_how_often,
            "All actions counted the same. The mean over actions is weighted: action a happens with probability pi(a).",
        ),
        Mistake(
            _of_the_probabilities,
            "One factor probs too many: it was used for the mean over actions and once more inside the score.",
        ),
        *written(baseline_bias),
    ],
    hints=[
        "The score with respect to logit b is 1 - pi(b) if a = b, and -pi(b) if not. Sum pi(a) * score * baseline(a) "
        "over a.",
        "The one-hot part leaves pi(b) * baseline(b). The other part leaves -pi(b) * (sum over a of pi(a) * "
        "baseline(a)).",
        "`probs * (baseline - (probs * baseline).sum(-1, keepdim=True))`",
    ],
)
