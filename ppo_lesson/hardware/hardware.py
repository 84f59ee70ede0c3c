"""What a trainer asks of the machine it runs on: go forward, go backward, step, share the work, add up.

    for row in rlhf(config, models, prompts, tokenizer=tokenizer, hardware=Hardware(choose("auto"), start())):

`CPU`, the default of every trainer, is this CPU alone: it computes in float32, and hands every number back as it came.
What else there is, number formats, a loss scale, a CUDA graph, other processes, stays behind these few words.
"""

import math
from collections.abc import Callable, Iterable
from typing import Self

import torch
from torch import Tensor, nn

from .decode import decoder
from .processes import ALONE, Processes
from .profile import Profile


class Hardware:
    """One machine, or this process's part of several. A run takes its own with `fresh`: a loss scale is learned.

    profile: what is computed in, and how much at a time; see `profile.choose`. processes: see `processes.start`.
    """

    def __init__(self, profile: Profile | None = None, processes: Processes = ALONE):
        self.profile, self.processes = Profile() if profile is None else profile, processes
        self.together = processes.size > 1  # alone, no method below calls one of `processes`
        self.micro_tokens = self.profile.micro_tokens  # in memory at a time; None: a configuration says how many rows
        self.scales_losses = self.profile.loss_scaling
        self.scaler, self.scale = None, {}
        if self.scales_losses:
            self.scaler = self.profile.scaler()
            self.scale = {"scaler.scale": torch.tensor(float(self.scaler.get_scale()))}
            self.scale["scaler.growth"] = torch.zeros((), dtype=torch.int32)
        self.fits = False  # whether the scaler knows what stands in self.scale

    def fresh(self) -> Self:
        """The same machine for another run."""
        return Hardware(self.profile, self.processes)

    def training(self, models: Iterable[nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> None:
        """Ready for a step, no gradient left. Eval mode would do, but for gradient checkpointing: that is off there."""
        for model in models:
            model.train(self.profile.gradient_checkpointing)
        for optimizer in optimizers.values():
            optimizer.zero_grad()

    def sampling(self, models: Iterable[nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> None:
        """Ready for the next rollout, which needs the memory of the gradients."""
        for model in models:
            model.eval()
        for optimizer in optimizers.values():
            optimizer.zero_grad()

    def forward(self):
        """The context of every forward pass; float32 weights meet half matrices here, and nowhere else."""
        return self.profile.autocast()

    def backward(self, loss: Tensor) -> None:
        """loss.backward(), multiplied so that float16 gradients are not rounded to 0."""
        if self.scaler is None:
            loss.backward()
            return
        if not self.fits:  # the first loss of a run, or of one that goes on
            scale = {"scale": self.scale["scaler.scale"].item(), "_growth_tracker": self.scale["scaler.growth"].item()}
            self.scaler.load_state_dict(self.scaler.state_dict() | scale)
            self.fits = True
        self.scaler.scale(loss).backward()

    def clip(self, optimizers: dict[str, torch.optim.Optimizer], max_norm: float) -> dict[str, float]:
        """Whole gradients, of all processes, no longer than max_norm each. Returns their norms before that."""
        norms = {}
        for name, optimizer in optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            if self.together:
                self.processes.total_gradients(parameters)
            if self.scaler is not None:
                self.scaler.unscale_(optimizer)
            norms[name] = torch.nn.utils.clip_grad_norm_(parameters, max_norm).item()
        return norms

    def overflowed(self, numbers: Iterable[float]) -> bool:
        """Whether float16 could not hold this step: then `step` leaves it out, and losses are scaled less."""
        return self.scaler is not None and self.scaler.get_scale() > 1 and not all(map(math.isfinite, numbers))

    def step(self, optimizers: dict[str, torch.optim.Optimizer]) -> None:
        """All optimizers step, but for those whose float16 gradients are not finite."""
        for optimizer in optimizers.values():
            optimizer.step() if self.scaler is None else self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()
            self.scale["scaler.scale"].fill_(self.scaler.get_scale())
            self.scale["scaler.growth"].fill_(self.scaler.state_dict()["_growth_tracker"])

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of this machine, as tensors that change in place: nothing, or the loss scale."""
        return self.scale

    def join(self, config, run, parameters: list[Tensor]) -> None:
        """Before the first iteration: the same weights everywhere; the first process alone writes `run`'s file.

        ValueError for a `config` that so many cannot share, or if one process found an older checkpoint.
        """
        if self.together:
            self.processes.check(config)
            self.processes.agree(len(run.rows), run.path)
            run.path = run.path if self.processes.first else None  # the others have read it
            self.processes.same(parameters)

    def sampler(self, actor, prompts) -> Callable:
        """What replies come from: `generate`, or on a GPU what does the same from a CUDA graph."""
        return decoder(actor, prompts, self.profile)

    def part(self, count: int) -> slice:
        """The rows of a rollout of `count` that this process samples."""
        return self.processes.part(count) if self.together else slice(0, count)

    def gather(self, own, count: int):
        """All rows of a rollout from every process's `part`: a tensor (count, ...), a list, or None."""
        return self.processes.join(own, count) if self.together else own

    def share(self, rows: Tensor) -> Tensor:
        """This process's share of a mini-batch's `rows`; if they stand in order of length, all have as much to do."""
        return self.processes.deal(rows) if self.together else rows

    def total(self, facts: dict[str, float], where: torch.device) -> dict[str, float]:
        """Each number summed over all processes, which have the same names in the same order."""
        if not self.together:
            return facts
        numbers = torch.tensor([*facts.values()], device=where, dtype=torch.float64)
        return dict(zip(facts, self.processes.total(numbers).tolist()))

    def largest(self, x: float, where: torch.device) -> float:
        """The largest of all processes' numbers."""
        return self.processes.largest(x, where) if self.together else x


CPU = Hardware()
