"""Which details of PPO matter? One thing changed at a time on CartPole, 16 seeds each.

    python benchmarks/ablation.py          prints a table and writes data/ablation.json (about 10 minutes of one core)

The CartPole settings before their last tuning, cut to half of their steps so that no row can hide at 500, and the same
with one change (two in one row: the value clip on scaled rewards). Seeds 100 to 115: none was used for tuning. The
result of a seed is its mean return over 32 new episodes after the last update, actions sampled. An interrupted run goes
on where it stopped.
`measure(name, seeds)` makes one row again; notebook 09 and a test compare it with the file.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import platform
import re
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from unittest import mock

import gymnasium
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

import ppo_lesson.ppo as trainer  # noqa: E402
from course.settings import CARTPOLE  # noqa: E402
from ppo_lesson.optim import Adam  # noqa: E402
from ppo_lesson.policies import MLPCritic, MLPPolicy  # noqa: E402
from ppo_lesson.ppo import PPOConfig, ppo  # noqa: E402
from ppo_lesson.vector import evaluate  # noqa: E402

FILE = ROOT / "data" / "ablation.json"
SEEDS, EPISODES = range(100, 116), 32
RECIPE = replace(CARTPOLE, iterations=24, lr=2e-3, critic_lr=2e-3, gamma=0.98, lam=0.8)  # 24,576 steps
CHANGES = {  # name: the change in the configuration, or a word that `measure` knows
    "full recipe": {},
    "critic's learning rate 5e-3": {"critic_lr": 5e-3},
    "ordinary start of the networks": "start",
    "policy head starts at full size": "head",
    "Adam ε = 1e-8 instead of 1e-5": "adam",
    "clip range stays 0.2": {"anneal_clip": False},
    "nothing is annealed": {"anneal": False, "anneal_clip": False},
    "gradient norm not limited": {"max_grad_norm": None},
    "advantages not whitened": {"whiten": False},
    "λ = 1 instead of 0.8": {"lam": 1.0},
    "10 epochs instead of 20": {"epochs": 10},
    "4 mini-batches, 5 epochs": {"minibatches": 4, "epochs": 5},
    "ratio not clipped": {"objective": "plain", "anneal_clip": False},
    "KL stop at 0.02 added": {"target_kl": 0.02},
    "entropy bonus 0.01 added": {"entropy_coef": 0.01},
    "observations standardized": "observations",
    "rewards scaled": {"normalize_rewards": True},
    "value clip 0.2 added": {"value_clip": 0.2},
    "value clip 0.2, rewards scaled": {"value_clip": 0.2, "normalize_rewards": True},
    "time limit taken for the end": "limit",
}


class LimitIsTheEnd(gymnasium.vector.VectorWrapper):
    """A frequent mistake on purpose: the step that reaches the time limit says that the episode has terminated."""

    def step(self, actions):
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        return observations, rewards, terminated | truncated, np.zeros_like(truncated), info


def ordinary_start(*modules, seed: int) -> None:
    """What torch gives a Linear layer: all weights and biases uniform in +-1 / sqrt(inputs)."""
    generator = torch.Generator().manual_seed(seed)
    for module in modules:
        for weights, biases in zip(module.net.weights, module.net.biases):
            width = weights.shape[-2] ** -0.5
            for x in (weights, biases):
                x.data.uniform_(-width, width, generator=generator)


def train(seed: int, config: PPOConfig, change: str = "", copies: int = 32) -> tuple[list[dict], float]:
    """One run: its rows, and its mean return over EPISODES episodes after the last update."""
    environment = partial(gymnasium.make_vec, "CartPole-v1", copies, vectorization_mode="vector_entry_point")
    more = {"standardize": change == "observations"}
    policy, critic = MLPPolicy(4, 2, seed=seed, **more), MLPCritic(4, seed=seed + 1000, **more)
    if change == "start":
        ordinary_start(policy, critic, seed=seed)
    if change == "head":
        policy.net.weights[-1].data *= 100  # gain 0.01 -> 1
    changed = mock.patch.object(trainer, "Adam", partial(Adam, eps=1e-8)) if change == "adam" else nullcontext()
    env = LimitIsTheEnd(environment()) if change == "limit" else environment()
    with changed:
        rows = list(ppo(env, policy, critic, config, seed=seed))
    returns = evaluate(
        gymnasium.make_vec("CartPole-v1", EPISODES, vectorization_mode="vector_entry_point"),
        policy,
        episodes=EPISODES,
        seed=seed + 5000,
    )
    return rows, returns.mean().item()


def measure(name: str, seeds=SEEDS) -> list[float]:
    """One row of part one: the mean return of each seed."""
    change = CHANGES[name]
    word, config = (change, RECIPE) if isinstance(change, str) else ("", replace(RECIPE, **change))
    return [round(train(seed, config, word)[1], 2) for seed in seeds]


def settings() -> dict:
    """All that the numbers depend on, as it stands in the file."""
    recipe = {name: value for name, value in asdict(RECIPE).items() if value is not None}
    return {"recipe": recipe, "changes": CHANGES, "seeds": list(SEEDS), "episodes": EPISODES}


def main():
    torch.set_num_threads(1)
    content = {
        "command": "python benchmarks/ablation.py",
        "what": "CartPole-v1; mean return over 32 episodes after training, one number a seed",
        "settings": settings(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "gym": gymnasium.__version__},
        "seconds": 0.0,
        "rows": {},
    }
    if FILE.exists():
        old = json.loads(FILE.read_text("utf-8"))
        if old["settings"] == content["settings"] and old["versions"] == content["versions"]:
            content |= {"seconds": old["seconds"], "rows": old["rows"]}
    for name in CHANGES:
        if name not in content["rows"]:
            began = process_time()
            content["rows"][name] = measure(name)
            content["seconds"] = round(content["seconds"] + process_time() - began, 1)
            text = json.dumps(content, indent=1, ensure_ascii=False)
            text = re.sub(r"\[([^\[\]{}]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)  # one line a list
            FILE.write_text(text + "\n", "utf-8")
        returns = content["rows"][name]
        print(f"{name:34} {mean(returns):6.1f} +- {stdev(returns):5.1f}  n = {len(returns)}", flush=True)
    print(f"{content['seconds']:.0f} s of one core; written to {FILE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
