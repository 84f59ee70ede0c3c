"""PPO with four models: actor, critic, frozen reference, frozen reward (Ziegler et al. 2019; Ouyang et al. 2022).

    models = Models(actor, critic, reference, reward)
    for row in rlhf(RLHFConfig(iterations=60), models, prompts, tokenizer=tokenizer):
        print(row["score"], row["kl_ref"])

The losses are those that trained the robots: `gae`, `clipped_surrogate`, `value_loss`, `whiten`, `aggregate`. The same
function runs on a laptop, on a GPU (`hardware`) and in several processes (`hardware.processes`). Left out:
replies that other machines sample meanwhile.
"""

import math
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .. import checkpoint
from ..diagnose import report
from ..hardware.hardware import CPU
from ..kl import ZieglerKL, estimate, estimate_off_policy
from ..loop import still_held
from ..objectives import aggregate, explained_variance, truncated_weight, value_loss
from ..validate import number, refusal, require
from .advantages import advantages_of, varied_groups
from .checks import encode, own_controller
from .family import policy_objective
from .microbatch import by_length, micro_batches
from .models import Models, checksum, device
from .optim import adamw
from .rollout import ReplyRollout, roll_out, scores_of
from .sampling import token_logps, token_values
from .settings import RLHFConfig
from .text import document_ids, end_ids, habits

NORMS = {"actor": "grad_norm", "critic": "critic_grad_norm"}
PTX_WIDTH = 64  # tokens in a row of plain text, for PPO-ptx
ASKED = 32  # replies that a checkpoint holds


