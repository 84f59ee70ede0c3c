"""How fast is the maze? Environment steps per second, and the time of 64 trainings, on one thread of this computer.

    python benchmarks/maze.py          prints a table and writes benchmarks/results/maze.json

Each measurement is repeated after a warm-up; the table shows median, minimum and maximum. Seconds are those in which
this process ran (time.process_time), so that other programs disturb less; the last line says what share of the clock
that was. Nothing is asserted: the goals stand beside the results.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import platform
import statistics
from pathlib import Path
from time import perf_counter, process_time

import torch

from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.reinforce import ReinforceConfig, reinforce
from ppo_lesson.rollout import action_thresholds, fixed_steps

REPETITIONS, ROBOTS, STEPS, SEEDS = 9, 4096, 250, 64
RESULT = Path(__file__).parent / "results" / "maze.json"


def walking():
    """Million robot steps a second: draw random numbers, sample actions from a table, move."""
    envs, thresholds = MazeBatch(Maze(), ROBOTS), action_thresholds(TabularPolicy().probs)
    start = process_time()
    for u in envs.draws(STEPS):
        envs.step(envs.sample(thresholds, u[0]))
    return ROBOTS * STEPS / (process_time() - start) / 1e6


def collecting():
    """The same, and written down all that a trainer needs: observations, actions, log-probabilities, rewards, flags."""
    envs, policy = MazeBatch(Maze(), ROBOTS), TabularPolicy()
    start = process_time()
    for _ in range(STEPS // 50):
        fixed_steps(envs, policy, 50)
    return ROBOTS * STEPS / (process_time() - start) / 1e6


def training():
    """Seconds for 64 REINFORCE trainings at once, the exact undiscounted J of all of them after each update."""
    policy, medians = TabularPolicy(seeds=(SEEDS,)), []
    start = process_time()
    for _ in reinforce(Maze(), policy, None, ReinforceConfig(iterations=60, episodes=8), seed=range(SEEDS)):
        medians.append(solve(policy.probs, gamma=1.0).J.median().item())
    return process_time() - start, medians


def repeat(measure):
    measure()
    return [measure() for _ in range(REPETITIONS)]


def summary(numbers):
    return {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}


def processor():
    """The model name of the CPU: Linux writes it in /proc, elsewhere Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    torch.set_num_threads(1)
    hardware = {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "os": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": 1,
    }
    clock, used = perf_counter(), process_time()
    trainings = repeat(training)
    before, medians = solve(TabularPolicy().probs, gamma=1.0).J.item(), trainings[0][1]
    results = {
        "robot steps, million/s": summary(repeat(walking)) | {"goal": ">= 20"},
        "rollout steps, million/s": summary(repeat(collecting)) | {"goal": ""},
        "64 trainings, s": summary([seconds for seconds, _ in trainings]) | {"goal": "<= 0.35"},
    }
    share = (process_time() - used) / (perf_counter() - clock)
    print(
        f"{hardware['cpu']}, {hardware['cores']} cores, one thread used; {hardware['os']}; "
        f"Python {hardware['python']}, torch {hardware['torch']}"
    )
    print(f"{REPETITIONS} repetitions, batch of {ROBOTS} robots\n")
    print(f"{'':26}{'median':>8}{'min':>8}{'max':>8}    goal")
    for name, x in results.items():
        print(f"{name:26}{x['median']:8.2f}{x['min']:8.2f}{x['max']:8.2f}    {x['goal']}")
    print(
        f"\nmedian exact J of {SEEDS} seeds (gamma 1): {before:.2f} before, {medians[0]:.2f} after one update, "
        f"{medians[-1]:.3f} after 60 (goal >= 0.3)"
    )
    learning = {"before": before, "after each update": [round(x, 4) for x in medians]}
    RESULT.parent.mkdir(exist_ok=True)
    content = {
        "hardware": hardware,
        "repetitions": REPETITIONS,
        "share of the clock": round(share, 2),
        "results": results,
        "median exact J": learning,
    }
    RESULT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(f"this process ran {share:.0%} of the time; written to {RESULT.relative_to(Path(__file__).parent.parent)}")


if __name__ == "__main__":
    main()
