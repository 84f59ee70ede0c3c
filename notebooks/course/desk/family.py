"""PPO's family on a task that a program checks: a random model of eight letters, 1 point for three or more a's.

`train` is one member and one seed, a second or two; `benchmarks/family.py` makes data/family.json of it, notebook 17
and a test make some of it again.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from ppo_lesson.language.family import MEMBERS, member
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.rlhf import RLHFConfig, rlhf

from .make import DATA
from .tiny import tiny_llama

FILE = DATA / "family.json"
COMMON = {"kl": None, "iterations": 12, "batch": 64, "micro_batch": 64, "max_new_tokens": 6, "lr": 1e-2, "warmup": 0}
HARD = {"epochs": 8, "iterations": 8}
SAME = ("gspo-token", "tis", "vapo")  # left out: here the first is GSPO, the second PPO, the third has lambda 0
NAMES = [name for name, row in MEMBERS.items() if "settings" in row and name not in SAME]
RUNS = {name: (name, {}) for name in NAMES} | {f"{name}, 8 epochs": (name, HARD) for name in ("ppo", "no-clip")}
SMALLER = {"overlong_buffer": 2, "critic_warmup": 2}  # for replies of six letters and twelve iterations


class Letters:
    """A tokenizer of single letters: the end of a text (which is PAD too) is 0, "a" is 1, and so on."""

    chat_template, eos_token_id, pad_token_id = None, 0, 0

    def __call__(self, text, **_):
        return {"input_ids": [ord(c) - ord("a") + 1 for c in text.strip()]}

    def decode(self, ids, **_):
        return "".join(chr(ord("a") + i - 1) for i in ids)


def right(prompt: str, reply: str) -> float:
    """The checkable reward: 1 for three or more a's."""
    return float(reply.count("a") >= 3)


def settings(name: str, seed: int) -> RLHFConfig:
    """What `train` runs: the member's settings, with sizes for this task."""
    base, changes = RUNS[name]
    asked = member(base)
    asked |= {key: small for key, small in SMALLER.items() if asked.get(key)} | COMMON | changes
    critic = {"critic_lr": 1e-2} if asked.get("advantages", "gae") == "gae" else {}
    return replace(RLHFConfig(seed=seed), **asked | critic)


def train(name: str, seed: int) -> list[dict]:
    """The rows of one run of `rlhf`, from a random model whose weights depend on the seed."""
    config = settings(name, seed)
    model = tiny_llama(8, width=16, layers=2, heads=2, context=16, seed=seed)
    model.config.eos_token_id = model.generation_config.eos_token_id = 0
    model = without_dropout(model)
    critic = ScalarModel.critic(model) if config.advantages == "gae" else None
    models = Models(copy.deepcopy(model), critic, model, right)
    return list(rlhf(config, models, ["ab", "c", "gfe"], tokenizer=Letters()))
