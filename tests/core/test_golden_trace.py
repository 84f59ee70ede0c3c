"""One update of PPO on a frozen batch: the exercise's solution and the real trainer give the numbers in the file."""

import copy
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import ppo_lesson.ppo as trainer
from course.exercises.frozen_batch import FROZEN, frozen
from course.exercises.ppo_update import ppo_update
from ppo_lesson.kl import estimate
from ppo_lesson.objectives import clip_fraction
from ppo_lesson.optim import Adam

ROOT = Path(__file__).resolve().parents[2]
GOLD = json.loads((ROOT / "data" / "golden_trace.json").read_text("utf-8"))


def close(trace, policy, critic):
    assert len(trace) == len(GOLD["trace"]) == FROZEN.epochs * FROZEN.minibatches
    for row, gold in zip(trace, GOLD["trace"]):
        assert {name: pytest.approx(x, rel=1e-6, abs=1e-9) for name, x in gold.items()} == row
    torch.testing.assert_close(policy.logits.detach(), torch.tensor(GOLD["logits"]).double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(critic.table.detach(), torch.tensor(GOLD["values"]).double(), rtol=1e-6, atol=1e-6)


def test_the_batch_asks_for_every_line():
    """Ratios leave the fence, gradients are shortened, both signs of A occur: else a wrong line would not show."""
    assert any(row["clip_fraction"] > 0.2 for row in GOLD["trace"])
    norms = [row["grad_norm"] for row in GOLD["trace"]]
    assert min(norms) < FROZEN.max_grad_norm < max(norms)
    assert GOLD["trace"][0]["approx_kl"] == 0 and abs(GOLD["trace"][0]["policy_loss"]) < 1e-12
    assert (ROOT / GOLD["command"].split()[-1]).is_file()


def test_the_solution_makes_the_file():
    case = frozen()
    close(ppo_update(*case), case[0], case[1])


def test_the_solution_has_at_most_40_lines():
    assert len(inspect.getsource(ppo_update).rstrip().splitlines()) <= 40


def test_the_real_trainer_makes_the_file(monkeypatch):
    """`ppo.ppo_update`, watched from outside while it works on the same batch with the same random numbers."""
    policy, critic, _, rollout, config, generator = frozen()
    optimizer = Adam([(policy.parameters(), config.lr), (critic.parameters(), config.critic_lr)])
    rows, surrogate, loss, clip = [], trainer.clipped_surrogate, trainer.value_loss, optimizer.clip

    def seen_surrogate(logp, old, weights, eps, **more):
        objective = surrogate(logp, old, weights, eps, **more)
        kl = estimate(old, logp.detach(), "k3").mean().item()
        clipped = clip_fraction(logp, old, weights, eps).item()
        rows.append({"policy_loss": -objective.mean().item(), "approx_kl": kl, "clip_fraction": clipped})
        return objective

    def seen_loss(values, targets, **more):
        errors = loss(values, targets, **more)
        rows[-1]["value_loss"] = errors.mean().item()
        return errors

    def seen_clip(limit):
        norm = clip(limit)
        rows[-1]["grad_norm"] = norm.item()
        return norm

    class Seen:
        """The policy, which also notes the mean entropy of what it answers."""

        def __call__(self, observations):
            distribution = policy(observations)
            entropies.append(distribution.entropy().mean().item())
            return distribution

        def __deepcopy__(self, memo):
            return copy.deepcopy(policy)

    entropies = []
    monkeypatch.setattr(trainer, "clipped_surrogate", seen_surrogate)
    monkeypatch.setattr(trainer, "value_loss", seen_loss)
    monkeypatch.setattr(optimizer, "clip", seen_clip)
    envs = SimpleNamespace(seeds=(), generators=[generator])
    last = trainer.ppo_update(Seen(), critic, optimizer, rollout, config, None, envs)
    for row, x in zip(rows, entropies):
        row["entropy"] = x
    close(rows, policy, critic)
    assert last["policy_loss"].item() == rows[-1]["policy_loss"]