def rlhf(
    config: RLHFConfig, models: Models, prompts: Sequence[str], *, tokenizer, documents=(), hardware=CPU, resume=None
) -> Iterator[dict]:
    """PPO on replies to `prompts`; actor and critic learn, reference and reward never do.

    models: see `Models`. documents: plain texts for PPO-ptx. hardware: see there; `roles` of `hardware.profile` makes
    models for it, and of several processes all get the same rows. resume: a file; the run saves itself there every
    `checkpoint_every` iterations (without a file nothing is saved) and goes on from it, bit by bit the same on a CPU.
    Refused: other settings, tokens, prompts, documents, reference, reward model, or a reward of other scores.
    Rows: score, score_std, distinct (0: different prompts got one text, 1: each its own), kl_ref (nats a reply),
    length, ended, kept (by dynamic sampling: the share that is learnt from), beta, kl_loss (its coefficient), entropy
    (nats a token; with entropy_coef=0 -log pi of sampled tokens: on average pi_old's + approx_kl), approx_kl,
    clip_fraction, policy_loss, value_loss, explained_variance, ratio_error, grad_norm, lr, ptx_loss, seconds; replies:
    (prompt, reply, score, ended) of each, not saved; of an update without a step no more than is defined.
    FloatingPointError if something is not finite.
    """
    actor, critic, *_ = models
    controller = own_controller(config, models, prompts, documents)
    encoded = encode(config, models, prompts, tokenizer)
    hardware = hardware.fresh()
    stream = torch.tensor([i for text in documents for i in document_ids(tokenizer, text)])
    require(not config.ptx_coef or len(stream) > PTX_WIDTH, ValueError, "texts", "documents", len(stream), PTX_WIDTH)
    learners = {"actor": actor} | ({} if critic is None else {"critic": critic})
    rates, optimizers, tensors = {"actor": config.lr, "critic": config.critic_lr}, {}, {}
    for name, model in learners.items():
        model.kind = name  # a critic may have begun as a reward model
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizers[name], moments = adamw(parameters, rates[name], weight_decay=0.0)
        tensors |= {f"{name}.{key}": x for key, x in moments.items()}
    settings = {name: repr(x) for name, x in vars(config).items()}
    for name, texts in ({"prompts": encoded, "documents": stream.tolist()} | habits(tokenizer)).items():
        settings[name] = f"{len(texts)} with checksum {zlib.crc32(repr(texts).encode())}"
    for name, model in models._asdict().items():
        if resume is not None and isinstance(model, torch.nn.Module):  # of those that learn, what does not
            settings[name] = f"a model with checksum {checksum(model, frozen=name in learners)}"
    settings["ends of a reply"] = f"{end_ids(tokenizer, actor)}"
    rhythm = {"count": config.iterations, "every": config.checkpoint_every}
    run = checkpoint.Run(resume, settings, learners, tensors | hardware.state(), controller, **rhythm)
    hardware.join(config, run, [p for model in learners.values() for p in model.parameters() if p.requires_grad])
    _same_reward(models.reward, tokenizer, run, config)
    decode = hardware.sampler(actor, encoded)
    yield from map(dict, run.rows)
    for iteration in run.iterations():
        start, rollout = time.perf_counter(), None
        generator = torch.Generator().manual_seed(checkpoint.fresh_seed(config.seed, iteration))
        chosen = torch.randint(len(encoded), (config.batch // config.replies,), generator=generator)
        chosen = chosen.repeat_interleave(config.replies)  # (B,): which prompt each reply answers
        beta = 0.0 if controller is None else number("beta", controller.beta, 0.0)  # it may have been changed
        for name, model in learners.items():
            still_held(f"the {name}", model, optimizers[name])
        try:
            asked = [encoded[i] for i in chosen]
            rollout = roll_out(models, tokenizer, asked, config, generator, hardware=hardware, decode=decode)
            groups, learned = chosen.to(rollout.scores.device), rollout
            advantages, returns = advantages_of(rollout, config, beta, groups)  # (B, T) both
            if config.dynamic_sampling:  # after that, for it may leave no group at all
                kept = varied_groups(rollout.scores, groups)  # (B,) bool
                advantages, learned = advantages[kept], rollout.only(kept)
            if run.due(iteration):
                run.save()  # models that have just shown that they work
            left = 1 - iteration / config.iterations if config.anneal else 1.0
            scale = left * min(1.0, (iteration + 1) / max(1, config.warmup))  # of both learning rates
            for name, optimizer in optimizers.items():
                optimizer.param_groups[0]["lr"] = rates[name] * scale
            row = {"iteration": iteration, "lr": config.lr * scale, "beta": beta, "kl_loss": config.kl_loss}
            row |= _facts(rollout) | ({"kept": len(advantages) / config.batch} if config.dynamic_sampling else {})
            waits = iteration < config.critic_warmup  # the actor does: there are no weights for it, and no step
            weights, steps = (None, {"critic": optimizers["critic"]}) if waits else (advantages, optimizers)
            row |= update(models, steps, learned, weights, returns, config, generator, stream, hardware=hardware)
            sums = {name: sum(p.detach().sum() for p in model.parameters()).item() for name, model in learners.items()}
            _stop_if_diverged({f"a weight of the {name}": x for name, x in sums.items()}, config)
        except Exception as error:
            if rollout is None and run.rows and not isinstance(error, FloatingPointError):
                run.save()  # the reward function failed, say; the models are what they were after the last iteration
            error.add_note(f"in iteration {iteration}. {run.what_is_safe()}")
            if run.rows and (rollout is not None or isinstance(error, FloatingPointError)):
                found = report(run.rows, eps=max(config.eps, config.eps_high or 0))
                error.add_note(f"What the {len(run.rows)} rows before it show: {found}")
            raise
        if isinstance(controller, ZieglerKL):  # after its beta was used
            controller.update(kl_to_reference=row["kl_ref"], n=config.batch)
        row["seconds"] = time.perf_counter() - start
        replies = list(zip(rollout.prompts, rollout.texts, rollout.scores.tolist(), rollout.ended.tolist()))
        run.beside["replies"] = replies[:ASKED]  # for the reward function of those who go on
        yield from run.add(row, {"replies": replies})


def update(
    models, optimizers, rollout: ReplyRollout, advantages, returns, config, generator, stream=None, *, hardware=CPU
) -> dict:
    """Several epochs of mini-batches of micro-batches over one rollout. Returns diagnostics, means over the steps.

    optimizers: "actor" and "critic" -> an optimizer. advantages, returns: (B, T); without advantages the critic learns
    alone. stream: ids of plain text, for PPO-ptx. With float16 a step whose gradients are not finite is left out
    (`skipped` counts them).
    """
    actor, critic, *_ = models
    learners = [actor] if critic is None else [actor, critic]
    rows, errors, skipped = [], [], 0
    orders = [torch.randperm(len(rollout.mask), generator=generator) for _ in range(config.epochs)]
    parts = [index for order in orders for index in order.tensor_split(config.minibatches)]  # each reply once an epoch
    for index in filter(len, parts):  # (n,) rows of the rollout; dynamic sampling may have left few
        hardware.training(learners, optimizers)
        row, error = _gradients(actor, critic, rollout, advantages, returns, index, config, hardware)
        errors.append(error)
        if config.target_kl is not None and row.get("approx_kl", 0.0) > 1.5 * config.target_kl:
            break  # before the step, so that a policy that went too far does not go further
        if config.ptx_coef and advantages is not None:
            row["ptx_loss"] = _ptx(actor, stream, config, generator, hardware)
        row |= {NORMS[name]: x for name, x in hardware.clip(optimizers, config.max_grad_norm).items()}
        if hardware.overflowed(row.values()):
            skipped += 1
        else:
            _stop_if_diverged(row, config)  # before the weights are harmed
            rows.append(row)
        hardware.step(optimizers)
    hardware.sampling(learners, optimizers)
    means = {name: sum(row[name] for row in rows) / len(rows) for name in (rows[0] if rows else ())}
    if returns is not None:
        means["explained_variance"] = explained_variance(rollout.values, returns, rollout.mask).item()
    means |= {"skipped": skipped} if hardware.scales_losses else {}
    if errors and advantages is not None:  # in the first mini-batch both policies are still the same
        means["ratio_error"] = hardware.largest(errors[0], rollout.mask.device)
    return means


def _gradients(actor, critic, rollout: ReplyRollout, advantages, returns, index, config, hardware) -> tuple:
    """Of one mini-batch's losses, micro-batch by micro-batch. Returns their facts and this process's |ratio - 1|."""
    tokens = int(rollout.mask[index].sum())  # denominators are known before anything is split
    mine = hardware.share(by_length(rollout.attention_mask, index))  # all of them, unless there are other processes
    columns = rollout.ids, rollout.attention_mask, rollout.mask  # (B, P + T), (B, P + T), (B, T)
    row, errors = {}, []
    for batch in micro_batches(*columns, mine, config.micro_batch, tokens=hardware.micro_tokens):
        facts: dict[str, float] = {}
        if advantages is not None:
            with hardware.forward():
                loss, facts, off = actor_loss(actor, rollout, advantages, batch, tokens, len(index), config)
            hardware.backward(loss)  # before the critic's forward, which may share the trunk
            errors.append(off)
        if critic is not None:
            with hardware.forward():
                loss = critic_loss(critic, rollout, returns, batch, tokens, config)
            hardware.backward(loss)  # gradients of all micro-batches add up to the mini-batch's
            facts["value_loss"] = loss.item()
        row = {name: row.get(name, 0.0) + x for name, x in facts.items()}
    return hardware.total(row, rollout.mask.device), max(errors, default=0.0)


def actor_loss(actor, rollout: ReplyRollout, advantages, micro_batch: tuple, tokens: int, replies: int, config):
    """-objective - entropy_coef * entropy + kl_loss * k: this micro-batch's part of the mini-batch's loss.

    micro_batch: see `micro_batches`. tokens, replies: of the whole mini-batch, so that its size changes no
    gradient. Returns the loss, its facts (they sum to means over the mini-batch), and the largest |ratio - 1|.
    """
    which, ids, attention, T = micro_batch  # (n,), (n, L), (n, L); all below are (n, T)
    mask = rollout.mask[which, :T]
    old, ref, weights = (x[which, :T].where(mask, 0) for x in (rollout.logp, rollout.logp_ref, advantages))
    with_entropy = bool(config.entropy_coef)  # it costs as much as the log-probabilities
    logp = token_logps(actor, ids, attention, T, temperature=config.temperature, with_entropy=with_entropy)
    logp, entropies = logp if with_entropy else (logp, None)
    objective, clipped = policy_objective(logp, old, weights, mask, config)
    if config.tis_cap is not None:
        objective = objective * truncated_weight(old, rollout.logp_sampler[which, :T].where(mask, 0), config.tis_cap)
    per_token = -objective
    if config.entropy_coef:
        per_token = per_token - config.entropy_coef * entropies
    if config.kl_loss:
        kind = config.kl_loss_kind
        k = estimate_off_policy(logp, old, ref, kind) if config.kl_loss_ratio else estimate(logp, ref, kind)
        per_token = per_token + config.kl_loss * k
    count = tokens if config.aggregate == "token-mean" else replies
    loss = aggregate(per_token, mask, config.aggregate, denominator=count)

    def mean(x):  # this micro-batch's part of it, as of the loss
        return aggregate(x.detach(), mask, denominator=tokens).item()

    facts = {"policy_loss": loss.item(), "entropy": mean(-logp if entropies is None else entropies)}
    facts["approx_kl"] = mean(estimate(old, logp.detach(), "k3"))
    facts["clip_fraction"] = clipped.item() * int(mask.sum()) / tokens
    return loss, facts, ((logp.detach() - old).exp() - 1).abs().max().item()


def critic_loss(critic, rollout: ReplyRollout, returns, micro_batch: tuple, tokens: int, config: RLHFConfig) -> Tensor:
    """value_loss of this micro-batch: its part of the mini-batch's mean over tokens. See `actor_loss`."""
    which, ids, attention, T = micro_batch
    mask = rollout.mask[which, :T]
    values = token_values(critic, ids, attention, T).where(mask, 0)
    old, returns = (x[which, :T].where(mask, 0) for x in (rollout.values, returns))
    clip = {} if config.value_clip is None else {"values_old": old, "clip": config.value_clip}
    return aggregate(value_loss(values, returns, **clip), mask, denominator=tokens)


def _ptx(actor, stream: Tensor, config, generator, hardware) -> float:
    """PPO-ptx (Ouyang et al. 2022, sec. 3.5): ptx_coef times the loss on plain text joins the gradient. Returns it."""
    starts = hardware.share(torch.randint(len(stream) - PTX_WIDTH, (config.ptx_batch,), generator=generator))
    ids = stream[starts[:, None] + torch.arange(PTX_WIDTH)].to(device(actor))  # (n, PTX_WIDTH)
    with hardware.forward():
        logp = token_logps(actor, ids, torch.ones_like(ids, dtype=torch.bool), PTX_WIDTH - 1)
    loss = -aggregate(logp, denominator=config.ptx_batch * (PTX_WIDTH - 1))
    hardware.backward(config.ptx_coef * loss)
    return hardware.total({"loss": loss.item()}, ids.device)["loss"]


def _same_reward(reward, tokenizer, run: checkpoint.Run, config: RLHFConfig) -> None:
    """ValueError if a reward function gives the checkpoint's replies other scores; a model has a checksum instead."""
    replies = [] if isinstance(reward, torch.nn.Module) else run.beside.get("replies", [])
    if not replies:
        return
    prompts, texts, scores, ended = zip(*replies)
    asked = reward, tokenizer, prompts, texts, torch.tensor(ended), config
    now = scores_of(*asked).tolist()
    others = [i for i, was in enumerate(scores) if now[i] != was]
    if others and scores_of(*asked).tolist() != now:
        warnings.warn(refusal("model", "fickle reward"), stacklevel=3)
    elif others:
        i = others[0]
        told = texts[i], prompts[i], scores[i], now[i], len(others), len(now)
        raise ValueError(refusal("model", "another reward", run.path, *told))


def _facts(rollout: ReplyRollout) -> dict[str, float]:
    """What the rollout alone tells."""
    facts = {"score": rollout.scores.mean().item(), "kl_ref": rollout.kl_ref.mean().item()}
    facts |= {"length": rollout.mask.sum(-1).float().mean().item(), "ended": rollout.ended.float().mean().item()}
    if len(rollout.scores) > 1:
        facts["score_std"] = rollout.scores.double().std().item()  # exactly 0 where all are alike
    if (asked := len(set(rollout.prompts))) > 1:
        facts["distinct"] = min(1.0, (len(set(rollout.texts)) - 1) / (asked - 1))
    return facts


def _stop_if_diverged(row: dict, config: RLHFConfig) -> None:
    for name, x in row.items():
        require(math.isfinite(x), FloatingPointError, "model", "diverged", name, x, config.lr, config.critic_lr)
