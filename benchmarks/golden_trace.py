"""The golden trace of one PPO update: what every mini-batch of the reference solution sees on a frozen batch.

    python benchmarks/golden_trace.py          prints it and writes data/golden_trace.json (seconds)

The frozen batch and the solution are those of exercise ppo_update; a test holds `ppo_lesson.ppo.ppo_update`, which
shares neither its loop nor its optimizer with the solution, against the file.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import platform
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

from course.exercises.frozen_batch import FROZEN, frozen  # noqa: E402
from course.exercises.ppo_update import ppo_update  # noqa: E402

FILE = ROOT / "data" / "golden_trace.json"


def main():
    case = frozen()
    trace = ppo_update(*case)
    content = {
        "command": "python benchmarks/golden_trace.py",
        "what": "exercise ppo_update on its frozen batch: six numbers for each mini-batch, then all parameters",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "minibatches": FROZEN.minibatches,
        "epochs": FROZEN.epochs,
        "trace": trace,
        "logits": case[0].logits.tolist(),
        "values": case[1].table.tolist(),
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print("  ".join(trace[0]))
    for row in trace:
        print("  ".join(f"{row[name]:{len(name)}.4f}" for name in row))
    print(f"written to {FILE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
