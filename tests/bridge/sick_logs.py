"""Six runs of our own trainer, one healthy and five sick, as logs of verl, TRL and OpenRLHF.

    python tests/bridge/sick_logs.py            writes tests/bridge/logs/ anew, in about two minutes

What each library logs, its own functions compute from our tensors: they are taken out of its wheel, as in
benchmarks/conform. Learning rates, gradient norms and the critic's loss are those of our rows. They have five digits.
"""

import ast
import copy
import csv
import json
import logging
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "benchmarks"), str(HERE.parent)]
from conform.peers import VERSIONS  # noqa: E402
from conform.wheels import method, run, stored, taken, wheel  # noqa: E402
from tiny_language import Letters  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

from ppo_lesson.commands import metrics  # noqa: E402
from ppo_lesson.kl import FixedKL  # noqa: E402
from ppo_lesson.language import rlhf  # noqa: E402
from ppo_lesson.language.models import Models, ScalarModel  # noqa: E402
from ppo_lesson.language.sampling import token_logps  # noqa: E402

FOLDER = HERE / "logs"
HEALTHY = "healthy"
DISEASES = {  # name: changes of the settings
    HEALTHY: {},
    "constant_score": {"no_eos_penalty": 0.0},
    "wrong_sign": {},
    "large_steps": {"lr": 0.03, "epochs": 4},
    "rate_0": {"lr": 0.0, "critic_lr": 0.0},
    "hot_sampler": {},  # it samples at 1.6, and the trainer scores at 1
}
PLAIN = {"iterations": 24, "batch": 64, "micro_batch": 64, "max_new_tokens": 12, "lr": 1e-3, "critic_lr": 2e-3}
PPO = rlhf.RLHFConfig(**PLAIN, kl=FixedKL(0.1), no_eos_penalty=0.5, rescore=False)
GROUP = replace(PPO, advantages="group", replies=4, kl=None, kl_loss=0.1, kl_loss_kind="k3")
PROMPTS = [a + b for a in "abcdefg" for b in "abcdefg"]
EPS = 0.2


def good(prompt: str, reply: str) -> float:
    """The share of a, b and c, of at least four letters."""
    return sum(letter in "abc" for letter in reply) / max(4, len(reply))


def small_model():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "initializer_range": 0.1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64}
    ids = {"vocab_size": 8, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(**shape, **heads, **ids)).eval()


def recorded(disease: str, config) -> list[SimpleNamespace]:
    """Each iteration's row, rollout, advantages, returns, the sampler's log-probabilities, and every step's batches."""
    config = replace(config, **DISEASES[disease])
    actor = small_model()
    critic = None if config.advantages == "group" else ScalarModel.critic(actor)
    models = Models(actor, critic, copy.deepcopy(actor), (lambda p, r: 0.5) if disease == "constant_score" else good)
    now = SimpleNamespace(batches=[])
    roll_out, advantages_of, actor_loss = rlhf.roll_out, rlhf.advantages_of, rlhf.actor_loss

    def rolled(models, tokenizer, asked, config, *rest, **more):
        hot = 1.6 if disease == "hot_sampler" else 1.0
        rollout = roll_out(models, tokenizer, asked, replace(config, temperature=hot), *rest, **more)
        now.sampler = rollout.logp
        of = rollout.ids, rollout.attention_mask, rollout.mask.shape[1]
        with torch.no_grad():
            scored = [token_logps(model, *of).where(rollout.mask, 0) for model in (actor, models.reference)]
        now.rollout = replace(rollout, logp=scored[0], logp_ref=scored[1])
        return now.rollout

    def judged(*given):
        now.advantages, now.returns = advantages_of(*given)
        now.advantages = -now.advantages if disease == "wrong_sign" else now.advantages
        return now.advantages, now.returns

    def lost(actor, rollout, advantages, micro_batch, *rest):
        which, ids, attention, T = micro_batch
        mask = rollout.mask[which, :T]
        with torch.no_grad():
            logp, entropy = token_logps(actor, ids, attention, T, with_entropy=True)
        kept = {"logp": logp.where(mask, 0), "entropy": entropy.where(mask, 0), "mask": mask.float()}
        for name, x in (("old", rollout.logp), ("ref", rollout.logp_ref), ("advantages", advantages)):
            kept[name] = x[which, :T].where(mask, 0)
        kept["sampler"] = now.sampler[which, :T].where(mask, 0)
        now.batches.append(SimpleNamespace(**kept))
        return actor_loss(actor, rollout, advantages, micro_batch, *rest)

    rlhf.roll_out, rlhf.advantages_of, rlhf.actor_loss = rolled, judged, lost
    found = []
    try:
        for row in rlhf.rlhf(config, models, PROMPTS, tokenizer=Letters(8)):
            found.append(SimpleNamespace(**vars(now), row=row, beta=row["beta"]))
            now.batches = []
    finally:
        rlhf.roll_out, rlhf.advantages_of, rlhf.actor_loss = roll_out, advantages_of, actor_loss
    return found


