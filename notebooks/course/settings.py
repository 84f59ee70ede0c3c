"""Settings of `ppo` that were tuned, one for each kind of task that the course trains on.

The numbers, and the seeds on which they were chosen and judged, stand in settings.toml. None of them has a target_kl:
TOML has no word for None.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from ppo_lesson.kl import PaperKL
from ppo_lesson.ppo import PPOConfig

_READ = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_READ["HOPPER"]["kl"] = PaperKL(**_READ["HOPPER"]["kl"])

CARTPOLE, POLES, HALF_CHEETAH, HOPPER, PENDULUM = (
    PPOConfig(target_kl=None, **_READ[task]) for task in ("CARTPOLE", "POLES", "HALF_CHEETAH", "HOPPER", "PENDULUM")
)
