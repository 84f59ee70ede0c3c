"""PPO's family beside the losses of verl 0.9.1 and TRL 1.16, read in their wheels: the same gradients."""

import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "benchmarks"))
from conform import wheels

from ppo_lesson.bridge import to_trl
from ppo_lesson.language.advantages import rloo_advantages
from ppo_lesson.language.family import policy_objective
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.objectives import aggregate

LOSSES = {"gspo": "compute_policy_loss_gspo", "cispo": "compute_policy_loss_cispo"}
LOSSES |= {"dppo_tv": "compute_policy_loss_dppo_tv", "dppo_kl": "compute_policy_loss_dppo_kl"}


class Settings(SimpleNamespace):
    """verl's configuration of an actor, as far as its losses look at it."""

    def get(self, name, default):
        return getattr(self, name, default)


@pytest.fixture(scope="module")
def theirs():
    try:
        files = wheels.wheel("verl", "0.9.1")
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    masks = {"masked_sum", "masked_mean", "masked_var", "masked_whiten"}
    tools = wheels.taken(files, "verl/utils/torch_functional.py", masks, {"torch": torch})
    inside = {"torch": torch, "np": np, "Optional": Optional, "verl_F": SimpleNamespace(**tools)}
    inside |= {"ActorConfig": Settings, "AlgoConfig": int, "DictConfig": Settings}
    names = {*LOSSES.values(), "agg_loss", "compute_rloo_outcome_advantage"}
    inside |= {"defaultdict": __import__("collections").defaultdict}
    return SimpleNamespace(**wheels.taken(files, "verl/trainer/ppo/core_algos.py", names, inside))


@pytest.mark.parametrize(
    ("mode", "ours"),
    [
        ("gspo", {"ratio": "sequence"}),
        ("gspo", {"ratio": "sequence-token"}),
        ("cispo", {"objective": "cispo"}),
        ("dppo_tv", {"objective": "dppo-tv"}),
        ("dppo_kl", {"objective": "dppo-kl"}),
    ],
)
def test_the_gradient_is_verls(theirs, mode, ours):
    """One advantage a reply, as in groups; ratios from e^-2 to e^2, so that the limits bind on both sides."""
    g = torch.Generator().manual_seed(0)
    mask = torch.arange(9) < torch.tensor([9, 1, 4, 7, 2, 9])[:, None]
    old = torch.randn(6, 9, generator=g).double().abs().neg().where(mask, 0)
    new = (old + torch.randn(6, 9, generator=g).double()).clamp(-9, -0.01).where(mask, 0)
    weights = torch.randn(6, 1, generator=g).double().expand(6, 9).where(mask, 0)
    limits = {"eps_high": 0.2} if mode == "cispo" else {"eps": 0.1, "eps_high": 0.2}
    config = RLHFConfig(advantages="group", replies=2, aggregate="seq-mean-token-mean", **limits, **ours)
    low = 1.0 if mode == "cispo" else config.eps  # verl's limit from below, out of reach
    asked = Settings(clip_ratio=0.1, clip_ratio_low=low, clip_ratio_high=0.2, clip_ratio_c=1e9, global_batch_info={})
    gradients = []
    for who in ("ours", "theirs"):
        logp = new.clone().requires_grad_()
        if who == "ours":
            objective, share = policy_objective(logp, old, weights, mask, config)
            loss = -aggregate(objective, mask, config.aggregate)
        else:
            loss, facts = getattr(theirs, LOSSES[mode])(
                old, logp, weights, mask.double(), loss_agg_mode=config.aggregate, config=asked
            )
        gradients.append(torch.autograd.grad(loss, logp)[0])
    assert 0 < share < 1 and gradients[0].any()
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-7)  # verl adds 1e-8 here and there
    assert share.item() == pytest.approx(facts["actor/pg_clipfrac"], abs=1e-6)


def test_rloo_is_verls(theirs):
    scores, groups = torch.randn(12, generator=torch.Generator().manual_seed(1)), torch.arange(12) // 4
    rewards = torch.zeros(12, 3)
    rewards[:, -1] = scores
    found, _ = theirs.compute_rloo_outcome_advantage(rewards, torch.ones(12, 3), groups.numpy())
    torch.testing.assert_close(rloo_advantages(scores, groups), found[:, 0])


def test_the_gradient_of_cispo_is_trls():
    """With the limits as the bridge translates them: TRL clamps the weight at epsilon_high itself."""
    try:
        files = wheels.wheel("trl", "1.16.0")
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    tools = wheels.taken(files, "trl/trainer/utils.py", {"nanstd", "nanmin", "nanmax"}, {"torch": torch})
    inside = {**tools, "torch": torch}
    theirs = wheels.run([wheels.method(files, "trl/trainer/grpo_trainer.py", "_compute_loss")], inside)["_compute_loss"]
    g = torch.Generator().manual_seed(0)
    mask = torch.arange(9) < torch.tensor([9, 1, 4, 7, 2, 9])[:, None]
    old = torch.randn(6, 9, generator=g).double().abs().neg().where(mask, 0)
    new = (old + torch.randn(6, 9, generator=g).double()).clamp(-9, -0.01).where(mask, 0)
    advantages = torch.randn(6, 1, generator=g).double()
    config = RLHFConfig(advantages="group", replies=2, objective="cispo", eps_high=0.5, kl=None, kl_loss_kind="k3")
    said = to_trl(config)
    same = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True, num_processes=1)
    trainer = SimpleNamespace(
        loss_type=said["loss_type"], epsilon_low=said["epsilon"], epsilon_high=said["epsilon_high"]
    )
    trainer.args = SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    trainer.importance_sampling_level, trainer.accelerator = said["importance_sampling_level"], same
    trainer.beta, trainer.use_vllm, trainer.top_entropy_quantile, trainer.aux_loss_enabled = 0.0, False, 1.0, False
    trainer.off_policy_mask_threshold, trainer._entropy_bonus_enabled = None, False
    trainer.current_gradient_accumulation_steps, trainer.max_completion_length = 1, 9
    trainer.model, trainer._metrics = SimpleNamespace(training=True), {"train": defaultdict(list)}
    mine, yours = (new.clone().requires_grad_() for _ in range(2))
    objective, share = policy_objective(mine, old, advantages.expand(6, 9).where(mask, 0), mask, config)
    aggregate(-objective, mask, config.aggregate).backward()
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (yours, torch.zeros(6, 9), None)
    inputs = dict.fromkeys(("prompt_ids", "prompt_mask", "completion_ids"), torch.zeros(6, 9))
    inputs |= {"completion_mask": mask.double(), "advantages": advantages[:, 0], "old_per_token_logps": old}
    theirs(trainer, None, inputs | {"num_items_in_batch": mask.sum()}).backward()
    assert 0 < share < 1 and mine.grad.any()
    torch.testing.assert_close(mine.grad, yours.grad, rtol=1e-12, atol=0)
