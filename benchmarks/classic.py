"""Classic control side by side: our PPO, Stable-Baselines3, SBX, sb3-contrib's TRPO, CleanRL's settings. On one thread.

    python benchmarks/classic.py [cartpole|halfcheetah|hopper|all] [--seeds N] [--methods M ...] [--fresh]

Prints a table of each environment from benchmarks/results/classic.json, after training what is missing there. Each
finished training is written at once, so that a benchmark that was stopped goes on; --fresh measures everything anew,
and a method whose settings have changed since is measured anew in any case. The methods take turns, seed by seed, so
that a slow hour of the computer hits all of them; a CartPole seed, where speed is compared, is always measured with all
methods in one go.

A policy's score is the mean return of 20 episodes (CartPole: 100) that it plays after training, sampling its actions,
with its normalisation frozen; beside it the same with the likeliest action, and the mean of the last 100 training
episodes. Returns are the environment's own, never normalised. Seconds are those in which this process trained
(time.process_time), without evaluation; of 16 trainings at once each has a sixteenth. The floor: seconds of the bare
products of matrices of our CartPole training, done right after it. Intervals hold 95% of 10,000 bootstrap means over
seeds. Nothing is asserted: the goals stand beside the results.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # SBX on one core, too

import argparse
import contextlib
import importlib.metadata
import json
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time

import gymnasium
import numpy as np
import peers
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from maze import processor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks"))
from course.settings import CARTPOLE, HALF_CHEETAH, HOPPER, POLES
from ppo_lesson.cartpole import CartPole
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy
from ppo_lesson.ppo import PPOConfig, ppo

RESULT = Path(__file__).resolve().parent / "results" / "classic.json"
EVALUATION_SEED = 1_000_000  # no training uses a seed from here on


@dataclass(frozen=True)
class Task:
    """One environment, how long to train in it, with which seeds, and how many episodes judge the result."""

    env_id: str
    steps: int
    seeds: range
    episodes: int
    methods: dict  # name -> (function (env_id, steps, seed) -> peers.Trained, settings)
    together: bool = False  # measure a seed with all methods in one go


def ours(config: PPOConfig, *, envs: int, stepping="sync", standardize=False, log_std=None) -> tuple:
    """Our PPO as the others are: a function that trains, and its settings. stepping: how `make_vec` steps `envs`."""
    settings = {"envs": envs, "stepping": stepping, "standardize": standardize, "log_std": log_std}
    settings |= {"network": "separate 64-64 tanh, orthogonal"} | asdict(config)
    for name in ("iterations", "robots", "checkpoint_every"):  # what follows from the task, and what is not used
        del settings[name]

    def train(env_id: str, total_steps: int, seed: int) -> peers.Trained:
        timer = peers.Timer()
        vector = RecordEpisodeStatistics(gymnasium.make_vec(env_id, num_envs=envs, vectorization_mode=stepping))
        inputs, actions = vector.single_observation_space.shape[0], vector.single_action_space
        networks = {"seed": seed, "standardize": standardize}
        if isinstance(actions, gymnasium.spaces.Discrete):
            policy = MLPPolicy(inputs, int(actions.n), **networks)
        else:
            policy = GaussianPolicy(inputs, actions.shape[0], log_std=log_std, **networks)
        critic = MLPCritic(inputs, seed=seed + 1000, standardize=standardize)
        iterations = total_steps // (envs * config.steps)
        *_, row = ppo(vector, policy, critic, replace(config, iterations=iterations), seed=seed)
        used = timer.read()
        vector.close()

        @torch.no_grad()
        def act(observations, greedy):
            distribution = policy(torch.as_tensor(observations))
            return (distribution.mode if greedy else distribution.sample()).numpy()

        return peers.Trained(act, int(row["env_steps"]), **used, episode_returns=list(vector.return_queue))

    return train, settings


def poles(config: PPOConfig, *, hidden=(32, 32), at_once=1) -> tuple:
    """Our PPO on CartPole as tensors, and its settings. at_once: so many trainings; the first one's seed is judged."""
    settings = {"envs": config.robots, "stepping": "ppo_lesson.cartpole", "trainings at once": at_once}
    settings |= {"network": f"separate {'-'.join(map(str, hidden))} tanh, orthogonal"} | asdict(config)
    for name in ("robots", "checkpoint_every"):
        del settings[name]

    def train(env_id: str, total_steps: int, seed: int) -> peers.Trained:
        iterations = min(config.iterations, total_steps // (config.robots * config.steps))
        timer, seeds = peers.Timer(), range(seed, seed + 100 * at_once, 100)
        policy, critic = (
            make(seed=[first + s for s in seeds], hidden=hidden)
            for make, first in ((partial(MLPPolicy, 4, 2), 0), (partial(MLPCritic, 4), 1000))
        )
        rows = list(ppo(CartPole(), policy, critic, replace(config, iterations=iterations), seed=seeds))
        used = {name: x / at_once for name, x in timer.read().items()}

        @torch.no_grad()
        def act(observations, greedy):
            seen = torch.as_tensor(observations).expand(at_once, -1, -1)
            distribution = policy(seen)
            return (distribution.mode if greedy else distribution.sample())[0].numpy()

        means = [float(row["return_mean"][0]) for row in rows[-16:] if "return_mean" in row]  # of the last rollouts
        returns = [x for x in means if x == x]
        return peers.Trained(act, int(rows[-1]["env_steps"][0]), **used, episode_returns=returns, floor=floor)

    def floor() -> float:
        """CPU seconds of the products of matrices alone: each network forward and backward, one training."""
        n, passes = config.robots * config.steps // config.minibatches, config.iterations * config.epochs
        shapes = [(4, *hidden, outputs) for outputs in (2, 1)]
        layers = [(torch.randn(i, o), i == 4) for shape in shapes for i, o in pairwise(shape)]
        seen, small = ({i: torch.randn(rows, i) for i in (4, *hidden, 2, 1)} for rows in (n, config.robots))
        start = process_time()
        for _ in range(passes * config.minibatches):
            for w, first in layers:
                seen[w.shape[0]] @ w  # forward
                seen[w.shape[0]].T @ seen[w.shape[1]]  # gradient of the weights
                if not first:
                    seen[w.shape[1]] @ w.T  # gradient of what came in
        for _ in range(config.iterations * config.steps):
            for w, _ in layers[: len(hidden) + 1]:
                small[w.shape[0]] @ w  # the policy, while it collects
        return process_time() - start

    return train, settings


WALKING = {
    "SB3 PPO": (peers.sb3_ppo_normalized, peers.SB3 | {"VecNormalize": peers.NORMALIZE}),
    "sb3-contrib TRPO": (peers.trpo_normalized, peers.TRPO | {"VecNormalize": peers.NORMALIZE}),
}
CHEETAH = {"ours": ours(HALF_CHEETAH, envs=1, standardize=True, log_std=-1.0)} | WALKING
HOPPING = {"ours": ours(HOPPER, envs=1, standardize=True, log_std=0.0)} | WALKING
CONTROL = {
    "ours": poles(POLES),
    "ours, 16 at once": poles(POLES, at_once=16),
    "ours, Gymnasium": ours(CARTPOLE, envs=16, stepping="vector_entry_point"),
    "CleanRL settings": (peers.cleanrl_settings, peers.CLEANRL),
    "SB3 PPO": (peers.sb3_ppo, peers.SB3),
    "SBX PPO": (peers.sbx_ppo, peers.SB3),
}
TASKS = {
    "cartpole": Task("CartPole-v1", 50_000, range(300, 310), 100, CONTROL, together=True),
    "halfcheetah": Task("HalfCheetah-v5", 200_000, range(200, 205), 20, CHEETAH),
    "hopper": Task("Hopper-v5", 100_000, range(300, 305), 20, HOPPING),
}


def evaluate(env_id: str, trained: peers.Trained, episodes: int, seed: int, greedy: bool) -> list[float]:
    """The returns of so many whole episodes: the first one of each of `episodes` environments."""
    torch.manual_seed(seed)
    envs = gymnasium.make_vec(env_id, num_envs=episodes, vectorization_mode="sync")
    observations, _ = envs.reset(seed=EVALUATION_SEED + 1000 * seed)
    returns, alive = np.zeros(episodes), np.ones(episodes, bool)
    while alive.any():
        observations, rewards, terminated, truncated, _ = envs.step(_inside(envs, trained.act(observations, greedy)))
        returns += rewards * alive
        alive &= ~(terminated | truncated)
    envs.close()
    return returns.tolist()


def _inside(envs, actions):
    """Continuous actions are clipped to the range that the environment names; discrete ones are left alone."""
    box = envs.single_action_space
    return np.clip(actions, box.low, box.high) if isinstance(box, gymnasium.spaces.Box) else actions


def measure(task: Task, method: str, seed: int) -> dict:
    """Train once, judge the result: the numbers of one run."""
    function, _ = task.methods[method]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # MuJoCo leaves a log file where it runs
        trained = function(task.env_id, task.steps, seed)
        sampled, greedy = (evaluate(task.env_id, trained, task.episodes, seed, g) for g in (False, True))
    return {
        "return": round(statistics.mean(sampled), 2),
        "greedy": round(statistics.mean(greedy), 2),
        "last 100": round(float(np.mean(trained.episode_returns[-100:])), 2),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 3),
        "steps/s": round(trained.steps / trained.seconds),
        "share of the clock": round(trained.seconds / trained.clock, 2),
    } | ({} if trained.floor is None else {"floor": round(trained.floor(), 3)})


