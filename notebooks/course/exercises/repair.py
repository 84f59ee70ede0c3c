"""repair: repair the tutorial's objective."""

import torch

from ppo_lesson.maze import Maze

from ..check import Exercise, close, require
from .policy_gradient import draw, every_walk, finite_horizon_gradient, reals


def repaired_objective(logp, logp_ref, rewards, beta):
    """Mean over walks of the sum of log pi * what follows, where straying from the reference costs reward."""
    penalized = rewards - beta * (logp - logp_ref).detach()  # (..., T): numbers now, no gradient
    to_go = penalized.flip(-1).cumsum(-1).flip(-1)  # (..., T): from this step to the end
    return (logp * to_go).sum(-1).mean()


def cases():
    g = torch.Generator().manual_seed(2)
    first = (reals([[-0.7]]), reals([[-0.7]]), reals([[1.0]]), 0.1)
    second = (reals([[-0.5, -1.5, -0.2]]), reals([[-1.0, -1.0, -1.0]]), reals([[-0.1, -1.0, 1.0]]), 0.5)
    third = (-draw(g, 3, 4).abs(), -draw(g, 3, 4).abs(), draw(g, 3, 4), 0.1)
    return [first, second, third, (*(x[None] for x in third[:3]), 0.0)]


def exact_penalized_gradient(fn):
    maze, beta = Maze(start=10), 0.5
    states, actions, rewards, mask = every_walk(maze, 3)
    reference = torch.log_softmax(draw(torch.Generator().manual_seed(5), 16, 4), -1)
    truth = finite_horizon_gradient(maze, 3, lambda logp: maze.move_reward - beta * (logp - reference))
    logits = torch.zeros(16, 4, dtype=torch.float64, requires_grad=True)
    logp = torch.log_softmax(logits, -1)[states, actions] * mask
    args = (logp, reference[states, actions] * mask, rewards, beta)
    objective = fn(*args)
    require(
        objective.requires_grad,
        "What you returned has no gradient at all: log pi must stay connected, so do not detach all of it.",
        case=args,
    )
    close(torch.autograd.grad(objective, logits)[0], truth, case=args, atol=1e-6)


def draw_weights(fn):
    """The weights that the learner's objective gives to the steps of a walk, with and without the penalty."""
    from ..pictures import NAMES, dots, figure, key

    fig, ax = figure(width=6, height=2.6, xlabel="t step", ylabel="weight of its score")
    rewards, firsts = reals([[-0.1, -0.1, -0.1, 1.0]]), {}
    for name, beta, colour in (("free", 0.0, NAMES[0]), ("strict", 1.0, NAMES[1])):
        logp = reals([[0.9, 0.5, 0.25, 0.9]]).log().requires_grad_()
        (weights,) = torch.autograd.grad(fn(logp, torch.full_like(rewards, 0.25).log(), rewards, beta), logp)
        ax.plot(weights[0], **{**dots(colour), "linestyle": "-"}, label=f"β = {beta:g}")
        firsts[name] = weights[0, 0].item()
    ax.set_xticks(range(4))
    key(ax, loc="lower right")
    return fig, firsts


EXERCISE = Exercise(solution=repaired_objective, cases=cases, gradient=("logp",), picture=draw_weights)
