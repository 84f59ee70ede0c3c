"""translate: A verl configuration in our words."""

import math

from ..check.spec import Exercise, close


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


def _whole(**changes):
    """verl 0.9.1's defaults, with changes."""
    return {
        "train_batch_size": 1024,
        "n": 1,
        "ppo_mini_batch_size": 256,
        "clip_ratio": 0.2,
        "clip_ratio_low": 0.2,
        "clip_ratio_high": 0.2,
        "use_kl_in_reward": False,
        "kl_coef": 0.001,
        "use_kl_loss": False,
        "kl_loss_coef": 0.001,
    } | changes


def cases():
    changes = [
        {},
        {"n": 8, "train_batch_size": 512},
        {"train_batch_size": 100, "ppo_mini_batch_size": 30},
        {"clip_ratio": 0.3},
        {"clip_ratio": 0.3, "clip_ratio_low": None, "clip_ratio_high": 0.28},
        {"clip_ratio": 0.1, "clip_ratio_low": None, "clip_ratio_high": None},
        {"clip_ratio": 0.3, "clip_ratio_low": 0.1, "clip_ratio_high": None},
        {"clip_ratio": 0.3, "clip_ratio_low": 0.0, "clip_ratio_high": 0.2},  # 0 is a value, None is none
        {"use_kl_in_reward": True, "kl_coef": 0.05},
        {"use_kl_loss": True, "kl_loss_coef": 0.04},
        {"use_kl_in_reward": True, "use_kl_loss": True, "kl_coef": 0.02, "kl_loss_coef": 0.01},
        {"kl_coef": 0.05, "n": 4},  # as in verl's own example: nobody asks for it
    ]
    return [(_whole(**change),) for change in changes]


def switched_off(fn):
    case = (_whole(kl_coef=5.0, kl_loss_coef=7.0),)
    found = fn(*case)
    close((found["beta"], found["kl_loss"]), (0.0, 0.0), case=case)


EXERCISE = Exercise(solution=translate, cases=cases, check_dtype=False)