# ---- verl ------------------------------------------------------------------------------------------------------------


class Batch(dict):
    """What verl's functions ask of a DataProto's batch."""

    batch_size = (PPO.batch,)


def verl_functions() -> SimpleNamespace:
    files = wheel("verl", VERSIONS["verl"])
    inside = {"torch": torch, "np": np, "Any": Any, "Optional": Optional, "logger": logging.getLogger("verl")}
    masks = {"masked_sum", "masked_mean"}
    verl_F = SimpleNamespace(**taken(files, "verl/utils/torch_functional.py", masks, {"torch": torch}))
    core = {"agg_loss", "compute_policy_loss_vanilla", "kl_penalty", "kl_penalty_forward"}
    algos = taken(files, "verl/trainer/ppo/core_algos.py", core, inside | {"verl_F": verl_F, "AlgoConfig": type(None)})
    found = dict(algos)
    data = {"_compute_response_info", "compute_data_metrics"}
    found |= taken(files, "verl/trainer/ppo/metric_utils.py", data, dict(inside))
    around = {"core_algos": SimpleNamespace(**algos), "masked_mean": verl_F.masked_mean, "torch": torch}
    found |= taken(files, "verl/trainer/ppo/ray_trainer.py", {"apply_kl_penalty"}, around)
    diff = {"calculate_token_list_diff", "pearson_correlation_coefficient", "calculate_log_prob_diff"}
    found |= taken(files, "verl/utils/debug/metrics.py", diff | {"calculate_debug_metrics"}, dict(inside))
    with_numbers = {"numbers": __import__("numbers"), "pprint": __import__("pprint")}
    found |= taken(files, "verl/utils/logger/aggregate_logger.py", {"concat_dict_to_str"}, with_numbers)
    return SimpleNamespace(**found)


def verl_rows(iterations) -> list[dict]:
    """One dict a step, as verl's trainer hands it to its loggers."""
    verl, rows = verl_functions(), []
    config = SimpleNamespace(clip_ratio=EPS, clip_ratio_low=EPS, clip_ratio_high=EPS, global_batch_info={})
    config.get = lambda key, default: default
    for it in iterations:
        rollout, mask, T = it.rollout, it.rollout.mask, it.rollout.mask.shape[1]
        scores = torch.zeros(mask.shape)
        scores[torch.arange(len(mask)), mask.sum(-1) - 1] = rollout.scores.float()
        P = rollout.ids.shape[1] - T
        batch = Batch(prompts=rollout.ids[:, :P], responses=rollout.ids[:, P:], response_mask=mask.float())
        batch |= {"attention_mask": torch.cat([rollout.attention_mask[:, :P], mask], 1), "values": rollout.values}
        batch |= {"token_level_scores": scores, "old_log_probs": rollout.logp, "ref_log_prob": rollout.logp_ref}
        batch |= {"advantages": it.advantages, "returns": it.returns, "rollout_log_probs": it.sampler}
        data = SimpleNamespace(batch=Batch(batch), non_tensor_batch={})
        controller = SimpleNamespace(value=it.beta, update=lambda **_: None)
        row = verl.apply_kl_penalty(data, controller)[1]
        row |= verl.calculate_debug_metrics(data)
        learnt = defaultdict(list)
        for b in it.batches:
            loss, facts = verl.compute_policy_loss_vanilla(b.old, b.logp, b.advantages, b.mask, config=config)
            entropy = verl.agg_loss(b.entropy, b.mask, "token-mean")
            for name, x in {"actor/pg_loss": loss.item(), "actor/entropy": entropy.item(), **facts}.items():
                learnt[name].append(x)
        row |= {name: sum(x) / len(x) for name, x in learnt.items()}
        row |= {"actor/grad_norm": it.row["grad_norm"], "actor/lr": it.row["lr"]}
        row |= {"critic/vf_loss": it.row["value_loss"], **verl.compute_data_metrics(data)}
        rows.append({name: x for name, x in row.items() if "non_aborted" not in name and "prompt" not in name})
    return rows


