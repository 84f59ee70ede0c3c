"""What one update of the real trainer saw and did, written down from outside, so that a check can look for bugs.

    batch = collect(seed=0)                                      # a healthy update
    batch = collect(PATIENTS["entropy-sign"], seed=0, update=6)  # the seventh update of a sick trainer

For one update `ppo` works with functions that note their arguments and results and change nothing. What a sick line
does to them is noted as it happened; log-probabilities, values, entropies and the gradient of each loss are asked
for a second time, from the networks themselves. Left out: several seeds, several mini-batches an epoch.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from unittest.mock import patch

import torch
from gymnasium.vector import SyncVectorEnv
from torch import Tensor

from ppo_lesson import ppo as trainer
from ppo_lesson.maze import Maze
from ppo_lesson.optim import Adam
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig
from ppo_lesson.rollout import Rollout

from .ward import CLINIC, MAZE, SETTING, VECTOR, Patient


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the optimizer, on all n real steps of the rollout; tensors are (n,) unless said otherwise.

    What the trainer used: logp_old, weights (the advantages in its objective), objective, targets (of the critic),
    loss (a number), gradient (P,) of all parameters before any clipping.
    Asked again, at the same parameters: logp, entropy, values, loss_gradient (P,), the gradient of `loss`.
    """

    logp_old: Tensor
    weights: Tensor
    objective: Tensor
    targets: Tensor
    loss: Tensor
    gradient: Tensor
    logp: Tensor
    entropy: Tensor
    values: Tensor
    loss_gradient: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """One update: the rollout, (robots, T) each, what the trainer made of it, and its steps.

    observations, actions, logp (when they were drawn), rewards, next_observations (before any reset), terminated,
    truncated, values, next_values. mask: the steps that the trainer may learn from. advantages, returns: as the trainer
    computed them. steps: one `Step` for each epoch. config: the settings. label: what `print` shows.
    """

    observations: Tensor
    actions: Tensor
    logp: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    truncated: Tensor
    mask: Tensor
    values: Tensor
    next_values: Tensor
    advantages: Tensor
    returns: Tensor
    steps: tuple[Step, ...]
    config: PPOConfig
    label: str

    def __repr__(self) -> str:
        return self.label

    def copy(self) -> Batch:
        """Tensors of its own, so that whoever gets the copy may write into them."""
        return _copied(self, steps=tuple(_copied(step) for step in self.steps))


def collect(patient: Patient | None = None, *, seed: int = 0, update: int = 2, vector: bool = False) -> Batch:
    """Train one seed in the clinic's maze, healthy or with `patient`'s disease, and write down update number `update`.

    update: 0 is the first. vector: in the maze as a Gymnasium vector environment, as a patient with `vector` always is.
    """
    who = f"a {'healthy' if patient is None else 'sick'} batch"
    with ExitStack() as stack:
        stack.enter_context(patient or nullcontext())
        env, config = MAZE, CLINIC
        if vector or (patient is not None and patient.vector):
            env, config = SyncVectorEnv([lambda: Maze(**SETTING)] * VECTOR.robots), VECTOR
            stack.enter_context(closing(env))
        policy, critic = TabularPolicy(), TabularCritic()
        rows = trainer.ppo(env, policy, critic, config, seed=seed)
        for _ in range(update):
            next(rows)
        with _watched(policy, critic) as notes:
            next(rows)
    rollout, (advantages, returns) = notes["rollout"], notes["gae"]
    names = {f.name for f in fields(Batch)} & {f.name for f in fields(Rollout)}
    seen = {name: getattr(rollout, name) for name in names}
    steps = tuple(Step(**step) for step in notes["steps"])
    return Batch(
        **seen, advantages=advantages, returns=returns, steps=steps, config=config, label=f"{who}, seed {seed}"
    )


@contextmanager
def _watched(policy, critic):
    """Note what one update does, in a dict: rollout, gae, steps."""
    notes, now = {"steps": []}, {}
    gae, minibatches, backward = Rollout.gae, trainer.minibatches, Adam.backward
    objective, value_loss = trainer.clipped_surrogate, trainer.value_loss

    def watch_gae(rollout, gamma, lam):
        notes["rollout"], notes["gae"] = rollout, gae(rollout, gamma, lam)
        return notes["gae"]

    def watch_minibatches(*args):
        for part in minibatches(*args):
            now["observations"], now["actions"] = part.observations, part.actions
            yield part

    def watch_objective(logp, logp_old, weights, *args, **more):
        result = objective(logp, logp_old, weights, *args, **more)
        now["step"] = {"logp_old": logp_old, "weights": weights, "objective": result.detach()}
        return result

    def watch_value_loss(values, targets, *args, **more):
        now["step"]["targets"] = targets.detach()
        return value_loss(values, targets, *args, **more)

    def watch_backward(optimizer, loss, **more):
        fresh = torch.autograd.grad(loss, optimizer.parameters, retain_graph=True)
        backward(optimizer, loss, **more)
        distribution, values = policy(now["observations"]), critic(now["observations"])
        again = {"logp": distribution.log_prob(now["actions"]), "entropy": distribution.entropy(), "values": values}
        again |= {"loss": loss, "gradient": optimizer.grad, "loss_gradient": torch.cat([g.flatten() for g in fresh])}
        notes["steps"].append(now["step"] | {name: x.detach().clone() for name, x in again.items()})

    with (
        patch.object(Rollout, "gae", watch_gae),
        patch.object(Adam, "backward", watch_backward),
        patch.object(trainer, "minibatches", watch_minibatches),
        patch.object(trainer, "clipped_surrogate", watch_objective),
        patch.object(trainer, "value_loss", watch_value_loss),
    ):
        yield notes


def _copied(part, **more):
    tensors = {f.name: getattr(part, f.name) for f in fields(part)}
    return replace(part, **{name: x.clone() for name, x in tensors.items() if isinstance(x, Tensor)} | more)
