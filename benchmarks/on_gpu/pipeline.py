"""All of RLHF at 30 million parameters: pretraining, SFT, a reward model from rankings, PPO with two prices of KL.

The three stages of notebook 16 (`course.desk.stages`) with a model 70 times as large, in a few minutes of one GPU, and
with rankings of its own replies. Learning rates are the small model's, divided by the width's growth (Yang et al.
2022, table 3, for Adam and hidden matrices; here for all). Gold, which nobody has outside such a world, stands beside
the reward model's score at every look. Left out: a search for better settings; these were chosen without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from course.desk import stages
from course.desk.make import demonstrations, documents
from course.desk.measure import make_rankings
from course.desk.stages import Stages
from course.desk.sweep import load_desk, worth
from course.desk.tiny import PRETRAIN, pretrain, tiny_llama
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.profile import Profile, choose
from ppo_lesson.kl import FixedKL
from ppo_lesson.language.reward import REWARD
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SFT, SupervisedConfig

NARROW = 96  # width of the model whose learning rates are known


@dataclass(frozen=True)
class Size:
    """How large everything is. beta: price of a nat of KL in the first run of PPO; the second has none. seconds: of
    the whole, at most."""

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
    beta: float = 0.1
    seconds: float = 240.0


SMALL = Size(
    width=32, layers=2, heads=2, pretrain=3, sft=3, rankings=24, reward=3, iterations=2, batch=8, held=8, seconds=300.0
)
PRETRAINING = 0.25  # of the seconds, at most


def run(size: Size = Size(), *, seed: int = 0, profile: Profile | None = None) -> Iterator[tuple[str, dict]]:
    """(stage, what was found) after each: pretraining, fine-tuning, reward model, and "beta X" for both prices."""
    profile = profile or choose("auto", lora_rank=0)
    hardware, slower, limit = Hardware(profile), NARROW / size.width, PRETRAINING * size.seconds
    desk = load_desk()
    desk = replace(desk, judge=worth, held=desk.held[: size.held])

    def as_large(config: SupervisedConfig, steps: int) -> SupervisedConfig:
        return replace(config, steps=steps, lr=config.lr * slower)

    model = tiny_llama(len(desk.tokenizer), width=size.width, layers=size.layers, heads=size.heads, seed=seed)
    model, examples = model.to(profile.device), documents(8 * size.pretrain + 400)
    once = {"seed": seed, "hardware": hardware, "seconds": limit}
    found = stages.learn(pretrain, model, desk, examples, as_large(PRETRAIN, size.pretrain), **once)
    yield "pretraining", found | {"parameters": sum(p.numel() for p in model.parameters())}

    ppo = RLHFConfig(iterations=size.iterations, batch=size.batch, kl=FixedKL(size.beta))
    ppo = replace(ppo, lr=ppo.lr * slower, critic_lr=ppo.critic_lr * slower)
    settings = Stages(as_large(SFT, size.sft), as_large(REWARD, size.reward), ppo, free=size.iterations)
    pairs, left = demonstrations(16 * size.sft + 64, seed=11), size.seconds - found["seconds"]

    def rankings(policy):
        with hardware.forward():
            return make_rankings(policy, desk.tokenizer, size.rankings, seed=seed + 100)

    yield from stages.run(model, desk, pairs, rankings, settings, seed=seed, profile=profile, seconds=left)
