"""All of RLHF in three stages: demonstrations, rankings, and PPO against the reward model that came of them.

    python -m course stages                seeds 0, 1 and 2 from data/pretrained; data/stages.json, and a table

Notebook 16 does seed 0 again, a cell at a time, with the same settings, and with any larger model where there is a
GPU; the benchmark for GPUs does it with 30 million weights. Left out: Chinese, which the notebook's rules cannot read.
"""

from __future__ import annotations

import copy
import math
import platform
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ppo_lesson.commands import options
from ppo_lesson.hardware.hardware import CPU, Hardware
from ppo_lesson.hardware.profile import Profile, roles
from ppo_lesson.kl import FixedKL
from ppo_lesson.language.data import Pair, Ranking, read
from ppo_lesson.language.models import ScalarModel, load_language_model
from ppo_lesson.language.reward import normalize, train_reward
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig, sft
from ppo_lesson.language.text import load_tokenizer

from . import world
from .make import DATA, shipped
from .measure import reward_quality
from .sweep import Desk, look, recorded, train, worth, write_rounded
from .tiny import as_qwen2

FILE, EVERY, HELD = DATA / "stages.json", 5, 128
NORMAL = 200  # rankings that give the reward model's scores their zero and their unit


@dataclass(frozen=True)
class Stages:
    """How each stage trains. rlhf: with a price of KL; free: iterations of the run without one."""

    sft: SupervisedConfig
    reward: SupervisedConfig
    rlhf: RLHFConfig
    free: int


TINY = Stages(
    SupervisedConfig(steps=160, batch=32, lr=6e-3),
    SupervisedConfig(steps=200, batch=8, lr=1.5e-3),
    RLHFConfig(iterations=20, batch=64, max_new_tokens=40, kl=FixedKL(0.1)),
    free=25,
)
WHY_TINY = "rates and sizes tuned for half a million weights, so that all of it takes minutes on a CPU"


def chosen(size: int, profile: Profile) -> tuple[Stages, str]:
    """Settings for a model of `size` weights on this machine, and why these."""
    if size < options.SMALL:
        return TINY, WHY_TINY
    adapters = bool(profile.lora_rank)
    lr, rates = options.ADAPTER_LR if adapters else options.LARGE_LR, options.rates(size, adapters)
    ppo = replace(TINY.rlhf, iterations=40, max_new_tokens=64, **rates)
    learners = "adapters" if adapters else "all weights"
    return Stages(replace(TINY.sft, lr=lr), replace(TINY.reward, lr=lr), ppo, free=60), (
        f"learning rates as usual for {learners} of {size / 1e6:.0f} million weights, so small that they want "
        f"more iterations; 64 tokens a reply, since it is used to say more. Nobody has tuned them for this help desk"
    )


def english(prompt: str) -> bool:
    """Whether it is a customer's, in English."""
    case = world.read_prompt(prompt)
    return case is not None and case.language == "en"


def material(tokenizer) -> tuple[Desk, list[Pair], list[Ranking]]:
    """What all stages read: a desk without models, demonstrations, rankings. held: of problems that none of it has."""
    pairs, rankings, prompts = (
        read(shipped(name), kind)[0]
        for name, kind in (
            ("sft.jsonl", "demonstrations"),
            ("rankings.jsonl", "rankings"),
            ("ppo_data.jsonl", "prompts"),
        )
    )
    rng, held = random.Random(3), []
    while len(held) < HELD:
        held += [world.prompt(world.draw_case(rng, unseen=True, language="en"), rng)]
    desk = Desk(tokenizer, None, worth, [p for p in prompts if english(p)], held)
    return desk, [p for p in pairs if english(p.prompt)], [r for r in rankings if english(r.prompt)]


def before(desk: Desk, model, config: RLHFConfig, hardware: Hardware) -> dict[str, float]:
    """What a model says to the held-out customers by itself: the facts of `look`."""
    return look(replace(desk, policy=model, judge=worth), model, config, hardware)["held"]


def ordinary(model, folder: Path):
    """The model as one with all its weights, an adapter merged into them: saved, and loaded again."""
    model.save_pretrained(folder)
    return load_language_model(folder)


