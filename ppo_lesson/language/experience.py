"""Experience of a language model: replies that it sampled, and what actor, reference, critic and reward think of them.

What `rollout` is to the maze. A reply is an episode, a token an action; all tensors are (B, T) with `mask` true up to
the first EOS, that one included. They are 0 outside the mask, so that nothing which stands there can leak.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .. import validate
from ..returns import gae, whiten
from .models import ScalarModel
from .processes import ALONE, Processes
from .reward import score
from .sampling import full_mask, generate, response_mask, token_logps, token_values
from .scale import CPU, Profile
from .sft import device
from .text import pad_left, reply_text


@dataclass
class Rollout:
    """B replies to B prompts. P: columns of the prompts, T: columns of the replies.

    ids, attention_mask: (B, P + T). mask: (B, T), the reply's real tokens. ended: (B,), an EOS was sampled.
    logp, logp_ref: (B, T), log-probability under the actor that sampled and under the reference. values: (B, T), of the
    state before each token; None without a critic. scores: (B,), of whole replies. texts: (B,) strings.
    """

    ids: Tensor
    attention_mask: Tensor
    mask: Tensor
    ended: Tensor
    logp: Tensor
    logp_ref: Tensor
    values: Tensor | None
    scores: Tensor
    prompts: list[str]
    texts: list[str]

    @property
    def kl_ref(self) -> Tensor:
        """k1 summed over each reply, (B,) nats: an unbiased estimate of KL(actor || reference), can be negative."""
        return (self.logp - self.logp_ref).sum(-1)


def shape_rewards(scores: Tensor, logp: Tensor, logp_ref: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = -beta (log pi(y_t) - log pi_ref(y_t)), and the score on the last real token (Ziegler et al. 2019, eq. 2).

    scores: (B,); logp, logp_ref, mask: (B, T) -> (B, T), 0 outside the mask; no gradient. The sum over a reply is its
    score - beta * k1. ValueError for a beta below 0, or a reply without a real token.

    >>> logp, ref = torch.tensor([[-1.0, -2.0, 9.0]]), torch.tensor([[-1.5, -2.0, 0.0]])
    >>> shape_rewards(torch.tensor([1.0]), logp, ref, torch.tensor([[True, True, False]]), beta=0.1)
    tensor([[-0.0500,  1.0000,  0.0000]])
    """
    validate.same_shape(logp=logp, logp_ref=logp_ref, mask=mask)
    beta = validate.number("beta", beta, 0.0, why="A negative beta would reward distance")
    mask = mask.bool()
    if scores.shape != mask.shape[:1]:
        raise ValueError(f"scores must have one number for each of {mask.shape[0]} replies; got {tuple(scores.shape)}")
    if not bool(mask.any(-1).all()):
        raise ValueError(f"mask: reply {int((~mask.any(-1)).nonzero()[0])} has no real token to put its score on")
    k1 = (logp.detach() - logp_ref.detach()).where(mask, 0)
    places = torch.arange(mask.shape[-1], device=mask.device)
    last = torch.where(mask, places, -1).amax(-1, keepdim=True)
    rewards = (0 - beta * k1).scatter_add(-1, last, scores.detach().to(k1)[:, None])
    validate.finite("scores", scores)
    validate.finite("logp - logp_ref", k1)
    return rewards


def group_advantages(scores: Tensor, group_ids: Tensor, *, scale: bool = True) -> Tensor:
    """GRPO: each score minus the mean of its group, over the group's standard deviation (Shao et al. 2024, sec. 4.1.2).

    scores, group_ids: (B,) -> (B,). Unbiased deviation + 1e-6; a group of one, or of equal scores, gets 0.
    scale=False leaves the division out (Liu et al. 2025, "Dr. GRPO").

    >>> group_advantages(torch.tensor([1.0, 3.0, 5.0, 5.0]), torch.tensor([0, 0, 1, 1]), scale=False)
    tensor([-1.,  1.,  0.,  0.])
    """
    validate.same_shape(scores=scores, group_ids=group_ids)
    validate.finite("scores", scores)
    _, group, size = group_ids.unique(return_inverse=True, return_counts=True)
    mean = torch.zeros(len(size)).to(scores).index_add(0, group, scores) / size
    centred = scores - mean[group]
    if not scale:
        return centred
    variance = torch.zeros(len(size)).to(scores).index_add(0, group, centred.square()) / (size - 1).clamp(min=1)
    return centred / (variance.sqrt()[group] + 1e-6)


