"""How far does one PPO update move a network? Plain surrogate, clip, KL stop, and both, at three step sizes.

    python benchmarks/trust_region.py          prints a table and writes data/trust_region.json (about a minute)

64 trainings a setting, at once: a 64-64 tanh network in the 4x4 maze, the settings of notebook 06. For each training
the file holds the exact J after the last update, the largest exact KL(old || new) of an update, and the deepest fall of
J below its best. `measure(method, lr, seeds)` makes one setting again; notebook 06 and a test compare it with the file.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import platform
import sys
from pathlib import Path
from time import process_time

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from ppo_lesson.maze import Maze, solve  # noqa: E402
from ppo_lesson.policies import MLPCritic, MLPPolicy  # noqa: E402
from ppo_lesson.ppo import PPOConfig, ppo  # noqa: E402

FILE = ROOT / "data" / "trust_region.json"
STOP = {"target_kl": 0.02}
METHODS = {
    "plain": {"objective": "plain"},
    "clip": {},
    "stop alone": {"objective": "plain", **STOP},
    "clip + stop": STOP,
}
RATES = (0.003, 0.03, 0.1)
SETTINGS = {"iterations": 40, "robots": 16, "steps": 8, "epochs": 10, "anneal": False, "critic_lr": 0.01, "eps": 0.2}
GAMMA = 0.99


def measure(method: str, lr: float, seeds) -> dict[str, list[float]]:
    """One setting: {"J": [...], "kl": [...], "fall": [...]}, one number for each of `seeds`."""
    seeds = list(seeds)
    policy, critic = MLPPolicy(seed=seeds), MLPCritic(seed=[s + 1000 for s in seeds])
    config = PPOConfig(**{**SETTINGS, "lr": lr, "gamma": GAMMA, "target_kl": None, **METHODS[method]})
    states = torch.arange(16).expand(len(seeds), -1)
    tables, kls = [policy(states).probs.detach()], []
    for row in ppo(Maze(), policy, critic, config, seed=seeds):
        tables.append(policy(states).probs.detach())
        kls.append(torch.as_tensor(row["kl"]))
    J = solve(torch.stack(tables).double(), GAMMA).J  # (iterations + 1, seeds)
    columns = {"J": J[-1], "kl": torch.stack(kls).amax(0), "fall": (J.cummax(0).values - J).amax(0)}
    return {name: [round(x, 5) for x in column.tolist()] for name, column in columns.items()}


def line(method: str, lr: float, found: dict) -> str:
    """One row of the table: solved = J above 0.2 at the end, crash = J fell by more than 5 below its best."""
    J, kl, fall = (torch.tensor(found[name]) for name in ("J", "kl", "fall"))
    return (
        f"{method:12} {lr:6g} {int((J > 0.2).sum()):7} of {len(J)} {int((fall > 5).sum()):7}"
        f"{kl.median():12.3f}{kl.max():8.2f}"
    )


def main():
    torch.set_num_threads(1)
    began, rows = process_time(), []
    print(f"{'':12} {'lr':>6} {'solved':>13} {'crash':>7}{'largest KL':>12}{'worst':>8}")
    for lr in RATES:
        for method in METHODS:
            rows.append({"method": method, "lr": lr, **measure(method, lr, range(64))})
            print(line(method, lr, rows[-1]), flush=True)
    seconds = round(process_time() - began)
    content = {
        "command": "python benchmarks/trust_region.py",
        "what": "64-64 tanh network, 4x4 maze, 64 seeds; J exact at gamma 0.99 after the last update, largest exact "
        "KL(old || new) of an update, deepest fall of J below its best",
        "settings": {**SETTINGS, "gamma": GAMMA, "methods": METHODS, "seeds": 64},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": seconds,
        "rows": rows,
    }
    FILE.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1)
    FILE.write_text(text + "\n", "utf-8")
    print(f"{seconds} s of one core; written to {FILE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
