"""Every test runs on one thread, from a fixed seed, and keeps its progress file out of your home folder."""

import os
import random
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["PPO_LESSON_HOME"] = tempfile.mkdtemp(prefix="ppo_lesson_")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers_each_time():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