class Store:
    """The result file: computers, settings, and one line a run. Read before every write, and replaced in one step."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> dict:
        if self.path.exists():
            return json.loads(self.path.read_text("utf-8"))
        return {"hardware": [], "settings": {}, "runs": []}

    def runs(self, name: str) -> dict:
        """(method, seed) -> run, of one environment."""
        return {(run["method"], run["seed"]): run for run in self.read()["runs"] if run["env"] == name}

    def drop(self, name: str, unwanted) -> int:
        """Forget the runs of one environment for which unwanted(run) holds; returns how many there were."""
        content = self.read()
        kept = [run for run in content["runs"] if run["env"] != name or not unwanted(run)]
        dropped = len(content["runs"]) - len(kept)
        if dropped:
            self._write(content | {"runs": kept})
        return dropped

    def add(self, name: str, method: str, seed: int, settings: dict, numbers: dict):
        content, here = self.read(), hardware()
        if here not in content["hardware"]:
            content["hardware"].append(here)
        content["settings"].setdefault(name, {})[method] = settings
        run = {"env": name, "method": method, "seed": seed, "hardware": content["hardware"].index(here), **numbers}
        content["runs"] = [r for r in content["runs"] if (r["env"], r["method"], r["seed"]) != (name, method, seed)]
        content["runs"].append(run)
        self._write(content)

    def _write(self, content: dict):
        runs = ",\n".join("  " + json.dumps(run) for run in content["runs"])
        head = json.dumps({key: content[key] for key in ("hardware", "settings")}, indent=1)
        self.path.parent.mkdir(exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(f'{head[:-2]},\n "runs": [\n{runs}\n ]\n}}\n', "utf-8")
        os.replace(partial, self.path)


def hardware() -> dict:
    """The computer and the versions of everything that a result depends on."""
    packages = {}
    for name in ("gymnasium", "mujoco", "stable-baselines3", "sb3-contrib", "sbx-rl", "jax", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "os": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        **packages,
        "threads": 1,
    }


def forget(store: Store, name: str, seeds, methods, fresh: bool):
    """Drop what --fresh or changed settings ask for, and CartPole seeds that were not finished with all methods."""
    task, stored = TASKS[name], store.read()["settings"].get(name, {})
    changed = [m for m in methods if m in stored and stored[m] != task.methods[m][1]]
    for method in changed:
        print(f"{name}: the settings of {method} have changed, its runs are measured anew")
    runs = store.runs(name)
    broken = [s for s in seeds if task.together and any((m, s) not in runs or m in changed for m in task.methods)]
    store.drop(name, lambda r: r["method"] in changed or r["seed"] in broken or (fresh and r["method"] in methods))


def complete(store: Store, name: str, seeds, methods):
    """Train what is missing, one seed after another, the methods taking turns."""
    task, warm = TASKS[name], set()
    for seed in seeds:
        for method in methods:
            if (method, seed) in store.runs(name):
                continue
            if method not in warm:  # a short training that is not counted: libraries load more of themselves at first
                measure(replace(task, steps=2048, episodes=1), method, seed=0)
                warm.add(method)
            numbers = measure(task, method, seed)
            store.add(name, method, seed, task.methods[method][1], numbers)
            print(f"{name} {method}, seed {seed}: {numbers['return']} in {numbers['seconds']:.1f} s", flush=True)


def bootstrap(columns: list[list[float]], statistic=lambda x: x[0], draws=10_000) -> tuple[float, float]:
    """95% interval of a statistic of the means: seeds drawn anew with replacement, each column for itself."""
    rng = np.random.default_rng(0)
    means = [rng.choice(column, (draws, len(column))).mean(1) for column in map(np.asarray, columns)]
    low, high = np.quantile(statistic(means), [0.025, 0.975])
    return float(low), float(high)


def ratio_to_best(means):
    """Ours over the best of the others, which may be another one in each draw."""
    return means[0] / np.max(means[1:], axis=0)


def table(store: Store, name: str, seeds):
    """Print the results of one environment, one method a line, then its goals and the settings."""
    task, runs = TASKS[name], store.runs(name)
    columns = {m: [runs[m, s] for s in seeds if (m, s) in runs] for m in task.methods}
    columns = {m: column for m, column in columns.items() if column}
    print(f"\n{task.env_id}, seeds {seeds[0]} to {seeds[-1]}; return of {task.episodes} episodes of the final policy")
    print(
        f"{'':18}{'runs':>5}{'steps':>9}{'return':>9}{'95% interval':>18}{'lowest':>9}{'greedy':>9}{'last 100':>10}"
        f"{'CPU s':>8}{'steps/CPU-s (min, max)':>27}"
    )
    for method, column in columns.items():
        returns, speeds = [r["return"] for r in column], [r["steps/s"] for r in column]
        low, high = bootstrap([returns])
        greedy, last, seconds = (statistics.mean(r[key] for r in column) for key in ("greedy", "last 100", "seconds"))
        speed = f"{statistics.median(speeds):,.0f} ({min(speeds):,}, {max(speeds):,})"
        interval = f"[{low:.1f}, {high:.1f}]"
        print(
            f"{method:18}{len(column):5}{column[0]['steps']:9,}{statistics.mean(returns):9.1f}{interval:>18}"
            f"{min(returns):9.1f}{greedy:9.1f}{last:10.1f}{seconds:8.1f}{speed:>27}"
        )
    if "ours" in columns and len(columns) > 1:
        goals(name, columns)
    settings = store.read()["settings"].get(name, {})
    for method in columns:
        print(f"  {method}: " + ", ".join(f"{key} {value}" for key, value in settings[method].items()))


def goals(name: str, columns: dict):
    """The comparisons that the course promises, each with its goal."""
    ours = [r["return"] for r in columns["ours"]]
    if name == "cartpole":
        print(
            f"goals: mean >= 495 ({statistics.mean(ours):.1f}); every seed >= 475 "
            f"({sum(x >= 475 for x in ours)} of {len(ours)})"
        )
        speeds = {m: {r["seed"]: r["steps/s"] for r in column} for m, column in columns.items()}

        def faster(method: str, than: str, goal: str):
            if method in speeds and than in speeds:
                ratios = [x / speeds[than][s] for s, x in speeds[method].items() if s in speeds[than]]
                print(
                    f"steps/CPU-s, {method} over {than}, seed by seed: median {statistics.median(ratios):.2f}, "
                    f"{min(ratios):.2f} to {max(ratios):.2f} (goal >= {goal})"
                )

        faster("ours", "ours, Gymnasium", "2.5")
        faster("ours, 16 at once", "ours", "3: a third of the cost a seed")
        faster("ours", "CleanRL settings", "1.5")
        bare, whole = (statistics.median(r[key] for r in columns["ours"]) for key in ("floor", "seconds"))
        print(f"ours: {whole:.2f} CPU s, of which the bare products of matrices are {bare:.2f} (median)")
        return
    returns = [ours, *([r["return"] for r in column] for method, column in columns.items() if method != "ours")]
    low, high = bootstrap(returns, ratio_to_best)
    ratio = ratio_to_best([statistics.mean(x) for x in returns])
    print(f"ours over the best of the others: {ratio:.2f} [{low:.2f}, {high:.2f}] (goal >= 0.95)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", nargs="?", default="all", choices=[*TASKS, "all"])
    parser.add_argument("--seeds", type=int, metavar="N", help="the first N seeds only")
    parser.add_argument(
        "--methods", nargs="+", metavar="M", help="MuJoCo: train these only, for example: ours 'SB3 PPO'"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what is stored")
    parser.add_argument("--file", type=Path, default=RESULT, help="keep the results here")
    given = parser.parse_args()
    if given.seeds is not None and given.seeds < 1:
        parser.error(f"--seeds must be at least 1; got {given.seeds}")
    known = sorted({method for task in TASKS.values() for method in task.methods})
    if unknown := set(given.methods or []) - set(known):
        parser.error(f"--methods must be among {known}; got {sorted(unknown)}")
    return given


def main():
    given = arguments()
    torch.set_num_threads(1)
    store, missing = Store(given.file.resolve()), None
    for name in TASKS if given.task == "all" else [given.task]:
        task = TASKS[name]
        seeds = task.seeds[: given.seeds]
        methods = [m for m in task.methods if task.together or given.methods is None or m in given.methods]
        forget(store, name, seeds, methods, given.fresh)
        try:
            complete(store, name, seeds, methods)
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            missing = error
        table(store, name, seeds)
    runs = store.read()["runs"]
    for number, computer in enumerate(store.read()["hardware"]):
        if shares := [run["share of the clock"] for run in runs if run["hardware"] == number]:
            print(
                f"\n{len(shares)} runs, which had {statistics.median(shares):.0%} of the clock (median), on: "
                + ", ".join(f"{key} {value}" for key, value in computer.items())
            )
    if missing is not None:
        command = 'pip install -c constraints.txt -e ".[benchmarks]" (in the course folder)'
        raise SystemExit(f"{missing}\nSome runs need other packages: {command}")


if __name__ == "__main__":
    main()
