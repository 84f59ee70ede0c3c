"""A tutorial's PPO for language models, and a batch of replies to try it, and its repair, on."""

from __future__ import annotations

import inspect

import torch


def tutorial(logp, logp_old, logp_ref, values, values_old, scores, mask, beta):
    """PPO on a batch of replies, as a popular tutorial has it. mask is never used."""
    rewards = -beta * (logp_old - logp_ref)  # the price of leaving the reference
    rewards[:, -1] += scores  # the score is paid at the end
    advantages, following = torch.zeros_like(rewards), 0.0
    for t in reversed(range(rewards.shape[1])):
        next_value = values_old[:, t + 1] if t + 1 < rewards.shape[1] else 0.0
        following = rewards[:, t] + next_value - values_old[:, t] + 0.95 * following
        advantages[:, t] = following
    returns = advantages + values_old
    ratio = logp.exp() / logp_old.exp()
    policy_loss = (-advantages * ratio).mean()  # clip
    value_loss = (returns - values).square().mean()
    return {"rewards": rewards, "advantages": advantages, "policy_loss": policy_loss, "value_loss": value_loss}


NAMES = tuple(inspect.signature(tutorial).parameters)


def replies(seed: int = 0, lengths=(4, 2, 3), tokens: int = 4, dtype=torch.float64, beta: float = 0.1) -> dict:
    """A batch of replies to try things on: lengths real tokens of `tokens`, the rest padding with numbers on it."""
    g = torch.Generator().manual_seed(seed)
    shape = len(lengths), tokens
    logp_old = -3 * torch.rand(shape, generator=g, dtype=dtype) - 0.1

    def near(spread):
        return (logp_old + spread * torch.randn(shape, generator=g, dtype=dtype)).clamp(max=-0.01)

    batch = {"logp": near(0.4), "logp_old": logp_old, "logp_ref": near(0.3)}
    batch |= {name: torch.randn(shape, generator=g, dtype=dtype) for name in ("values", "values_old")}
    batch["scores"] = torch.randn(len(lengths), generator=g, dtype=dtype)
    batch["mask"] = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    return batch | {"beta": beta}


def as_case(batch: dict) -> tuple:
    """A batch as the arguments of `tutorial`, and of its repair,, in their order."""
    return tuple(batch[name] for name in NAMES)


def on_padding(batch: dict, number: float) -> dict:
    """The batch with this number on all padding."""
    return batch | {name: batch[name].where(batch["mask"], number) for name in NAMES[:5]}