def advantages_of(rollout: Rollout, config, beta: float, group_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """(B, T) advantages, by the maze's own `gae` or by groups, and the critic's targets (None without a critic)."""
    if config.advantages == "group":
        weights = group_advantages(rollout.scores - beta * rollout.kl_ref, group_ids, scale=config.scale_groups)
        return weights[:, None].expand(rollout.mask.shape).where(rollout.mask, 0), None
    mask = rollout.mask
    rewards = shape_rewards(rollout.scores, rollout.logp, rollout.logp_ref, mask, beta)
    next_values = torch.cat([rollout.values[:, 1:], rollout.values[:, :1]], -1)
    last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], -1)  # a reply ends where its mask ends
    advantages, returns = gae(
        rewards, rollout.values, next_values, terminated=last, mask=mask, gamma=config.gamma, lam=config.lam
    )
    return (whiten(advantages, mask) if config.whiten_advantages else advantages), returns


@torch.no_grad()
def roll_out(
    actor,
    critic,
    reference,
    reward,
    tokenizer,
    prompts: Sequence[tuple[str, list[int]]],
    config,
    generator,
    *,
    profile: Profile = CPU,
    processes: Processes = ALONE,
    decode: Callable | None = None,
) -> Rollout:
    """Sample one reply to each prompt, and let the four models judge it. prompts: (text, ids) pairs.

    Each process does its part of the prompts, and all get the whole. decode: what does the same as `generate`.
    """
    eos_id, pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    part, count = processes.part(len(prompts)), len(prompts)
    ids, prompt_mask = (x[part].to(device(actor)) for x in pad_left([ids for _, ids in prompts], pad_id))
    uniforms = torch.rand(count, config.max_new_tokens, generator=generator, dtype=torch.float64)[part].to(ids.device)
    prompts = prompts[part]
    with profile.autocast():
        out, sampled = (decode or generate)(
            actor,
            ids,
            prompt_mask,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            eos_id=eos_id,
            pad_id=pad_id,
            uniforms=uniforms,
            return_logps=True,
        )
    mask = response_mask(out[:, ids.shape[1] :], eos_id)
    T = int(processes.largest(mask.sum(-1).max().item(), mask.device))  # columns that nobody reached cost time
    out, mask = out[:, : ids.shape[1] + T], mask[:, :T]
    replies, attention = out[:, ids.shape[1] :], full_mask(prompt_mask, mask)
    ended = ((replies == eos_id) & mask).any(-1)
    texts = [reply_text(tokenizer, row[real]) for row, real in zip(replies.cpu(), mask.cpu())]

    every = torch.arange(len(mask))
    limits = {"tokens": profile.micro_tokens, "processes": processes, "own": True}
    cut = list(pieces(out, attention, mask, every, config.micro_batch, **limits))

    def of_tokens(what) -> Tensor:  # by the forward pass of the updates
        numbers = torch.zeros(mask.shape, device=mask.device)
        for some, *piece, t in cut:
            with profile.autocast():
                numbers[some, :t] = what(*piece, t).where(mask[some, :t], 0)
        return numbers

    def scored(model) -> Tensor:
        return of_tokens(lambda *piece: token_logps(model, *piece, temperature=config.temperature))

    own = Rollout(
        ids=out,
        attention_mask=attention,
        mask=mask,
        ended=ended,
        logp_ref=scored(reference),
        logp=scored(actor) if config.rescore else sampled[:, :T].where(mask, 0),
        values=None if critic is None else of_tokens(lambda *piece: token_values(critic, *piece)),
        scores=_scores(reward, tokenizer, prompts, texts, ended, config, profile),
        prompts=[text for text, _ in prompts],
        texts=texts,
    )
    return Rollout(**{f.name: processes.join(getattr(own, f.name), count) for f in fields(own)})


