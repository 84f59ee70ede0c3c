"""PPO's family on a task that a program checks: every member, 16 seeds, and the clip with two epochs and with eight.

    python benchmarks/ppo_family.py          prints a table and writes data/family.json (some minutes on one core)

A random model of eight letters gets 1 point for three or more a's in at most six; `train` is one member and
one seed, a second or two, and notebook 17 and a test make some of them again. The file holds each run's mean score and
KL to the first policy in each iteration.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import json
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import process_time

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

from course.desk.tiny import tiny_llama  # noqa: E402
from ppo_lesson.language.family import MEMBERS, member  # noqa: E402
from ppo_lesson.language.models import Models, ScalarModel, without_dropout  # noqa: E402
from ppo_lesson.language.rlhf import RLHFConfig, rlhf  # noqa: E402

SEEDS = 16
FILE = ROOT / "data" / "family.json"
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


def short(x: float) -> float:
    """Four digits are more than the noise."""
    return float(f"{x:.4g}")


def measure(name: str) -> tuple[dict, float]:
    """({column: [[a number for each iteration] for each seed]}, seconds of the processor) of one entry of RUNS."""
    torch.set_num_threads(1)
    began = process_time()
    rows = [train(name, seed) for seed in range(SEEDS)]
    columns = ("score", "kl_ref", "clip_fraction")
    return {c: [[short(row.get(c, 0.0)) for row in run] for run in rows] for c in columns}, process_time() - began


def main():
    runs, seconds = {}, 0.0
    print(f"{'':20}{'mean score':>12}{'last':>8}{'KL':>8}")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name, (found, spent) in zip(RUNS, pool.map(measure, RUNS)):
            runs[name], seconds = found, seconds + spent
            whole = [mean(run) for run in found["score"]]
            last, kl = (mean(run[-1] for run in found[c]) for c in ("score", "kl_ref"))
            print(f"{name:20}{mean(whole):7.2f} ±{stdev(whole) / SEEDS**0.5:.2f}{last:8.2f}{kl:8.2f}", flush=True)
    content = {
        "command": "python benchmarks/ppo_family.py",
        "what": "a random model of eight letters, 1 point for three or more a's in at most six; 16 seeds",
        "settings": {"common": COMMON, "smaller": SMALLER, "runs": RUNS, "seeds": SEEDS},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": round(seconds),
        "runs": runs,
    }
    FILE.write_text(json.dumps(content) + "\n", "utf-8")


if __name__ == "__main__":
    main()
