"""AdamW with moments that a checkpoint can hold, and how its learning rate rises and falls."""

import math

import torch


def adamw(parameters: list, lr: float, weight_decay: float):
    """AdamW whose moments exist from the first moment on: (optimizer, {name: tensor that changes in place}).

    Its second moment has a short memory, 0.95, as in GPT-3 (Brown et al. 2020, appendix B): short runs learn faster so.
    """
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
    moments = {}
    for i, p in enumerate(parameters):
        optimizer.state[p] = state = {"step": torch.zeros((), device=p.device)}
        state |= {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        moments |= {f"adamw.{i}.{name}": x for name, x in state.items()}
    return optimizer, moments


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the learning rate at `step`: a line up over `warmup` steps, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
