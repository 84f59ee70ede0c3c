"""ppo_iteration: a tutorial's loop of PPO for language models, repaired with the functions of the maze."""

from __future__ import annotations

import torch

from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae

from ..check.compare import difference
from ..check.spec import Exercise, require
from ..check.texts import of_exercise
from .iteration_suite import SUITE
from .shape_rewards import shape_rewards
from .stand_ins import after, situation


def ppo_iteration(actor, critic, reference, optimizer, ids, mask, scores, beta, epochs):
    """One iteration of PPO on sampled replies: note what is data, then some epochs of clipped steps."""
    with torch.no_grad():  # what was true when the replies were sampled
        logp_old, logp_ref, values_old = (torch.where(mask, model(ids), 0.0) for model in (actor, reference, critic))
        rewards = shape_rewards(scores, logp_old, logp_ref, mask, beta)
        next_values = torch.cat([values_old[:, 1:], torch.zeros_like(values_old[:, :1])], -1)  # behind the end: 0
        end = torch.zeros_like(mask)  # so no flag has to say that nothing follows
        advantages, returns = gae(rewards, values_old, next_values, terminated=end, mask=mask, gamma=1.0, lam=0.95)
    for _ in range(epochs):
        logp, values = torch.where(mask, actor(ids), 0.0), torch.where(mask, critic(ids), 0.0)
        objective = clipped_surrogate(logp, logp_old, advantages, eps=0.2)
        loss = aggregate(value_loss(values, returns) - objective, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def cases():
    return [situation(1, (0,), (1,), (2,)), situation(2), situation(3, dtype=torch.float32)]


NAN_OUTSIDE = {"seed": 8, "epochs": 2, "outside": torch.nan}
JUDGED = (  # settings of situations; between them every known mistake does something else than the solution
    {"seed": 7, "epochs": 4, "shared": True},
    {"seed": 10, "epochs": 3, "lr": 40.0},
    NAN_OUTSIDE,
    {"seed": 9, "epochs": 2, "lower": 200.0, "dtype": torch.float32},
    {"seed": 4},
    {"seed": 5, "pads": (3, 1), "prompts": (4, 4), "lengths": (5, 7), "beta": 0.5},
    {"seed": 6, "epochs": 3, "lr": 2.0},
)


def everything(fn):
    for settings in JUDGED:
        case = situation(**settings)
        pairs = zip(("actor", "critic"), after(fn, case), after(ppo_iteration, situation(**settings)))
        first = next((name for name, got, want in pairs if not _alike(got, want)), None)
        require(first is None, f"Here the {first} does not: beta {case[-2]}, epochs {case[-1]}.", case=())


def known(fn, said: str) -> str:
    """The names of the mistakes that together do what fn does, or what a property said."""
    mine = [(settings, _ends(fn, settings)) for settings in JUDGED]
    plain = [pair for pair in mine if pair != (NAN_OUTSIDE, "broken")]  # NaN may leak besides
    for mistake in of_exercise("ppo_iteration", ppo_iteration)["mistakes"]:
        if all(_alike(here, _ends(mistake.fn, settings)) for settings, here in plain):
            leaks = plain != mine and _ends(mistake.fn, NAN_OUTSIDE) != "broken"
            return mistake.fn.__name__ + " nan_leaks" * leaks
    return said


def _ends(fn, settings: dict):
    """What fn leaves on one of the batches, or "broken" where it raises or where a number is not finite."""
    try:
        found = after(fn, situation(**settings))
    except Exception:
        return "broken"
    return found if all(x.isfinite().all() for x in found) else "broken"


def _alike(a, b) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str)
    return difference(a, b, rtol=1e-4, atol=1e-6, check_dtype=False) is None


EXERCISE = Exercise(
    solution=ppo_iteration,
    cases=cases,
    suite=SUITE,
    recognise=known,
    many_answers=True,  # whatever comes back: what counts is what the models have become
)
