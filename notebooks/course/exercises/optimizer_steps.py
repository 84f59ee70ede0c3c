"""optimizer_steps: optimizer steps from verl's batch sizes."""

import math

from ..check import Exercise, close, rows


def optimizer_steps(keys):
    """Optimizer steps of one iteration, and forward passes of one step on one GPU."""
    prompts = keys["ppo_mini_batch_size"]
    steps = math.ceil(keys["train_batch_size"] / prompts) * keys["ppo_epochs"]
    return steps, prompts * keys["n"] // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"]


def _sizes(train, mini, micro, n=1, epochs=1, gpus=1):
    return {
        "train_batch_size": train,
        "ppo_mini_batch_size": mini,
        "ppo_micro_batch_size_per_gpu": micro,
        "n": n,
        "ppo_epochs": epochs,
        "gpus": gpus,
    }


cases = rows("optimizer_steps", lambda **sizes: (_sizes(**sizes),))


def one_step(fn):
    for n in (1, 8):
        close(fn(_sizes(64, 64, 8, n=n))[0], 1)


def micro_is_free(fn):
    first = fn(_sizes(32, 16, 1))[0]
    for micro in (2, 8):
        case = (_sizes(32, 16, micro),)
        close(fn(*case)[0], first, case=case)


def nothing_read_twice(fn):
    for gpus, n in ((1, 1), (4, 1), (2, 3)):
        case = (_sizes(64, 16, 2, n=n, gpus=gpus),)
        close(fn(*case)[1] * 2 * gpus, 16 * n, case=case)


EXERCISE = Exercise(solution=optimizer_steps, cases=cases, check_dtype=False)
