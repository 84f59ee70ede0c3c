"""What verl, OpenRLHF and TRL compute, each behind the arguments that ours has: their own lines, run on our batches."""

import ast
from collections import defaultdict
from functools import cache
from types import SimpleNamespace
from typing import Optional

import numpy as np
import torch
from torch import nn

from .wheels import method, run, stored, taken, wheel

VERSIONS = {"verl": "0.9.1", "openrlhf": "0.11.2", "trl": "1.16.0"}
TITLES = {"verl": "verl 0.9.1", "openrlhf": "OpenRLHF 0.11.2", "trl": "TRL 1.16.0"}
EPS = 0.2


@cache
def verl() -> dict:
    """verl's `core_algos`. Its advantages are whitened inside; the returns, which are not, stand for them."""
    files = wheel("verl", VERSIONS["verl"])
    masks = {"masked_sum", "masked_mean", "masked_var", "masked_whiten"}
    tools = taken(files, "verl/utils/torch_functional.py", masks, {"torch": torch})
    whiten_nothing = SimpleNamespace(**{**tools, "masked_whiten": lambda x, mask: x})
    inside = {"torch": torch, "np": np, "defaultdict": defaultdict, "Optional": Optional, "verl_F": whiten_nothing}
    names = {"kl_penalty", "kl_penalty_forward", "agg_loss", "compute_gae_advantage_return", "compute_policy_loss"}
    names |= {"compute_grpo_outcome_advantage"}
    their = SimpleNamespace(**taken(files, "verl/trainer/ppo/core_algos.py", names, inside))

    def group(scores, size, scale):
        rewards, index = scores[:, None].clone(), np.arange(len(scores)) // size
        ones = torch.ones_like(rewards)
        return their.compute_grpo_outcome_advantage(rewards, ones, index, norm_adv_by_std_in_grpo=scale)[0][:, 0]

    def clip(logp, old, advantages, mask):  # its dual clip cannot be switched off, only set out of reach
        return their.compute_policy_loss(old, logp, advantages, mask.to(logp), EPS, clip_ratio_c=1e30)[0]

    return {
        "kl": {kind: lambda p, ref, old, k=kind: their.kl_penalty(p, ref, k) for kind in ("k1", "k2", "k3", "k3+")},
        "aggregate": {
            how: lambda x, mask, h=how: their.agg_loss(x, mask.to(x), h)
            for how in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum")
        },
        "gae": {"": lambda r, v, mask, g, lam: their.compute_gae_advantage_return(r, v, mask.to(r), g, lam)[1]},
        "clip": {"": clip},
        "group": {"scaled": lambda s, n: group(s, n, True), "not scaled": lambda s, n: group(s, n, False)},
    }


@cache
def openrlhf() -> dict:
    files = wheel("openrlhf", VERSIONS["openrlhf"])
    inside = {"torch": torch, "nn": nn, "Optional": Optional, "F": nn.functional}
    tools = taken(files, "models/utils.py", {"masked_mean", "compute_approx_kl", "KL_IS_WEIGHT_CLIP"}, inside)
    losses = taken(files, "models/loss.py", {"aggregate_loss", "PolicyLoss"}, dict(tools))
    maker = "trainer/ppo_utils/experience_maker.py"
    gae = run([method(files, maker, "get_advantages_and_returns")], {"torch": torch})["get_advantages_and_returns"]
    whole = method(files, maker, "compute_advantages_and_returns")
    baseline = next(x for x in whole.body if isinstance(x, ast.If) and stored(x) == {"baseline", "rewards"})
    kl, total = losses["compute_approx_kl"], losses["aggregate_loss"]

    def group(scores, size, name):
        wanted = SimpleNamespace(estimator=name)
        args = SimpleNamespace(
            algo=SimpleNamespace(advantage=wanted), rollout=SimpleNamespace(n_samples_per_prompt=size)
        )
        return run([baseline], {"args": args, "rewards": scores.reshape(-1, size)})["rewards"].reshape(-1)

    def clip(logp, old, advantages, mask):
        return losses["PolicyLoss"](EPS, EPS)(logp, old, advantages, mask.to(logp))[0]

    kinds = {kind: lambda p, ref, old, k=kind: kl(p, ref, kl_estimator=k) for kind in ("k1", "k2", "k3")}
    kinds |= {
        f"{kind}, unbiased_gradient": lambda p, ref, old, k=kind: kl(p, ref, old, k, unbiased_gradient=True)
        for kind in ("k1", "k2", "k3")
    }
    return {
        "kl": kinds,
        "aggregate": {
            "token-mean": lambda x, mask: total(x, mask.to(x), True),
            "seq-mean-token-mean": lambda x, mask: total(x, mask.to(x), False),
        },
        "gae": {"": lambda r, v, mask, g, lam: gae(None, v, r, mask.to(r), g, lam)[1]},
        "clip": {"": clip},
        "group": {"scaled": lambda s, n: group(s, n, "group_norm"), "not scaled": lambda s, n: group(s, n, "dr_grpo")},
    }