# ---- OpenRLHF --------------------------------------------------------------------------------------------------------


def openrlhf_rows(iterations) -> list[dict]:
    """The status of each step."""
    files = wheel("openrlhf", VERSIONS["openrlhf"])
    inside = {"torch": torch, "nn": nn, "Optional": Optional, "F": nn.functional}
    tools = taken(files, "models/utils.py", {"masked_mean", "compute_approx_kl", "KL_IS_WEIGHT_CLIP"}, inside)
    losses = taken(files, "models/loss.py", {"aggregate_loss", "PolicyLoss"}, dict(tools))
    policy_loss = losses["PolicyLoss"](EPS, EPS, is_correction_level="token")
    stats = run([method(files, "trainer/ppo_trainer.py", "_compute_rollout_stats")], {"torch": torch})
    mean, rows = tools["masked_mean"], []
    for it in iterations:
        rollout, row = it.rollout, defaultdict(list)
        lengths = rollout.mask.sum(-1).float()
        for b in it.batches:
            loss, clipped, kl, engine, _ = policy_loss(b.logp, b.old, b.advantages, b.mask, b.sampler)
            k = tools["compute_approx_kl"](b.old, b.ref, kl_estimator="k1")
            now = {"policy_loss": loss, "ppo_clip_ratio": clipped, "ppo_kl": kl, "vllm_kl": engine}
            now |= {"kl": mean(k, b.mask, dim=-1).mean(), "entropy_loss": mean(b.entropy, b.mask, dim=None)}
            for name, x in now.items():
                row[name].append(x.item())
        row = {name: sum(x) / len(x) for name, x in row.items()}
        row |= {"actor_lr": it.row["lr"], "actor_grad_norm": it.row["grad_norm"], "critic_loss": it.row["value_loss"]}
        one = SimpleNamespace(info={"reward": rollout.scores}, response_length=lengths, truncated=~rollout.ended)
        rows.append(row | stats["_compute_rollout_stats"](None, [one]))
    return rows


# ---- TRL -------------------------------------------------------------------------------------------------------------


