"""Table 1 of the PPO paper (Schulman et al. 2017), made smaller: which objective learns to walk? On one thread a run.

    python benchmarks/table1.py                        prints the tables of the results stored so far, trains nothing
    python benchmarks/table1.py --run --small          2 environments, 4 objectives, 2 seeds, 200,000 steps: 1 hour
    python benchmarks/table1.py --run [--jobs N]       4 environments, 6 objectives, 3 seeds, 500,000 steps: 8 hours

Each finished training is written at once to benchmarks/results/table1_small.json or table1.json, and each unfinished
one saves itself every 20 rollouts in runs/, so that the same command goes on wherever it was stopped.

The settings are the paper's: rollouts of 2048 steps, 10 epochs of mini-batches of 64, Adam with a constant 3e-4, gamma
0.99, lambda 0.95, 64-64 tanh networks that share nothing, a Gaussian policy. As in its authors' code, observations are
standardised, rewards are not scaled, and no gradient is clipped. No stop by KL either: the objective is alone.

As in the paper, a run's score is the mean return of its last 100 training episodes, scaled so that in each environment
the uniformly random policy has 0 and the objective with the highest mean over seeds has 1; then the mean over
environments. So every score depends on which objectives are compared, and none can be compared with another table's.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from math import ceil
from pathlib import Path

import gymnasium
import torch
from classic import Store
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from peers import Timer

from ppo_lesson.kl import FixedKL, PaperKL
from ppo_lesson.policies import GaussianPolicy, MLPCritic
from ppo_lesson.ppo import PPOConfig, ppo

HERE = Path(__file__).resolve().parent
CHECKPOINTS = HERE.parent / "runs" / "table1"
RANDOM = "random policy"

PAPER = PPOConfig(
    steps=2048,
    epochs=10,
    minibatches=32,
    lr=3e-4,
    critic_lr=3e-4,
    gamma=0.99,
    lam=0.95,
    target_kl=None,
    max_grad_norm=None,
    anneal=False,
    checkpoint_every=20,
)
OBJECTIVES = {
    "no clipping or penalty": replace(PAPER, objective="plain"),
    "clipping, eps 0.1": replace(PAPER, eps=0.1),
    "clipping, eps 0.2": replace(PAPER, eps=0.2),
    "clipping, eps 0.3": replace(PAPER, eps=0.3),
    "adaptive KL, target 0.01": replace(PAPER, objective="penalty", kl=PaperKL(beta=1.0, target=0.01)),
    "fixed KL, beta 1": replace(PAPER, objective="penalty", kl=FixedKL(beta=1.0)),
}
PUBLISHED = dict(zip(OBJECTIVES, (-0.39, 0.76, 0.82, 0.70, 0.74, 0.71)))  # the paper's table 1


@dataclass(frozen=True)
class Grid:
    """Which runs make a table, and where their results are."""

    environments: tuple[str, ...]
    objectives: tuple[str, ...]
    seeds: range
    steps: int
    result: Path

    def runs(self):
        """All (environment, objective, seed), seed by seed, so that a part of the grid is a fair comparison already."""
        return [(env, name, seed) for seed in self.seeds for name in self.objectives for env in self.environments]


FULL = Grid(
    ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "InvertedDoublePendulum-v5"),
    tuple(OBJECTIVES),
    range(3),
    500_000,
    HERE / "results" / "table1.json",
)
SMALL = Grid(
    FULL.environments[:2],
    tuple(name for name in OBJECTIVES if name not in ("clipping, eps 0.1", "clipping, eps 0.3")),
    range(2),
    200_000,
    HERE / "results" / "table1_small.json",
)


# ---- runs --------------------------------------------------------------------------------------------------------


def train(env_id: str, name: str, seed: int, steps: int) -> dict:
    """One run, from its checkpoint if there is one: the numbers that the tables are made of."""
    torch.set_num_threads(1)
    timer, config = Timer(), OBJECTIVES[name]
    config = replace(config, iterations=ceil(steps / config.steps))
    label = "".join(c if c.isalnum() else "_" for c in f"{env_id} {steps} {name} {seed}")
    file = CHECKPOINTS / f"{label}.safetensors"
    with outside(), contextlib.closing(gymnasium.make_vec(env_id, num_envs=1, vectorization_mode="sync")) as env:
        env = RecordEpisodeStatistics(env, buffer_length=config.steps)
        inputs, actions = env.single_observation_space.shape[0], env.single_action_space.shape[0]
        policy = GaussianPolicy(inputs, actions, seed=seed, standardize=True)
        critic = MLPCritic(inputs, seed=seed + 1000, standardize=True)
        rows, returns, diverged = [], Returns(file.with_suffix(".json")), False
        try:
            for row in ppo(env, policy, critic, config, seed=seed, resume=file):
                returns.add(row["iteration"], env.return_queue)
                rows.append(row)
        except FloatingPointError:
            diverged = True
            if not rows:
                raise
    episodes = returns.until(len(rows))
    return {
        "last 100": round(statistics.mean(episodes[-100:]), 2),
        "first 10": round(statistics.mean(episodes[:10]), 2),
        "episodes": len(episodes),
        "steps": rows[-1]["env_steps"],
        "median KL of an update": round(statistics.median(row["kl"] for row in rows), 5),
        "diverged": diverged,
        "seconds since it last started": round(timer.read()["seconds"], 1),
    }


class Returns:
    """The return of every training episode, in a file beside the checkpoint, which knows only means of rollouts."""

    def __init__(self, file: Path):
        self.file = file
        self.rollouts = json.loads(file.read_text("utf-8")) if file.exists() else []

    def add(self, iteration: int, queue):
        """Move a rollout's returns from `queue` to the file, unless an earlier start of this run has done it."""
        if iteration == len(self.rollouts):
            self.rollouts.append([float(x) for x in queue])
            partial = self.file.with_suffix(".partial")
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self.rollouts), "utf-8")
            os.replace(partial, self.file)
        queue.clear()

    def until(self, iteration: int) -> list[float]:
        """The returns of all rollouts before `iteration`, in the order in which the episodes ended."""
        return [x for rollout in self.rollouts[:iteration] for x in rollout]


