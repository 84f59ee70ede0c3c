"""How long does a panel take from a slider's value to the PNG for the browser? On one thread, without a browser.

    python benchmarks/panel_latency.py     prints a table and writes benchmarks/results/panel_latency.json

Each panel gets 60 values after a warm-up, the one that retrains 15. Seconds are those in which this process ran
(time.process_time), so that other programs disturb less. Nothing is asserted. `make bench` then measures the same in a
real browser.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import platform
import statistics
import sys
from pathlib import Path
from time import process_time

import matplotlib
import numpy as np
import torch
from maze import processor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks"))
from course.pictures import NEW, Panel, draw_maze, fan, figure, key, slider, stroke
from ppo_lesson.maze import Maze, solve
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.reinforce import ReinforceConfig, reinforce

GOAL, VALUES = 40, np.linspace(0, 1, 60)  # ms for a typical panel; values of the slider
RETRAINING = 400  # ms, the median, for a panel that trains robots anew for every value
RESULT = Path(__file__).parent / "results" / "panel_latency.json"
T = np.arange(60)


def panel(draw):
    return Panel({"x": slider("x value", 0, 1, 0.001, 0.5)}, draw, "A picture at {x:.3f}.")


def curve(animated=True):
    fig, ax = figure(xlabel="steps", ylabel="weight", ylim=(0, 1))
    (line,) = ax.plot(T, T * 0.0, **stroke(NEW), label="γ", animated=animated)
    key(ax)

    def draw(x):
        line.set_ydata(x**T)
        return fig

    return panel(draw)


def maze():
    fig, ax = figure(width=3.6, height=3.6)
    probs = torch.full((16, 4), 0.25)
    picture = draw_maze(ax, Maze(), values=solve(probs, 0.5).V, probs=probs, robot=0, vmin=-19, vmax=1)
    title = ax.set_title("J", animated=True)

    def draw(x):
        solution = solve(probs, x)
        picture.update(values=solution.V)
        title.set_text(f"J = {solution.J:.2f}")
        return fig

    return panel(draw)


def seeds():
    fig, ax = figure(xlabel="update", ylabel="J", ylim=(-20, 1))
    curves = -18 * np.exp(-T / (6 + 4 * np.random.default_rng(0).random((64, 1))))
    update = fan(ax, T, curves, label="64 seeds")
    key(ax)

    def draw(x):
        update(curves * x)
        return fig

    return panel(draw)


def robots():
    """64 robots, 30 updates of REINFORCE for every value: as much as a panel of the notebooks trains."""
    fig, ax = figure(xlabel="update", ylabel="J", ylim=(-20, 1))
    update = fan(ax, range(30), np.zeros((64, 30)), label="64 robots")

    def draw(x):
        policy, config = TabularPolicy(seeds=(64,)), ReinforceConfig(iterations=30, lr=0.1 + x)
        tables = [policy.probs for _ in reinforce(Maze(), policy, None, config, seed=range(64))]
        update(solve(torch.stack(tables), config.gamma).J.T)
        return fig

    return panel(draw)


def main():
    panels = {
        "a curve, 6 x 3 in": curve(),
        "a maze solved anew, 3.6 x 3.6 in": maze(),
        "a fan of 64 seeds, 6 x 3 in": seeds(),
        "the curve, not animated": curve(animated=False),
        "64 robots, retrained": robots(),
    }
    rows = {}
    for name, p in panels.items():
        milliseconds, retrains = [], name.endswith("retrained")
        for value in VALUES[:: 4 if retrains else 1]:
            start = process_time()
            p.set(x=value)
            milliseconds.append(1e3 * (process_time() - start))
        median, p95 = statistics.median(milliseconds[5:]), statistics.quantiles(milliseconds[5:], n=20)[-1]
        rows[name] = {"median_ms": round(median, 1), "p95_ms": round(p95, 1), "png_kB": round(len(p.png) / 1e3)}
        goal = f"median {RETRAINING}" if retrains else GOAL
        print(f"{name:34} median {median:5.1f} ms   p95 {p95:5.1f} ms   {len(p.png) / 1e3:4.0f} kB   (goal {goal} ms)")
    versions = {"python": platform.python_version(), "matplotlib": matplotlib.__version__}
    hardware = {"cpu": processor(), "cores": os.cpu_count(), **versions, "threads": 1}
    RESULT.parent.mkdir(exist_ok=True)
    content = {"hardware": hardware, "goal_ms": GOAL, "goal_retraining_ms": RETRAINING, "results": rows}
    RESULT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
