"""The settings of `rlhf`, and what each may be; a misspelled one is answered with the one that was meant.

`check` looks at every field before anything is computed: a gradient norm of -1 would turn each step around, in silence.
Left out: what fits together with models and prompts, which `checks` looks at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import ClassVar

from .. import validate
from ..kl import FixedKL, PaperKL, ZieglerKL
from ..validate import helpful


@helpful
@dataclass(frozen=True)
class RLHFConfig:
    """`iterations` times: `batch` replies, then `epochs` passes over them in `minibatches` steps each.

    replies: sampled for each prompt (GRPO needs several). micro_batch: rows in memory at a time, on average; changes no
    gradient. rescore: the old log-probabilities come from one more forward, as the reference's do, so that the KL of
    equal models is exactly 0; without, the sampler's are taken: faster, and as good where both compute in float32.
    kl: about the reference, in the reward: FixedKL, ZieglerKL, or None. kl_loss: its coefficient in the loss, with
    kl_loss_kind "k1", "k2" or "k3". kl_loss_ratio: with the importance ratio, the right gradient in each step; without,
    k2 has it in the first step of a rollout, k3 (as in GRPO's paper) another, k1 none: to compare, to see it fail.
    advantages: "gae" with a critic, or "group" without one. aggregate: how token losses become one (`aggregate`).
    ptx_coef: weight of the language-model loss on `documents` (PPO-ptx). no_eos_penalty: taken off a reply that was
    cut. score_clip: scores are limited to +-this. target_kl: stop the epochs where k3 from the old policy exceeds 1.5
    times this. warmup: iterations until the full learning rate; anneal: then down to 0 on a line.
    """

    ELSEWHERE: ClassVar = {
        "beta": "kl=FixedKL(beta)",
        "kl_coef": "kl=FixedKL(beta)",
        "learning_rate": "lr",
        "cliprange": "eps",
    }
    iterations: int = 60
    batch: int = 64
    replies: int = 1
    epochs: int = 2
    minibatches: int = 2
    micro_batch: int = 16
    max_new_tokens: int = 48
    temperature: float = 1.0
    rescore: bool = True
    lr: float = 6e-4
    critic_lr: float = 1e-3
    warmup: int = 5
    anneal: bool = False
    gamma: float = 1.0
    lam: float = 0.95
    eps: float = 0.2
    eps_high: float | None = None
    dual_clip: float | None = None
    value_clip: float | None = 0.2
    entropy_coef: float = 0.0
    kl: FixedKL | ZieglerKL | None = field(default_factory=lambda: FixedKL(0.1))
    kl_loss: float = 0.0
    kl_loss_kind: str = "k2"
    kl_loss_ratio: bool = True
    advantages: str = "gae"
    scale_groups: bool = True
    whiten_advantages: bool = True
    aggregate: str = "token-mean"
    ptx_coef: float = 0.0
    ptx_batch: int = 16
    no_eos_penalty: float = 0.0
    score_clip: float | None = None
    target_kl: float | None = None
    max_grad_norm: float = 1.0
    checkpoint_every: int | None = None
    seed: int = 0


INTEGERS = {"warmup": 0, "seed": 0} | dict.fromkeys(  # and the least that each may be
    ("iterations", "batch", "replies", "epochs", "minibatches", "micro_batch", "max_new_tokens", "ptx_batch", "steps"),
    1,
)
RANGES = {"gamma": 1.0, "lam": 1.0} | dict.fromkeys(  # from 0 to this
    ("lr", "critic_lr", "entropy_coef", "kl_loss", "ptx_coef", "no_eos_penalty", "weight_decay"), math.inf
)
POSITIVE = {  # what None means, where it may stand; infinity may
    "max_grad_norm": "",
    "eps_high": "the width eps",
    "value_clip": "the plain squared error",
    "score_clip": "no limit",
    "target_kl": "no stop",
}
WORDS = {
    "kl_loss_kind": ("k1", "k2", "k3"),
    "advantages": ("gae", "group"),
    "aggregate": ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum"),
}


def check(config) -> None:
    """ValueError that names field, value and what it may be, if an RLHFConfig or SupervisedConfig cannot work."""
    for f in fields(config):
        name, value = f.name, getattr(config, f.name)
        if name in WORDS and value not in WORDS[name]:
            raise ValueError(f"{name} must be one of {WORDS[name]}; got {value!r}")
        elif name in INTEGERS:
            validate.integer(name, value, INTEGERS[name])
        elif name == "checkpoint_every" and value is not None:
            validate.integer(name, value, 1)
        elif name in RANGES:
            validate.number(name, value, 0, RANGES[name])
        elif name in POSITIVE and not (value is None and POSITIVE[name]):
            validate.positive(name, value, without=POSITIVE[name])
        elif name == "temperature" and validate.number(name, value) <= 0:
            raise ValueError(f"temperature must be above 0; got {value}. Values near 0 choose the likeliest token")
        elif name == "eps" and not 0 < validate.number(name, value) < 1:
            raise ValueError(f"eps must lie between 0 and 1 (0.2 is usual); got {value}")
        elif name == "dual_clip" and value is not None and not validate.positive(name, value) > 1:
            raise ValueError(f"dual_clip must be above 1 (3 is usual), or None for no second limit; got {value}")
        elif name == "kl" and not isinstance(value, FixedKL | ZieglerKL | None):
            about = " PaperKL is about the old policy and belongs to ppo" if isinstance(value, PaperKL) else ""
            raise TypeError(f"kl must be a FixedKL, a ZieglerKL or None; got {type(value).__name__}.{about}")
        elif f.type == "bool" and not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False; got {value!r}")
