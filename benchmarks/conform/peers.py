"""What verl, OpenRLHF and TRL compute, each behind the arguments that ours has: their own lines, run on our batches."""

import ast
import math
from collections import defaultdict
from functools import cache
from types import SimpleNamespace
from typing import Optional

import numpy as np
import torch
from torch import nn

from . import members
from .wheels import method, run, stored, taken, wheel

VERSIONS = {"verl": "0.9.1", "openrlhf": "0.11.2", "trl": "1.16.0"}
TITLES = {"verl": "verl 0.9.1", "openrlhf": "OpenRLHF 0.11.2", "trl": "TRL 1.16.0"}
EPS = 0.2


class Asked(SimpleNamespace):
    """verl's configuration of an actor, as far as its losses look at it."""

    def get(self, key, default=None):
        return getattr(self, key, default)


@cache
def verl() -> dict:
    """verl's `core_algos`. Its advantages are whitened inside; the returns, which are not, stand for them."""
    files = wheel("verl", VERSIONS["verl"])
    masks = {"masked_sum", "masked_mean", "masked_var", "masked_whiten"}
    tools = taken(files, "verl/utils/torch_functional.py", masks, {"torch": torch})
    whiten_nothing = SimpleNamespace(**{**tools, "masked_whiten": lambda x, mask: x})
    inside = {"torch": torch, "np": np, "defaultdict": defaultdict, "Optional": Optional, "verl_F": whiten_nothing}
    names = {"kl_penalty", "kl_penalty_forward", "agg_loss", "compute_gae_advantage_return", "compute_policy_loss"}
    names |= {"compute_grpo_outcome_advantage", "compute_rloo_outcome_advantage"}
    names |= {f"compute_policy_loss_{mode}" for mode in ("gspo", "cispo", "dppo_tv", "dppo_kl")}
    inside |= {"ActorConfig": Asked, "DictConfig": Asked, "AlgoConfig": int}
    their = SimpleNamespace(**taken(files, "verl/trainer/ppo/core_algos.py", names, inside))

    def group(scores, size, scale):
        rewards, index = scores[:, None].clone(), np.arange(len(scores)) // size
        ones = torch.ones_like(rewards)
        return their.compute_grpo_outcome_advantage(rewards, ones, index, norm_adv_by_std_in_grpo=scale)[0][:, 0]

    def clip(logp, old, advantages, mask):  # its dual clip cannot be switched off, only set out of reach
        return their.compute_policy_loss(old, logp, advantages, mask.to(logp), EPS, clip_ratio_c=1e30)[0]

    correction = {"torch": torch, "math": math, "verl_F": SimpleNamespace(**tools)}
    wanted = {"compute_rollout_correction_weights", "_parse_rollout_is_threshold", "compute_is_metrics", "SAFETY_BOUND"}
    weights = taken(files, "ppo/rollout_corr_helper.py", wanted, correction)["compute_rollout_correction_weights"]

    def advantages(scores, mask, name):
        if name == "rloo":
            rewards, index = scores[:, None] * torch.eye(mask.shape[1])[0].to(scores), np.zeros(len(scores))
            return their.compute_rloo_outcome_advantage(rewards, mask.to(scores), index)[0]
        return group(scores, len(scores), name == "scaled")[:, None].expand(mask.shape)

    def member(name):
        how, _, limit, mean = members.MEMBERS[name]
        mode = {"GSPO": "gspo", "cispo": "cispo", "tv": "dppo_tv", "kl": "dppo_kl"}
        mode = mode.get(name, mode.get(limit, ""))
        low, high = members.limits(limit)

        asked = Asked(clip_ratio=EPS, clip_ratio_low=low, clip_ratio_high=high, clip_ratio_c=1e30)
        asked.global_batch_info = {}

        def loss(logp, old, scores, mask, sampler):
            A, real = advantages(scores, mask, how), mask.to(logp)
            if limit == "tis":
                A = A * weights(old - sampler, real, "token", members.CAP)[0]
            if mode:
                return getattr(their, f"compute_policy_loss_{mode}")(old, logp, A, real, mean, asked)[0]
            limits = {"cliprange_low": low, "cliprange_high": high, "clip_ratio_c": 1e30, "loss_agg_mode": mean}
            return their.compute_policy_loss(old, logp, A, real, EPS, **limits)[0]

        return loss

    return {
        "family": {name: member(name) for name in members.MEMBERS if "whole" not in name},
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

    def member(name):
        how, ratio, limit, mean = members.MEMBERS[name]
        more = {"is_correction_level": "token", "is_correction_mode": "clip"} if limit == "tis" else {}
        more |= {"is_correction_threshold": [0.0, members.CAP], "token_level_loss": mean == "token-mean"}
        theirs = losses["PolicyLoss"](
            *members.limits(limit), policy_loss_type="gspo" if ratio == "sequence" else "ppo", **more
        )
        estimator = {"rloo": "rloo", "scaled": "group_norm", "mean": "dr_grpo"}[how]

        def loss(logp, old, scores, mask, sampler):
            A = group(scores, len(scores), estimator)[:, None].expand(mask.shape)
            return theirs(logp, old, A, mask.to(logp), sampler)[0]

        return loss

    kinds = {kind: lambda p, ref, old, k=kind: kl(p, ref, kl_estimator=k) for kind in ("k1", "k2", "k3")}
    kinds |= {
        f"{kind}, unbiased_gradient": lambda p, ref, old, k=kind: kl(p, ref, old, k, unbiased_gradient=True)
        for kind in ("k1", "k2", "k3")
    }
    return {
        "family": {name: member(name) for name in ("RLOO", "GRPO", "DAPO", "GSPO", "TIS")},
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

    def of(
        logp,
        old,
        advantages,
        mask,
        how="bnpo",
        ref=None,
        corrected=False,
        limits=(EPS, EPS),
        level="token",
        weights=None,
    ):
        settings = SimpleNamespace(delta=None, use_bias_correction_kl=corrected, steps_per_generation=1)
        trainer = SimpleNamespace(args=settings, loss_type=how, importance_sampling_level=level)
        (trainer.epsilon_low, trainer.epsilon_high), trainer.use_vllm = limits, weights is not None
        trainer.vllm_importance_sampling_correction = True
        trainer.beta, trainer.top_entropy_quantile, trainer.off_policy_mask_threshold = (
            float(ref is not None),
            1.0,
            None,
        )
        trainer.accelerator = SimpleNamespace(num_processes=1)
        trainer.aux_loss_enabled, trainer.current_gradient_accumulation_steps = False, 1
        trainer.model, trainer.max_completion_length = SimpleNamespace(training=True), mask.shape[1]
        trainer._get_per_token_logps_and_entropies = lambda *args, **more: (logp, None, None)
        ids = torch.zeros(mask.shape)
        inputs = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": mask.to(logp)}
        inputs |= {"advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": ref}
        inputs |= {"importance_sampling_ratio": weights, "num_items_in_batch": mask.sum()}
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

    def member(name):  # dr_grpo divides by the longest reply as well
        how, ratio, limit, mean = members.MEMBERS[name]
        loss_type = {"token-mean": "dapo", "seq-mean-token-mean": "grpo", "seq-mean-token-sum": "dr_grpo"}[mean]
        loss_type = "cispo" if limit == "cispo" else loss_type
        limits = (EPS, 1 + members.WEIGHT) if limit == "cispo" else members.limits(limit)

        def loss(logp, old, scores, mask, sampler):
            A = group(scores, len(scores), "group" if how == "scaled" else "none")
            A = A if loss_type == "cispo" else A[:, None]
            weights = (old - sampler).exp().clamp(max=members.CAP) if limit == "tis" else None
            got = of(logp, old, A.view(-1, 1), mask, loss_type, None, False, limits, ratio, weights)
            return got * (mask.shape[1] if loss_type == "dr_grpo" else 1)

        return loss

    whole_reply = method(files, "trl/trainer/rloo_trainer.py", "_compute_loss").body
    first = next(i for i, x in enumerate(whole_reply) if "logps" in stored(x, deep=False))
    last = next(i for i, x in enumerate(whole_reply) if "loss" in stored(x, deep=False))

    def rloo(logp, old, scores, mask, sampler):
        others = (scores.sum() - scores) / (len(scores) - 1)  # its trainer's line, by hand
        inputs = {"old_logps": old.sum(-1), "advantages": scores - others}
        here = {"torch": torch, "inputs": inputs, "per_token_logps": logp, "completion_mask": mask.to(logp)}
        here["self"] = SimpleNamespace(epsilon_low=EPS, epsilon_high=EPS)
        return run(whole_reply[first : last + 1], here)["loss"]

    return {
        "family": {name: member(name) for name in ("GRPO", "Dr. GRPO", "DAPO", "GSPO", "CISPO", "TIS")}
        | {"RLOO, ratio of a whole reply": rloo},
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