def random_policy(env_id: str, episodes: int = 100) -> dict:
    """The mean return of actions drawn uniformly from the whole range, whatever is seen."""
    returns = []
    with outside(), contextlib.closing(gymnasium.make(env_id)) as env:
        env.action_space.seed(0)
        for episode in range(episodes):
            env.reset(seed=episode)
            total, ended = 0.0, False
            while not ended:
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                total, ended = total + float(reward), terminated or truncated
            returns.append(total)
    return {"last 100": round(statistics.mean(returns), 2), "episodes": episodes}


@contextlib.contextmanager
def outside():
    """Work in a folder that is thrown away: MuJoCo leaves a log file where it runs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


def complete(grid: Grid, jobs: int):
    """Train what is missing. Every result is written when it is there."""
    store = Store(grid.result)
    for env_id in grid.environments:
        if (RANDOM, 0) not in store.runs(env_id):
            store.add(env_id, RANDOM, 0, {"actions": "uniform"}, random_policy(env_id))
    missing = [run for run in grid.runs() if run[1:] not in store.runs(run[0])]
    print(f"{len(grid.runs()) - len(missing)} of {len(grid.runs())} runs are there already", flush=True)
    for (env_id, name, seed), numbers in results(missing, grid.steps, jobs):
        store.add(env_id, name, seed, settings(name), numbers)
        print(f"{env_id}, {name}, seed {seed}: {numbers['last 100']:.1f}", flush=True)


def results(missing, steps: int, jobs: int):
    """Pairs (run, its numbers), in the order in which `jobs` processes finish batches of runs."""
    if jobs == 1:
        yield from ((run, train(*run, steps)) for run in missing)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(train, *run, steps) for run in missing]
        yield from zip(missing, (future.result() for future in futures))


def settings(name: str) -> dict:
    """What the result file says about an objective; what is None, or unused, is left out."""
    config = OBJECTIVES[name]
    unused = {"iterations", "robots", "checkpoint_every", *(["eps"] if config.objective != "clip" else [])}
    used = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in unused}
    used = {key: repr(x) if key == "kl" else x for key, x in used.items() if x is not None}
    return {"envs": 1, "network": [64, 64], "log_std": 0.0, "standardize": True, **used}


# ---- tables ------------------------------------------------------------------------------------------------------


def scores(grid: Grid, raw: dict, random: dict) -> dict:
    """objective -> environment -> one normalised score a seed. raw: objective -> environment -> one return a seed."""
    best = {e: max(statistics.mean(raw[name][e]) for name in raw) for e in grid.environments}
    return {
        name: {e: [(x - random[e]) / (best[e] - random[e]) for x in raw[name][e]] for e in grid.environments}
        for name in raw
    }


def table(grid: Grid):
    """Print what is stored of one grid: normalised scores beside the paper's, then the returns they come from."""
    store = Store(grid.result)
    stored = {env_id: store.runs(env_id) for env_id in grid.environments}
    seeds = [s for s in grid.seeds if all((n, s) in stored[e] for e in grid.environments for n in grid.objectives)]
    runs = {n: {e: [stored[e][n, s] for s in seeds] for e in grid.environments} for n in grid.objectives}
    print(
        f"\nTable 1, {len(grid.environments)} environments, {grid.steps:,} steps, "
        f"{len(seeds)} of {len(grid.seeds)} seeds complete"
    )
    if not seeds:
        return
    raw = {n: {e: [run["last 100"] for run in runs[n][e]] for e in runs[n]} for n in runs}
    random = {e: stored[e][RANDOM, 0]["last 100"] for e in grid.environments}
    normalised = scores(grid, raw, random)
    print_scores(normalised, seeds)
    print_returns(grid, raw, random)
    print_steps_taken(runs)
    for number, computer in enumerate(store.read()["hardware"]):
        used = sum(r["hardware"] == number for r in store.read()["runs"])
        print(f"{used} runs on: " + ", ".join(f"{key} {value}" for key, value in computer.items()))


