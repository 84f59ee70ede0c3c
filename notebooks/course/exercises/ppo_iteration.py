"""ppo_iteration: a tutorial's loop of PPO for language models, repaired with the functions of the maze."""

from __future__ import annotations

import torch

from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae

from ..check import Exercise, require, rows
from ..check.compare import difference
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


NAN_OUTSIDE = 2  # its place among the judged
cases = rows("ppo_iteration", situation)


def judged() -> list[tuple]:
    """Situations; between them every known mistake does something else than the solution."""
    return rows("ppo_iteration", situation, "judged")()


def everything(fn):
    for case, twin in zip(judged(), judged()):
        pairs = zip(("actor", "critic"), after(fn, case), after(ppo_iteration, twin))
        first = next((name for name, got, want in pairs if not _alike(got, want)), None)
        require(first is None, f"Here the {first} does not: beta {case[-2]}, epochs {case[-1]}.", case=())


def known(fn, said: str) -> str:
    """The names of the mistakes that together do what fn does, or what a property said."""
    mine = [_ends(fn, case) for case in judged()]
    leaks = mine[NAN_OUTSIDE] == "broken"  # NaN may leak besides
    for mistake in of_exercise("ppo_iteration", ppo_iteration)["mistakes"]:
        plain = [pair for i, pair in enumerate(zip(mine, judged())) if not (leaks and i == NAN_OUTSIDE)]
        if all(_alike(here, _ends(mistake.fn, case)) for here, case in plain):
            besides = leaks and _ends(mistake.fn, judged()[NAN_OUTSIDE]) != "broken"
            return mistake.fn.__name__ + " nan_leaks" * besides
    return said


def _ends(fn, case: tuple):
    """What fn leaves on this batch, or "broken" where it raises or where a number is not finite."""
    try:
        found = after(fn, case)
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
