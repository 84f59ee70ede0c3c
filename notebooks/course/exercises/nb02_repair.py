"""Exercise 02.repair: an objective made of sampled rewards and a penalty, whose gradient is the policy gradient."""

from __future__ import annotations

import torch

from ppo_lesson.maze import Maze

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written
from .nb02_estimate import draw, every_walk, finite_horizon_gradient, reals


def repaired_objective(logp, logp_ref, rewards, beta):
    """Mean over walks of the sum of log pi * what follows, where straying from the reference costs reward."""
    penalized = rewards - beta * (logp - logp_ref).detach()  # (..., T): numbers now, no gradient
    to_go = penalized.flip(-1).cumsum(-1).flip(-1)  # (..., T): from this step to the end
    return (logp * to_go).sum(-1).mean()


def _repair_cases():
    g = torch.Generator().manual_seed(2)
    first = (reals([[-0.7]]), reals([[-0.7]]), reals([[1.0]]), 0.1)
    second = (reals([[-0.5, -1.5, -0.2]]), reals([[-1.0, -1.0, -1.0]]), reals([[-0.1, -1.0, 1.0]]), 0.5)
    third = (-draw(g, 3, 4).abs(), -draw(g, 3, 4).abs(), draw(g, 3, 4), 0.1)
    return [first, second, third, (*(x[None] for x in third[:3]), 0.0)]


def _exact_penalized_gradient(fn):
    """On all 64 walks of three steps, each once, the gradient must be that of J: mean of all rewards and penalties."""
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


def _the_tutorial(logp, logp_ref, rewards, beta):
    return (rewards - beta * (logp - logp_ref)).sum(-1).mean()


def _minimises(logp, logp_ref, rewards, beta):
    return -repaired_objective(logp, logp_ref, rewards, beta)


def _not_detached(logp, logp_ref, rewards, beta):
    to_go = (rewards - beta * (logp - logp_ref)).flip(-1).cumsum(-1).flip(-1)
    return (logp * to_go).sum(-1).mean()


def _probability(logp, logp_ref, rewards, beta):
    to_go = (rewards - beta * (logp - logp_ref).detach()).flip(-1).cumsum(-1).flip(-1)
    return (logp.exp() * to_go).sum(-1).mean()


def _penalty_outside(logp, logp_ref, rewards, beta):
    return (logp * rewards.flip(-1).cumsum(-1).flip(-1) - beta * (logp - logp_ref)).sum(-1).mean()


def _no_penalty(logp, logp_ref, rewards, beta):
    return (logp * rewards.flip(-1).cumsum(-1).flip(-1)).sum(-1).mean()


def _pays_for_straying(logp, logp_ref, rewards, beta):
    return repaired_objective(logp, logp_ref, rewards, -beta)


def _only_this_step(logp, logp_ref, rewards, beta):
    return (logp * (rewards - beta * (logp - logp_ref).detach())).sum(-1).mean()


def _penalty_of_this_step(logp, logp_ref, rewards, beta):
    weights = rewards.flip(-1).cumsum(-1).flip(-1) - beta * (logp - logp_ref).detach()
    return (logp * weights).sum(-1).mean()


def _total_of_the_walk(logp, logp_ref, rewards, beta):
    total = (rewards - beta * (logp - logp_ref).detach()).sum(-1, keepdim=True)
    return (logp * total).sum(-1).mean()


def _ratio(logp, logp_ref, rewards, beta):
    to_go = (rewards - beta * (logp - logp_ref).detach()).flip(-1).cumsum(-1).flip(-1)
    return (torch.exp(logp - logp.detach()) * to_go).sum(-1).mean()


def _mean_of_everything(logp, logp_ref, rewards, beta):
    return repaired_objective(logp, logp_ref, rewards, beta) / logp.shape[-1]


REPAIR = Exercise(
    id="02.repair",
    title="Repair the tutorial's objective",
    solution=repaired_objective,
    cases=_repair_cases,
    properties=[_exact_penalized_gradient],
    gradient=("logp",),
    mistakes=[
        Mistake(
            _the_tutorial,
            "This is the recipe itself. The rewards stand alone and have no gradient: multiply them by a log pi.",
            "NVIDIA-NeMo/RL pull request 2506, for the penalty",
        ),
        Mistake(_minimises, "The sign is flipped. Return the objective, which goes up; the loop adds the minus."),
        Mistake(
            _not_detached,
            "The weights still hang on `logp` through the penalty, so it is differentiated twice. The weights are "
            "measurements: `.detach()` them.",
            "batra-mlp-lab/visdial-rl issue 13",
        ),
        Mistake(
            _probability,
            "You weighted the probability, not its logarithm. Sampling already counts an action by its probability: "
            "with pi instead of log pi it counts twice.",
        ),
        Mistake(
            _penalty_outside,
            "The rewards are right. The penalty stands beside the product, where its mean gradient is zero: it never "
            "holds the robot back. Subtract it from the rewards instead.",
            "NVIDIA-NeMo/RL pull request 2506",
        ),
        Mistake(_no_penalty, "The penalty is gone. `beta * (logp - logp_ref)` has to be subtracted from the rewards."),
        Mistake(_pays_for_straying, "The penalty has the wrong sign: you pay the robot for leaving the reference."),
        Mistake(
            _only_this_step,
            "Each log pi got only the reward of its own step. An action also answers for what comes later.",
        ),
        Mistake(
            _penalty_of_this_step,
            "The rewards run to the end of the walk, the penalty does not. A step also answers for later straying: "
            "subtract the penalties first, then sum from step t on.",
        ),
        Mistake(
            _total_of_the_walk,
            "Right on average, and noisier than it has to be: leave out what was paid before step t (reward-to-go).",
        ),
        Mistake(
            _ratio,
            "Your gradient is right: a ratio of probabilities has the same slope here, and notebook 05 lives on that. "
            "The value asked for is that of `logp * weight`; use `logp` itself.",
        ),
        Mistake(
            _mean_of_everything,
            "You averaged over steps too. Sum over the steps of a walk, then mean over walks: `.sum(-1).mean()`.",
        ),
        *written(repaired_objective),
    ],
    hints=[
        "A reward has no gradient of its own. What did you multiply it with in the last exercise?",
        "Make the penalty part of its step's reward, `rewards - beta * (logp - logp_ref).detach()`. Then sum to the "
        "end.",
        "Multiply `logp` with these sums, `.sum(-1)` over steps, `.mean()` over walks.",
    ],
)
