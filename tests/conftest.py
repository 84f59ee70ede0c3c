"""Every test runs on one thread, from a fixed seed, and keeps its progress file out of your home folder."""

import os
import random
import tempfile

import numpy as np
import pytest
import torch

HOME = tempfile.TemporaryDirectory(prefix="ppo_lesson_")  # gone when the tests are done
os.environ["PPO_LESSON_HOME"] = HOME.name
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start
os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers_each_time():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