def print_scores(normalised: dict, seeds: list[int]):
    print(
        f"\n{'score: random 0, best objective 1':34}{'mean':>7}{'each seed':>{4 + 7 * len(seeds)}}"
        f"   paper (1M steps, v1, 21 runs)"
    )
    for name, environments in normalised.items():
        each = [statistics.mean(column) for column in zip(*environments.values())]
        print(
            f"{name:34}{statistics.mean(each):7.2f}    "
            + "".join(f"{x:7.2f}" for x in each)
            + f"   {PUBLISHED[name]:6.2f}"
        )
    plain = statistics.mean(statistics.mean(column) for column in normalised["no clipping or penalty"].values())
    side = "below" if plain < 0 else "above"
    print(f"without clipping or penalty the score is {side} that of the random policy here; in the paper, below")


def print_returns(grid: Grid, raw: dict, random: dict):
    columns = grid.environments
    print(f"\n{'return, mean (lowest to highest)':28}" + "".join(f"{e:>27}" for e in columns))
    print(f"{RANDOM:28}" + "".join(f"{random[e]:27.0f}" for e in columns))
    for name, environments in raw.items():
        cells = [f"{statistics.mean(x):.0f} ({min(x):.0f} to {max(x):.0f})" for x in environments.values()]
        print(f"{name:28}" + "".join(f"{cell:>27}" for cell in cells))


def print_steps_taken(runs: dict):
    """How far an update went from the policy that collected its data, and which runs broke."""
    print("\nmedian KL(old policy, new policy) of an update, in each run")
    for name, environments in runs.items():
        kls = "".join(f"{run['median KL of an update']:9.4f}" for column in environments.values() for run in column)
        print(f"{name:28}{kls}")
    broken = [f"{n}, {e}, seed {run['seed']}" for n in runs for e in runs[n] for run in runs[n][e] if run["diverged"]]
    print("runs that ended early with numbers that were no longer finite: " + ("; ".join(broken) or "none"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", action="store_true", help="train what is missing first")
    parser.add_argument("--small", action="store_true", help="the small grid only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time, with --run")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {given.jobs}")
    if given.run and importlib.util.find_spec("mujoco") is None:
        raise SystemExit("These environments need MuJoCo, which is not installed: pip install 'ppo-lesson[benchmarks]'")
    return given


def main():
    given = arguments()
    if given.run:
        complete(SMALL if given.small else FULL, given.jobs)
    for grid in [SMALL] if given.small else [SMALL, FULL]:
        if grid.result.exists():
            table(grid)
        else:
            flag = " --small" if grid is SMALL else ""
            print(f"\n{grid.result.name} is not there; python benchmarks/table1.py --run{flag} makes it")


if __name__ == "__main__":
    main()
