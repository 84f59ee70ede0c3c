"""How many optimizer steps a batch makes: verl's arithmetic, which is everybody's, and its refusals."""

import math

from .. import validate


def optimizer_steps(
    train_batch_size: int, n: int, ppo_mini_batch_size: int, ppo_epochs=1, gpus=1, micro: int | None = None
) -> dict:
    """The arithmetic of verl's batches, with the refusals of verl 0.9.1. Sizes are prompts, n replies to each of them.

    micro: replies at a time on one GPU. Returns replies of an iteration, replies_a_step, steps_an_epoch, steps of the
    whole iteration, filled (empty replies that verl adds to make the last step full), replies_a_gpu in one step,
    micro_batches of one step (None without micro), and can_clip: False for a single step, whose ratio is 1.

    >>> optimizer_steps(1024, 1, 256, ppo_epochs=2, gpus=8, micro=4)["steps"]
    8
    """
    arguments = {"train_batch_size": train_batch_size, "n": n, "ppo_mini_batch_size": ppo_mini_batch_size}
    arguments |= {"ppo_epochs": ppo_epochs, "gpus": gpus} | ({} if micro is None else {"micro": micro})
    for name, value in arguments.items():
        validate.integer(name, value, 1)
    replies, step = train_batch_size * n, ppo_mini_batch_size * n
    if train_batch_size < ppo_mini_batch_size:
        raise ValueError(validate.refusal("bridge", "mini-batch", train_batch_size, ppo_mini_batch_size))
    if replies % gpus or step % gpus:
        what, size = ("train_batch_size", replies) if replies % gpus else ("ppo_mini_batch_size", step)
        raise ValueError(f"{what} x n = {size} replies cannot be shared equally by gpus={gpus}; make it a multiple")
    if micro is not None and step // gpus % micro:
        raise ValueError(f"ppo_mini_batch_size x n / gpus = {step // gpus} must be a multiple of micro={micro}")
    an_epoch = math.ceil(replies / step)
    row = {"replies": replies, "replies_a_step": step, "steps_an_epoch": an_epoch, "steps": an_epoch * ppo_epochs}
    row |= {"filled": an_epoch * step - replies, "replies_a_gpu": step // gpus}
    return row | {"micro_batches": micro and step // gpus // micro, "can_clip": row["steps"] > 1}