def pieces(
    ids: Tensor,
    attention: Tensor,
    mask: Tensor,
    index: Tensor,
    rows: int,
    *,
    tokens: int | None = None,
    processes: Processes = ALONE,
    own: bool = False,
) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
    """Replies of those in `index`, a few at a time, of like length together, without columns that none of them has.

    rows: how many at a time, on average: so many pieces, all of about as many tokens. tokens: instead of `rows`, as
    many as make at most this many tokens, prompts and padding included. Each process gets its share; own: `index` is
    its share already. Yields (which, ids, attention_mask, T): a micro-batch as `token_logps` wants it, T columns of it
    replies.
    """
    P, lengths = ids.shape[1] - mask.shape[1], attention.sum(-1).cpu()
    order = index[lengths[index].argsort(stable=True)]
    order = order if own else processes.deal(order)
    sizes = _filled(lengths[order], _evenly(lengths[order], rows) if tokens is None else tokens)
    for some in order.split(sizes):
        T, start = int(mask[some].sum(-1).max()), P - int(attention[some, :P].sum(-1).max())
        yield some, ids[some, start : P + T], attention[some, start : P + T], T


def _filled(lengths: Tensor, tokens: int) -> list[int]:
    """How many texts of these lengths, in this order, go together without making more than `tokens` with padding.

    >>> _filled(torch.tensor([3, 4, 4, 6, 9, 7]), 12)
    [3, 1, 1, 1]
    """
    sizes, longest = [], 0
    for length in lengths.tolist():
        longest = max(longest, length)
        if not sizes or (sizes[-1] + 1) * longest > tokens:  # one text always goes
            sizes, longest = [*sizes, 0], length
        sizes[-1] += 1
    return sizes


def _evenly(lengths: Tensor, rows: int) -> int:
    """The fewest tokens a piece, padding included, with which no more pieces are made than with `rows` texts in each.

    >>> _evenly(torch.tensor([2, 3, 4, 10]), 2)  # 3 texts and 1, where 2 and 2 would make 20
    12
    """
    count, most = -(-len(lengths) // rows), len(lengths) * int(lengths.max())
    return bisect_left(range(most), True, key=lambda tokens: len(_filled(lengths, tokens)) <= count)


def _scores(reward: ScalarModel | Callable, tokenizer, prompts, texts, ended: Tensor, config, profile) -> Tensor:
    """What each reply is worth, (B,): by the reward model, or by any function of prompt and reply."""
    questions = [text for text, _ in prompts]
    if isinstance(reward, ScalarModel):
        with profile.autocast():
            scores = score(reward, tokenizer, questions, texts, ended.tolist(), rows=config.micro_batch)
    else:
        scores = torch.tensor([_asked(reward, *pair) for pair in zip(questions, texts)], dtype=torch.float32)
    scores = scores.to(ended.device)
    if config.score_clip is not None:
        scores = scores.clamp(-config.score_clip, config.score_clip)
    return scores - config.no_eos_penalty * ~ended


def _asked(reward: Callable, prompt: str, reply: str) -> float:
    """One score from somebody's own function, or an error that says what it did wrong."""
    try:
        value = reward(prompt, reply)
    except SystemExit as end:  # would end the program as if all were well, and nothing were to be saved
        raise RuntimeError(f"reward({prompt!r}, {reply!r}) called sys.exit({end.code}); let it raise an error") from end
    except Exception as error:
        error.add_note(f"raised by the reward function {reward!r} for prompt {prompt!r} and reply {reply!r}")
        raise
    if isinstance(value, str):  # float("1") would do, and hide a slip
        raise ValueError(f"reward({prompt!r}, {reply!r}) must be a number; got the text {value!r}")
    return validate.number(f"reward({prompt!r}, {reply!r})", value)