def learn(
    trainer, model, desk: Desk, examples: list, config, *, seed: int, hardware: Hardware, seconds=math.inf
) -> dict:
    """{"loss", "steps", "seconds"} of a supervised stage. seconds: of the wall clock, after which no step begins."""
    start, losses = time.perf_counter(), []
    for row in trainer(model, desk.tokenizer, examples, config, seed=seed, hardware=hardware):
        losses.append(row["loss"])
        if time.perf_counter() > start + seconds:
            break
    kept = losses[:: max(1, len(losses) // 50)]
    return {"loss": kept, "steps": len(losses), "seconds": time.perf_counter() - start}


def new_judge(policy, profile: Profile, seed: int) -> ScalarModel:
    """A reward model that has learned nothing: a head on a copy of the policy's trunk; with LoRA an adapter learns."""
    trunk, *_ = roles(copy.deepcopy(policy), profile, seed=seed, critic=False)
    return ScalarModel.reward(trunk, seed=seed).to(profile.device)


SHARES = {"fine-tuning": 0.15, "reward model": 0.2}  # of the seconds, at most; PPO shares the rest


def run(
    model,
    desk: Desk,
    pairs: list[Pair],
    rankings: list[Ranking] | Callable,
    settings: Stages,
    *,
    seed: int = 0,
    profile: Profile = CPU.profile,
    seconds: float = math.inf,
) -> Iterator[tuple[str, dict]]:
    """(stage, what was found) after each: fine-tuning, reward model, "beta 0.1" or what the price is, "beta 0".

    rankings: a list, or a function that makes one of the fine-tuned model. seconds: of the wall clock, for all of it.
    """
    hardware, end, start = Hardware(profile), time.perf_counter() + seconds, time.process_time()
    once = {"seed": seed, "hardware": hardware}
    held = {"before": before(desk, model.to(profile.device), settings.rlhf, hardware)}
    model, *_ = roles(model, profile, seed=seed, critic=False)
    found = learn(sft, model, desk, pairs, settings.sft, **once, seconds=SHARES["fine-tuning"] * seconds)
    with TemporaryDirectory() as folder:
        policy = ordinary(model, Path(folder)).to(profile.device)
    held["after"] = before(desk, policy, settings.rlhf, hardware)
    yield "fine-tuning", found | {"held": held, "cpu seconds": time.process_time() - start}
    start = time.process_time()
    rankings = rankings(policy) if callable(rankings) else rankings
    rankings, new = split(rankings)
    judge = new_judge(policy, profile, seed)
    found = learn(
        train_reward, judge, desk, rankings, settings.reward, **once, seconds=SHARES["reward model"] * seconds
    )
    with hardware.forward():
        normalize(judge, desk.tokenizer, rankings[:NORMAL])
        found |= {"rankings": len(rankings), "cpu seconds": time.process_time() - start}
        yield "reward model", found | reward_quality(judge, desk.tokenizer, new)
    desk = replace(desk, policy=policy, judge=judge)
    for i, config in enumerate((settings.rlhf, unpriced(settings))):
        config, start = replace(config, seed=seed), time.process_time()
        left = (end - time.perf_counter()) / (2 - i)
        made = recorded(train(desk, config, every=EVERY, profile=profile, seconds=left))
        name = f"beta {config.kl.beta if config.kl else 0:g}"
        yield name, {"name": name, "seed": seed, "seconds": time.process_time() - start} | made


def split(rankings: list[Ranking]) -> tuple[list[Ranking], list[Ranking]]:
    """Those to learn from, and every sixteenth, which the reward model must not see."""
    return [r for i, r in enumerate(rankings) if i % 16], rankings[::16]


def unpriced(settings: Stages) -> RLHFConfig:
    """The run of PPO that pays nothing for leaving the reference."""
    return replace(settings.rlhf, kl=None, iterations=settings.free)


# ---- the command -----------------------------------------------------------------------------------------------------


def pretrained():
    """data/pretrained in the architecture of Qwen2."""
    return as_qwen2(load_language_model(shipped("pretrained")))


def main(seeds: list[int]) -> None:
    """All stages for each seed; data/stages.json after each, and a table."""
    torch.set_num_threads(1)
    desk, pairs, rankings = material(load_tokenizer(shipped("tokenizer")))
    made = {}
    for seed in seeds:
        made[seed] = {}
        for name, found in run(pretrained(), desk, pairs, rankings, TINY, seed=seed):
            made[seed][name] = found
            loss = found.get("loss", [])
            said = f"loss {loss[0]:.2f} -> {loss[-1]:.2f}" if loss else f"held out: {change(found['looks'])}"
            print(f"seed {seed}  {name:13} {said}", flush=True)
        facts = {"command": "python -m course stages --seeds " + " ".join(map(str, seeds)), "torch": torch.__version__}
        facts |= {"machine": platform.machine(), "settings": described(TINY), "seeds": made}
        write_rounded(FILE, facts)
    print(f"written: {FILE}")


def change(looks: list[dict]) -> str:
    """Score, gold and KL of held-out customers at the first look and at the last."""
    first, last = looks[0]["held"], looks[-1]["held"]
    return ", ".join(f"{name} {first[name]:+.2f} -> {last[name]:+.2f}" for name in ("score", "gold", "kl_ref"))


def described(settings: Stages) -> dict:
    """Stage -> the settings that are not the defaults, as text, to be compared with those of a file; and `free`."""
    told = {"free": settings.free}
    for stage in ("sft", "reward", "rlhf"):
        config = getattr(settings, stage)
        plain = type(config)()
        named = {f.name: repr(getattr(config, f.name)) for f in fields(config)}
        told[stage] = {name: x for name, x in named.items() if x != repr(getattr(plain, name))}
    return told
