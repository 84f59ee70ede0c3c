"""Supervised training of a language model: fine-tuning on demonstrations (SFT), and the loop that others share.

SFT minimises the mean of -log p(token) over the tokens of replies; a generator yields one dict a step. `resume` names a
file, as in `ppo`; `hardware`: see there, and `roles` of its `profile` makes the model for it. Left out: dropout, which
a later ratio of probabilities would not forgive.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .. import checkpoint, validate
from ..hardware.hardware import CPU, Hardware
from ..loop import still_held
from ..objectives import aggregate
from .checks import check_lengths
from .data import Pair
from .microbatch import split
from .models import checksum, device
from .optim import adamw, schedule
from .sampling import full_mask, token_logps
from .text import pad_left, pad_right, pair_ids


@validate.helpful
@dataclass(frozen=True)
class SupervisedConfig:
    """`steps` AdamW steps on `batch` examples each.

    warmup: steps over which the learning rate rises to lr; then it falls as half a cosine.
    checkpoint_every: steps between two saves to the file of `resume`, without which nothing is saved. micro_batch:
    examples in memory at a time, None for all; changes no gradient, and on a GPU profile.micro_tokens take its place.
    """

    steps: int = 350
    batch: int = 48
    lr: float = 1e-3
    warmup: int = 20
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    checkpoint_every: int | None = None
    micro_batch: int | None = None


SFT = SupervisedConfig(steps=350, batch=48, lr=4e-3)


def sft(
    model, tokenizer, pairs: list[Pair], config=SFT, *, seed: int, resume=None, hardware: Hardware = CPU
) -> Iterator[dict]:
    """Supervised fine-tuning on demonstrations: the mean over all reply tokens, EOS included, prompts not counted.

    Rows: step, loss (nats per reply token), lr, grad_norm, tokens.
    """
    examples = [pair_ids(tokenizer, pair.prompt, pair.reply) for pair in pairs]
    check_lengths([pair.prompt for pair in pairs], [len(x) + len(y) for x, y in examples], {"model": model})

    def batch_loss(index: Tensor, tokens: int):
        some = zip(*(examples[i] for i in index.tolist()))
        ids, mask, reply_mask = (x.to(device(model)) for x in rows_of(*some, tokenizer.pad_token_id))
        logp = token_logps(model, ids, mask, reply_mask.shape[-1])
        return -aggregate(logp, reply_mask, denominator=tokens), {"tokens": int(reply_mask.sum())}

    sizes = [(len(reply), len(prompt) + len(reply)) for prompt, reply in examples]
    yield from train_steps(model, batch_loss, examples, sizes, config, seed, resume, hardware)


def rows_of(prompts, replies, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lists of ids -> ids (B, P + T), attention mask (B, P + T), reply mask (B, T): replies begin in one column."""
    left, left_mask = pad_left(prompts, pad_id)
    right, right_mask = pad_right(replies, pad_id)
    return torch.cat([left, right], -1), full_mask(left_mask, right_mask), right_mask


def train_steps(
    model, batch_loss, examples: list, sizes: list, config, seed: int, resume, hardware: Hardware = CPU
) -> Iterator[dict]:
    """AdamW on the sum of batch_loss(index, count) -> (loss, facts) over micro-batches of shuffled `examples`.

    sizes: of each example, how many terms the loss has of it, and tokens in memory. count: terms of the whole batch,
    over which every micro-batch divides its sum, so that their gradients, and facts, add up to the batch's.
    FloatingPointError, before the model is harmed, if a loss or a gradient is not finite. With float16 a step whose
    gradients alone are not is left out (`skipped` is 1, and there is no grad_norm), and losses are scaled less.
    """
    validate.integer("seed", seed, 0)
    validate.require(config.batch <= len(examples), ValueError, "model", "few examples", config.batch, len(examples))
    validate.require(config.lr > 0, ValueError, "model", "no step")
    validate.require(resume is None or config.checkpoint_every is not None, ValueError, "model", "no rhythm")
    parameters = [p for p in model.parameters() if p.requires_grad]
    terms, lengths = torch.tensor(sizes).T  # (n,) each
    optimizer, moments = adamw(parameters, config.lr, config.weight_decay)
    optimizers = {"model": optimizer}
    settings = {"seed": repr(seed), "examples": f"{len(examples)} with checksum {zlib.crc32(repr(examples).encode())}"}
    settings |= {f.name: repr(getattr(config, f.name)) for f in fields(config)}
    settings["weights that do not learn"] = resume and f"checksum {checksum(model, frozen=True)}"
    hardware = hardware.fresh()
    rhythm = {"count": config.steps, "every": config.checkpoint_every}
    run = checkpoint.Run(resume, settings, {"model": model}, moments | hardware.state(), **rhythm)
    hardware.join(config, run, parameters)
    yield from map(dict, run.rows)
    for step in run.iterations():
        still_held("the model", model, optimizer)
        optimizer.param_groups[0]["lr"] = lr = config.lr * schedule(step, config.steps, config.warmup)
        hardware.training([model], optimizers)
        index, sums = _shuffled(len(examples), config.batch, step, seed), {}
        count = int(terms[index].sum())  # known before anything is split
        for some in _micro_batches(index, lengths, config.micro_batch, hardware):
            with hardware.forward():
                loss, facts = batch_loss(some, count)
            hardware.backward(loss)
            sums = {name: sums.get(name, 0) + x for name, x in ({"loss": loss.item()} | facts).items()}
        model.eval()
        facts = hardware.total(sums, device(model))
        norm = hardware.clip(optimizers, config.max_grad_norm)["model"]
        too_large = hardware.overflowed([norm])
        row = {"step": step, "loss": facts.pop("loss"), "lr": lr} | ({} if too_large else {"grad_norm": norm}) | facts
        row |= {"skipped": int(too_large)} if hardware.scales_losses else {}
        for name in ("loss", "grad_norm"):
            told = step, name, row.get(name, 0.0), config.lr, run.what_is_safe()
            validate.require(math.isfinite(told[2]), FloatingPointError, "model", "step diverged", *told)
        if run.due(step):
            run.save()  # weights that have just given a finite loss
        hardware.step(optimizers)
        yield from run.add(row)


def _micro_batches(index: Tensor, lengths: Tensor, rows: int | None, hardware: Hardware) -> Sequence[Tensor]:
    """This process's share of a batch in micro-batches; all of it, as it stands, where nothing asks for several."""
    if rows is None and hardware.micro_tokens is None and not hardware.together:
        return [index]
    mine = hardware.share(index[lengths[index].argsort(stable=True)])
    return split(lengths, mine, rows or len(mine), hardware.micro_tokens)


def _shuffled(count: int, batch: int, step: int, seed: int) -> Tensor:
    """The examples of one step; every pass over the data has its own order, known from (seed, pass) alone."""
    turn, place = divmod(step, count // batch)
    generator = torch.Generator().manual_seed(checkpoint.fresh_seed(seed, turn))
    return torch.randperm(count, generator=generator)[place * batch : (place + 1) * batch]
