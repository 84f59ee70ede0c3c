"""Several processes train one model: each samples and differentiates its part of a batch, and all take the same step.

    torchrun --nproc_per_node 2 -m ppo_lesson rlhf ...      (or: accelerate launch -m ppo_lesson rlhf ...)
    team = start(); rlhf(..., hardware=Hardware(choose("auto"), team)); team.end()

Everything random is drawn for the whole batch by every process, from one seed, and each keeps its rows; denominators
are those of the whole batch, and gradients are summed. So the number of processes changes no update. Each holds all
models. Left out: models that one GPU cannot hold, and several machines; both are work for verl, by `export`.
"""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from ..validate import refusal, refusing, require


@dataclass(frozen=True)
class Processes:
    """This process is number `rank` of `size`. device: where its tensors belong. Alone, nobody asks it to add up."""

    rank: int = 0
    size: int = 1
    device: str | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def check(self, config) -> None:
        """ValueError if a mini-batch has fewer replies than there are processes, or PPO-ptx fewer texts."""
        minibatches = getattr(config, "minibatches", 1)  # a supervised step has all of its batch
        if (step := config.batch // minibatches) < self.size:
            raise ValueError(refusal("processes", "too many", self.size, step, config.batch, minibatches))
        if getattr(config, "ptx_coef", 0) and config.ptx_batch < self.size:
            raise ValueError(f"{self.size} processes share ptx_batch={config.ptx_batch} texts: start fewer or raise it")

    def agree(self, done: int, path) -> None:
        """ValueError if this process found an older checkpoint than another one."""
        if (most := int(self.largest(done, self.device))) != done:
            raise ValueError(refusal("processes", "two folders", self.rank, done, path, most))

    def part(self, count: int) -> slice:
        """The rows of a batch of `count` that this process samples: sizes differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def deal(self, rows: Tensor) -> Tensor:
        """Every size-th of `rows`; if these stand in order of length, all processes get as much to do."""
        return rows[self.rank :: self.size]

    def total(self, x: Tensor) -> Tensor:
        """The sum of x over all processes, in place."""
        distributed.all_reduce(x)
        return x

    def largest(self, x: float, device=None) -> float:
        """The largest of all processes' numbers."""
        x = torch.tensor(x, device=device, dtype=torch.float64)
        distributed.all_reduce(x, distributed.ReduceOp.MAX)
        return x.item()

    def join(self, own, count: int):
        """The whole batch from every process's `part` of it: a tensor (count, ...), a list, or None."""
        if own is None:
            return None
        if isinstance(own, list):
            parts = [None] * self.size
            distributed.all_gather_object(parts, own)
            return [x for part in parts for x in part]
        flag = own.dtype == torch.bool
        whole = torch.zeros(count, *own.shape[1:], dtype=torch.uint8 if flag else own.dtype, device=own.device)
        whole[self.part(count)] = own
        return self.total(whole).bool() if flag else self.total(whole)

    def total_gradients(self, parameters: list) -> None:
        """Sum every parameter's gradient over all processes; one that got none here counts as zeros."""
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        for work in [distributed.all_reduce(p.grad, async_op=True) for p in parameters]:  # all are on their way at once
            work.wait()

    def end(self) -> None:
        """Leave the group together, as the last thing that all do.

        Gloo's threads hold tensors: who ends while they still give these back to Python aborts now and then.
        """
        if self.size > 1:
            distributed.barrier()
            distributed.destroy_process_group()

    def same(self, tensors: list) -> None:
        """Give all processes the first one's tensors, so that random weights start out equal."""
        for x in tensors:
            distributed.broadcast(x.data, 0)


ALONE = Processes()


def start() -> Processes:
    """The processes that `torchrun` or `accelerate launch` started, joined by accelerate; ALONE without these."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ALONE
    with refusing(ImportError, ModuleNotFoundError, "processes", "no accelerate"):
        from accelerate import PartialState
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        require(os.environ.get(name, "").lower() not in ("true", "1"), ValueError, "processes", "one model", name)
    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, str(state.device))
