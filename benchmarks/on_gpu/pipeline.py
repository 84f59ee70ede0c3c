"""All of RLHF at 30 million parameters: pretraining, SFT, a reward model from rankings, PPO with two prices of KL.

The help desk of notebooks 10 to 12, with a model 70 times as large, in a few minutes of one GPU. Learning rates are the
small model's, divided by the width's growth (Yang et al. 2022, table 3, for Adam and hidden matrices; here for all).
Gold, which nobody has outside such a world, stands beside the reward model's score at every look.
Left out: a search for better settings; these were chosen without a GPU.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from course.desk.make import demonstrations, documents
from course.desk.measure import make_rankings, quality, reward_quality
from course.desk.sweep import Desk, load_desk, look, worth
from course.desk.tiny import PRETRAIN, pretrain, tiny_llama
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.profile import Profile, choose, roles
from ppo_lesson.kl import FixedKL
from ppo_lesson.language.models import Models, ScalarModel
from ppo_lesson.language.reward import REWARD, normalize, train_reward
from ppo_lesson.language.rlhf import RLHFConfig, rlhf
from ppo_lesson.language.supervised import SFT, sft

KEPT = ("iteration", "score", "gold", "kl_ref", "length", "ended", "entropy", "approx_kl", "clip_fraction", "seconds")
NARROW = 96  # width of the model whose learning rates are known


@dataclass(frozen=True)
class Size:
    """How large everything is. betas: prices of a nat of KL, one PPO run each. seconds: of the whole, at most."""

    width: int = 512
    layers: int = 10
    heads: int = 8
    pretrain: int = 500
    sft: int = 300
    rankings: int = 2000
    reward: int = 400
    iterations: int = 60
    batch: int = 128
    held: int = 256
    betas: tuple[float, ...] = (0.0, 0.1)
    seconds: float = 240.0


SMALL = Size(
    width=32, layers=2, heads=2, pretrain=3, sft=3, rankings=24, reward=3, iterations=2, batch=8, held=8, seconds=300.0
)
SHARES = {"pretraining": 0.25, "fine-tuning": 0.1, "reward model": 0.15}  # of the seconds, at most; PPO shares the rest


def until(rows: Iterator[dict], end: float) -> list[dict]:
    """The rows, as many as come before the clock says `end`."""
    kept = []
    for row in rows:
        kept.append(row)
        if time.perf_counter() > end:
            break
    return kept


def run(size: Size = Size(), *, seed: int = 0, profile: Profile | None = None) -> Iterator[tuple[str, dict]]:
    """(stage, what was found) after each: pretraining, fine-tuning, reward model, and "beta X" for each price."""
    profile = profile or choose("auto", lora_rank=0)
    hardware, began, slower = Hardware(profile), time.perf_counter(), NARROW / size.width
    desk = load_desk()
    model = tiny_llama(len(desk.tokenizer), width=size.width, layers=size.layers, heads=size.heads, seed=seed)
    model = model.to(profile.device)

    def stage(name: str, trainer, learner, examples, config, steps: int) -> dict:
        start = time.perf_counter()
        config = replace(config, steps=steps, lr=config.lr * slower)
        rows = trainer(learner, desk.tokenizer, examples, config, seed=seed, hardware=hardware)
        rows = until(rows, start + SHARES[name] * size.seconds)
        losses = [row["loss"] for row in rows]
        return {
            "loss": losses[:: max(1, len(losses) // 50)],
            "steps": len(rows),
            "seconds": time.perf_counter() - start,
        }

    found = stage("pretraining", pretrain, model, documents(8 * size.pretrain + 400), PRETRAIN, size.pretrain)
    yield "pretraining", found | {"parameters": sum(p.numel() for p in model.parameters())}
    found = stage("fine-tuning", sft, model, demonstrations(16 * size.sft + 64, seed=11), SFT, size.sft)
    with hardware.forward():
        yield "fine-tuning", found | quality(model, desk.tokenizer, count=size.held, seed=seed)
        rankings = make_rankings(model, desk.tokenizer, size.rankings, seed=seed + 100)
        held = make_rankings(model, desk.tokenizer, max(8, size.rankings // 8), seed=seed + 200, unseen=True)
    judge = ScalarModel.reward(model, seed=seed).to(profile.device)
    found = stage("reward model", train_reward, judge, rankings, REWARD, size.reward)
    with hardware.forward():
        normalize(judge, desk.tokenizer, rankings[:500])
        yield "reward model", found | reward_quality(judge, desk.tokenizer, held) | {"rankings": len(rankings)}
    desk = replace(desk, policy=model, judge=judge, held=desk.held[: size.held])
    left = size.seconds - (time.perf_counter() - began)
    for beta in size.betas:
        yield f"beta {beta:g}", ppo(desk, size, beta, seed, profile, left / len(size.betas), slower)


def ppo(desk: Desk, size: Size, beta: float, seed: int, profile: Profile, seconds: float, slower: float) -> dict:
    """One run: its curves, held-out facts before and after, and the first replies with score and gold."""
    config = RLHFConfig(iterations=size.iterations, batch=size.batch, kl=FixedKL(beta) if beta else None, seed=seed)
    config = replace(config, lr=config.lr * slower, critic_lr=config.critic_lr * slower)
    actor, critic, reference = roles(copy.deepcopy(desk.policy), profile, seed=seed)
    desk, start = replace(desk, policy=reference), time.perf_counter()
    with Hardware(profile).forward():
        looks = [look(desk, actor, config)]
    models = Models(actor, critic, reference, desk.judge)
    rows = []
    trainer = rlhf(config, models, desk.prompts, tokenizer=desk.tokenizer, hardware=Hardware(profile))
    for row in until(trainer, start + seconds):
        golds = [worth(prompt, reply, ended) for prompt, reply, _, ended in row["replies"]]
        rows.append({name: x for name, x in (row | {"gold": sum(golds) / len(golds)}).items() if name in KEPT})
    with Hardware(profile).forward():
        looks.append(look(desk, actor, config))
    held = [found["held"] for found in looks]
    said = {"settings": asdict(config) | {"kl": beta}, "rows": rows, "before": held[0], "after": held[1]}
    return said | {"samples": looks[1]["samples"], "seconds": time.perf_counter() - start}
