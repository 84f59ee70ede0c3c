"""Every test runs on one thread (or OMP_NUM_THREADS of them), from a fixed seed, away from your home folder."""

import os
import random
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

HOME = tempfile.TemporaryDirectory(prefix="ppo_lesson_")  # gone when the tests are done
os.environ["PPO_LESSON_HOME"] = HOME.name
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start
os.environ.setdefault("MPLBACKEND", "Agg")
ROOMS = [str(Path(__file__).resolve().parents[1] / room) for room in (".", "notebooks", "tests")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*ROOMS, os.environ.get("PYTHONPATH")]))
PROGRAMS = ("benchmarks", "commands", "examples", "notebooks")  # folders of tests
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a script; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """A test is numeric if its file names torch or numpy: `make portable` runs it as on other machines.

    So does CI, but for slow ones of PROGRAMS: they run programs as a whole, whose parts have tests of their own.
    """
    for item in items:
        if {"torch", "np"} & vars(getattr(item, "module", None) or object).keys():
            item.add_marker(pytest.mark.numeric)
            if item.path.parent.name in PROGRAMS and item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.program)


@pytest.fixture(autouse=True)
def same_random_numbers_each_time():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
