"""baseline_gradient: the arrow of one walk, with a baseline."""

import torch

from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.returns import discounted_returns
from ppo_lesson.rollout import whole_episodes

from ..check import Exercise, close, mean_within, rows
from .policy_gradient import draw


def baseline_gradient(scores, returns, baselines):
    """The arrow of one walk: the sum over its steps of score * (return - baseline). (T, D), (T,), (T,) -> (D,)."""
    weights = returns - baselines  # (T,): how much better than the baseline it went
    return (weights[:, None] * scores).sum(0)


cases = rows("baseline_gradient")


def the_mean_stays(fn):
    g = torch.Generator().manual_seed(1)
    probs, returns = torch.softmax(draw(g, 4), -1), draw(g, 4)
    scores = torch.eye(4).double() - probs  # row a: the gradient of log pi(a)

    def mean(baseline):
        arrows = [fn(scores[a : a + 1], returns[a : a + 1], torch.full((1,), baseline).double()) for a in range(4)]
        return (probs[:, None] * torch.stack(arrows)).sum(0)

    close(mean(5.0), mean(0.0), case=(scores[:1], returns[:1], torch.tensor([5.0]).double()))
    truth = probs * (returns - (probs * returns).sum())
    close(mean(0.0), truth, case=(scores[:1], returns[:1], torch.zeros(1).double()))


def zero_when_foretold(fn):
    scores, returns, _ = cases()[3]
    close(fn(scores, returns, returns.clone()), torch.zeros(2), case=(scores, returns, returns), atol=1e-9)


def unbiased_in_the_maze(fn):
    policy, gamma, baseline = TabularPolicy(), 0.9, draw(torch.Generator().manual_seed(2), 16)
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


EXERCISE = Exercise(solution=baseline_gradient, cases=cases)