def trl_rows(iterations) -> list[dict]:
    """log_history of a GRPOTrainer."""
    files = wheel("trl", VERSIONS["trl"])
    path = "trl/trainer/grpo_trainer.py"
    tools = taken(files, "trl/trainer/utils.py", {"nanstd", "nanmin", "nanmax"}, {"torch": torch})
    loss = run([method(files, path, "_compute_loss")], dict(tools))["_compute_loss"]
    maker = method(files, path, "_generate_and_score_completions").body
    grouped = next(x for x in maker if isinstance(x, ast.If) and "mean_grouped_rewards" in stored(x))
    apart = next(x for x in maker if isinstance(x, ast.If) and "mean_delta" in stored(x))
    first = next(i for i, x in enumerate(maker) if isinstance(x, ast.For) and "reward_func_name" in stored(x))
    last = next(i for i, x in enumerate(maker) if "frac_reward_zero_std" in ast.unparse(x))
    lengths = [x for x in ast.walk(method(files, path, "_generate")) if isinstance(x, ast.Expr)]
    lengths = [x for x in lengths if "['completions/" in ast.unparse(x)]
    rows = []
    for n, it in enumerate(iterations, 1):
        rollout, mask = it.rollout, it.rollout.mask
        same = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True, num_processes=1)
        settings = SimpleNamespace(delta=None, use_bias_correction_kl=True, steps_per_generation=4)
        trainer = SimpleNamespace(args=settings, accelerator=same, loss_type="bnpo", importance_sampling_level="token")
        trainer.epsilon_low, trainer.epsilon_high, trainer.beta, trainer.use_vllm = EPS, EPS, GROUP.kl_loss, False
        trainer.top_entropy_quantile, trainer.off_policy_mask_threshold, trainer.aux_loss_enabled = 1.0, None, False
        trainer.current_gradient_accumulation_steps, trainer.max_completion_length = 1, mask.shape[1]
        trainer.model, trainer._entropy_bonus_enabled = SimpleNamespace(training=True), False
        trainer._metrics, losses = {"train": defaultdict(list)}, []
        trainer.multi_objective_aggregation, trainer.scale_rewards = "sum_then_normalize", "group"
        trainer.reward_func_names, trainer.reward_weights = ["score"], torch.ones(1)
        for b in it.batches:
            trainer._get_per_token_logps_and_entropies = lambda *_, b=b, **__: (b.logp, b.entropy, None)
            ids = torch.zeros(b.mask.shape)
            inputs = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": b.mask}
            whole = b.advantages.sum(-1) / b.mask.sum(-1)  # one a reply
            inputs |= {"advantages": whole, "old_per_token_logps": b.old, "ref_per_token_logps": b.ref}
            losses.append(loss(trainer, None, inputs).item())
        here = {**tools, "self": trainer, "mode": "train", "device": "cpu", "num_generations": GROUP.replies}
        here |= {"rewards_per_func": rollout.scores[:, None].float(), "unscorable_mask": ~mask.any(-1)}
        run([grouped, *maker[first : last + 1]], here)
        trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
        here |= {"old_per_token_logps": rollout.logp, "sampling_per_token_logps": it.sampler, "tool_mask": None}
        here |= {"completion_mask": mask, "sequence_level_is": False}
        run([apart], here | {"vllm_importance_sampling_ratio": (rollout.logp - it.sampler).exp()})
        about = {"agg_completion_lengths": mask.sum(-1), "agg_is_truncated": ~rollout.ended}
        about["term_completion_lengths"] = mask.sum(-1)[rollout.ended] if rollout.ended.any() else torch.zeros(1)
        run(lengths, here | about)
        row = {"loss": sum(losses) / len(losses), "grad_norm": it.row["grad_norm"], "learning_rate": it.row["lr"]}
        row |= {name: sum(x) / len(x) for name, x in trainer._metrics["train"].items()}
        rows.append(row | {"epoch": n / len(iterations), "step": n})
    return rows


# ---- files -----------------------------------------------------------------------------------------------------------


def short(row: dict) -> dict:
    """Five digits."""
    return {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in row.items()}


def write(disease: str) -> None:
    ppo, group = recorded(disease, PPO), recorded(disease, GROUP)
    verl, logger = [short(row) for row in verl_rows(ppo)], verl_functions().concat_dict_to_str
    lines = [f"\x1b[36m(TaskRunner pid=7)\x1b[0m {logger(row, step=n)}" for n, row in enumerate(verl, 1)]
    put(f"verl_{disease}.log", "\n".join(["Training from scratch", *lines]))
    lines = [f"✨ Global step {n}: {short(row)}" for n, row in enumerate(openrlhf_rows(ppo), 1)]
    put(f"openrlhf_{disease}.log", "\n".join(f"INFO 11-29 02:00:00 ppo_trainer.py:551] {line}" for line in lines))
    state = {"global_step": len(group), "log_history": [short(row) for row in trl_rows(group)]}
    put(f"trl_{disease}.json", json.dumps(state, indent=1))
    (FOLDER / f"ours_{disease}.jsonl").unlink(missing_ok=True)
    list(metrics.record((short({**it.row, "seconds": 0.0}) for it in ppo), FOLDER / f"ours_{disease}.jsonl"))
    if disease == HEALTHY:  # the same run twice more, as verl's file logger and wandb write it
        put("verl_healthy.jsonl", "\n".join(json.dumps({"step": n, "data": row}) for n, row in enumerate(verl, 1)))
        with open(FOLDER / "verl_healthy.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            ends = "", "__MIN", "__MAX"
            writer.writerow(["Step", *(f"my-run - {name}{end}" for name in verl[0] for end in ends)])
            writer.writerows([n, *(x for x in row.values() for _ in ends)] for n, row in enumerate(verl, 1))


def put(name: str, text: str) -> None:
    (FOLDER / name).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for disease in sys.argv[1:] or DISEASES:
        write(disease)
        print(disease)
