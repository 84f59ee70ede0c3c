"""translate: A verl configuration in our words."""

import math

from ..check import Exercise, close, rows
from ..check.rows import read


def translate(keys):
    """Six settings of RLHFConfig from a whole configuration of verl."""
    low, high = (keys["clip_ratio"] if keys[k] is None else keys[k] for k in ("clip_ratio_low", "clip_ratio_high"))
    return {
        "batch": keys["train_batch_size"] * keys["n"],
        "minibatches": math.ceil(keys["train_batch_size"] / keys["ppo_mini_batch_size"]),
        "eps": low,
        "eps_high": high,
        "beta": keys["kl_coef"] if keys["use_kl_in_reward"] else 0.0,
        "kl_loss": keys["kl_loss_coef"] if keys["use_kl_loss"] else 0.0,
    }


def switched_off(fn):
    case = (_whole(kl_coef=5.0, kl_loss_coef=7.0),)
    found = fn(*case)
    close((found["beta"], found["kl_loss"]), (0.0, 0.0), case=case)


def _whole(**changes):
    """verl 0.9.1's defaults, with changes."""
    return read("translate")["defaults"] | changes


EXERCISE = Exercise(
    solution=translate, cases=rows("translate", lambda **changes: (_whole(**changes),)), check_dtype=False
)