@cache
def trl() -> dict:
    """GRPOTrainer's `_compute_loss` up to the line with the loss; the trainer is made of the settings it asks for."""
    files = wheel("trl", VERSIONS["trl"])
    path = "trl/trainer/grpo_trainer.py"
    whole = method(files, path, "_compute_loss")
    last = next(i for i, x in enumerate(whole.body) if isinstance(x, ast.If) and "policy_loss" in stored(x))
    whole.body = [*whole.body[: last + 1], *ast.parse("return loss").body]
    loss = run([whole], {"torch": torch})["_compute_loss"]

    def of(logp, old, advantages, mask, how="bnpo", ref=None, corrected=False):
        settings = SimpleNamespace(delta=None, use_bias_correction_kl=corrected, steps_per_generation=1)
        trainer = SimpleNamespace(args=settings, loss_type=how, importance_sampling_level="token", use_vllm=False)
        trainer.epsilon_low = trainer.epsilon_high = EPS
        trainer.beta, trainer.top_entropy_quantile, trainer.off_policy_mask_threshold = (
            float(ref is not None),
            1.0,
            None,
        )
        trainer.aux_loss_enabled, trainer.current_gradient_accumulation_steps = False, 1
        trainer.model, trainer.max_completion_length = SimpleNamespace(training=True), mask.shape[1]
        trainer._get_per_token_logps_and_entropies = lambda *args, **more: (logp, None, None)
        ids = torch.zeros(mask.shape)
        inputs = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": mask.to(logp)}
        inputs |= {"advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": ref}
        return loss(trainer, None, inputs)

    def kl(p, ref, old, corrected):  # one token a reply, advantages 0: what is left of the loss is the KL term
        one = torch.ones(1, 1)
        at = [x.view(-1, 1, 1) for x in (p, old, ref)]
        terms = [of(new, was, 0 * one, one, ref=home, corrected=corrected) for new, was, home in zip(*at)]
        return torch.stack(terms)

    def total(x, mask, how):  # the ratio is 1 and the advantage -x: each token's loss is x
        zero = torch.zeros_like(x)
        return of(zero, zero, -x, mask, how)

    nanstd = taken(files, "trl/trainer/utils.py", {"nanstd"}, {"torch": torch})["nanstd"]
    maker = method(files, path, "_generate_and_score_completions")
    grouped = next(x for x in maker.body if isinstance(x, ast.If) and "mean_grouped_rewards" in stored(x))

    def group(scores, size, name):
        trainer = SimpleNamespace(multi_objective_aggregation="sum_then_normalize", scale_rewards=name)
        trainer.reward_weights = torch.ones(1, dtype=scores.dtype)
        here = {"torch": torch, "nanstd": nanstd, "self": trainer, "device": "cpu", "num_generations": size}
        here |= {"rewards_per_func": scores[:, None], "unscorable_mask": torch.zeros(len(scores), dtype=torch.bool)}
        return run([grouped], here)["advantages"]

    return {
        "kl": {
            "k3": lambda p, r, o: kl(p, r, o, False),
            "k3, use_bias_correction_kl": lambda p, r, o: kl(p, r, o, True),
        },
        "aggregate": {
            "token-mean": lambda x, mask: total(x, mask, "bnpo"),
            "seq-mean-token-mean": lambda x, mask: total(x, mask, "grpo"),
        },
        "clip": {"": of},
        "group": {"scaled": lambda s, n: group(s, n, "group"), "not scaled": lambda s, n: group(s, n, "none")},
    }
