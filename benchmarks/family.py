"""PPO's family on a task that a program checks: every member, 16 seeds, and the clip with two epochs and with eight.

    python benchmarks/family.py          prints a table and writes data/family.json (some minutes on one core)

A random model of eight letters gets 1 point for three or more a's in at most six; what a run is stands in
notebooks/course/desk/family.py. The file holds each run's mean score and KL to the first policy in each iteration.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import process_time

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

from course.desk.family import COMMON, FILE, RUNS, SMALLER, train  # noqa: E402

SEEDS = 16


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
        "command": "python benchmarks/family.py",
        "what": "a random model of eight letters, 1 point for three or more a's in at most six; 16 seeds",
        "settings": {"common": COMMON, "smaller": SMALLER, "runs": RUNS, "seeds": SEEDS},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": round(seconds),
        "runs": runs,
    }
    FILE.write_text(json.dumps(content) + "\n", "utf-8")


if __name__ == "__main__":
    main()
