"""Adam (Kingma and Ba 2015) for many trainings at once: each seed has its own step count and can stand still alone.

All parameters live in one long vector per seed, so that a step, a gradient norm and a clip are a handful of operations
however many layers there are. torch.optim.Adam keeps one step count for a whole tensor, so no seed could stop alone.
"""

import torch
from torch import Tensor, nn

from .validate import at_least_float32, require


class Adam:
    """groups: pairs (parameters, learning rate); seeds: the leading axes that all parameters share.

    The parameters become views of `self.flat`, (*seeds, P), float32 at least, or keep their memory where they are of
    another dtype, in which small steps would be rounded away; `self.grad` is as long. RuntimeError in `backward` and
    `check` if one lies elsewhere since, for then no step would reach it. `release` gives each its own memory.
    """

    def __init__(self, groups, *, seeds: tuple[int, ...] = (), betas=(0.9, 0.999), eps: float = 1e-5):
        groups = [([p for p in parameters if p.requires_grad], lr) for parameters, lr in groups]
        self.parameters = parameters = [p for ps, _ in groups for p in ps]
        require(len(set(parameters)) == len(parameters), ValueError, "network", "shared")
        self.seeds, self.betas, self.eps = seeds, betas, eps
        self.flat = torch.cat([at_least_float32(p.detach()).reshape(*seeds, -1) for p in parameters], -1)
        self.grad, self.mean, self.square = (torch.zeros_like(self.flat) for _ in range(3))
        self.steps = torch.zeros(*seeds, 1, dtype=torch.float64)
        sizes = [p.numel() // max(1, torch.Size(seeds).numel()) for p in parameters]
        rates = [lr for ps, lr in groups for _ in ps]
        self.lr = torch.cat([torch.full((n,), float(lr), dtype=self.flat.dtype) for n, lr in zip(sizes, rates)])
        self.others = []  # of another dtype: a float32 network beside a float64 table stays what it is
        for p, value in zip(parameters, self.flat.split(sizes, -1)):
            if p.dtype == self.flat.dtype:
                p.data = value.view(p.shape)
            else:
                self.others.append((p, value.view(p.shape)))
        self.places = [p.data_ptr() for p in parameters]

    def check(self, modules: dict) -> None:
        """RuntimeError unless the parameters that these modules learn with, and no others, are still held here."""
        held = {id(p): place for p, place in zip(self.parameters, self.places)}
        for name, p in nn.ModuleDict(modules).named_parameters():
            place = p.data_ptr() if p.requires_grad else None
            require(held.get(id(p)) == place, RuntimeError, "network", "moved", name)

    def release(self) -> None:
        """Give every parameter that is still held its own memory again, so that it can be saved without the others."""
        for p, place in zip(self.parameters, self.places):
            if p.data_ptr() == place:
                p.data = p.data.clone()

    def backward(self, loss: Tensor, *, keep_graph: bool = False) -> None:
        """The gradient of `loss`, one number that sums the seeds' losses, into `self.grad`."""
        for i, (p, place) in enumerate(zip(self.parameters, self.places)):
            require(p.data_ptr() == place, RuntimeError, "network", "moved", f"parameter {i} of shape {tuple(p.shape)}")
        gradients = torch.autograd.grad(loss, self.parameters, retain_graph=keep_graph, materialize_grads=True)
        self.grad = torch.cat([g.reshape(*self.seeds, -1) for g in gradients], -1).to(self.flat)

    def clip(self, max_norm: float | None) -> Tensor:
        """Shorten each seed's gradient to at most max_norm. Returns the norms before that, one a seed."""
        norm = self.grad.norm(dim=-1, keepdim=True)
        if max_norm is not None:
            self.grad.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm[..., 0]

    def step(self, *, factor: float = 1.0, active: Tensor | None = None) -> None:
        """One step with `factor` times the learning rates; seeds that are not `active` keep parameters and moments."""
        for p, value in self.others:
            value.copy_(torch.where(p.detach() == value.to(p), value, p.detach()))  # it may have been loaded meanwhile
        b1, b2 = self.betas
        on = torch.ones_like(self.steps) if active is None else active[..., None].to(self.steps)  # 0: stands still
        self.steps += on
        t = self.steps.clamp(min=1)
        rate, left = on * factor / (1 - b1**t), 1 - b2**t  # both undo that the moments start at 0
        on, rate, left = on.to(self.flat), rate.to(self.flat), left.to(self.flat)
        self.mean.lerp_(self.grad, on * (1 - b1))
        self.square.lerp_(self.grad.square(), on * (1 - b2))
        self.flat.addcdiv_(self.mean * (rate * self.lr), (self.square / left).sqrt_().add_(self.eps), value=-1)
        for p, value in self.others:
            p.data.copy_(value)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside the parameters; restored by copying into these tensors."""
        state = {"adam.mean": self.mean, "adam.square": self.square, "adam.steps": self.steps}
        return state | ({"adam.flat": self.flat} if self.others else {})
