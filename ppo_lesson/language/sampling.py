"""Tokens as actions: sampling replies, and the log-probability and value of every token of a reply.

ids (B, P + T): prompts padded on the left to P columns, then T columns of reply. The token in column P + t is action
y_t; what decides it, and what its value is read from, is the model's output in column P - 1 + t: the shift by one.
Logits are divided by the temperature everywhere, and log-softmax is taken in float32.
"""

import functools
import inspect
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import validate
from .head import logits_of, of_actions

BLOCK = 256  # tokens whose probabilities are summed first, when one of them is drawn


def is_end(ids: Tensor, eos_id: int | Sequence[int]) -> Tensor:
    """Which ids end a reply, as bool of the same shape. eos_id: one id, or several that a reply may end with."""
    first, *more = eos_id if isinstance(eos_id, list | tuple) else [eos_id]
    return functools.reduce(torch.logical_or, (ids == end for end in more), ids == first)


def response_mask(responses: Tensor, eos_id: int | Sequence[int]) -> Tensor:
    """(B, T) ids -> (B, T) bool: every token up to the first EOS, that one included; it is an action too.

    >>> response_mask(torch.tensor([[5, 1, 1, 0], [5, 6, 7, 8]]), eos_id=1).int()
    tensor([[1, 1, 0, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    ended = is_end(responses, eos_id).int()
    return ended.cumsum(-1) - ended == 0


def full_mask(prompt_mask: Tensor, response_mask: Tensor) -> Tensor:
    """(B, P) and (B, T) -> (B, P + T): the attention mask of prompt and reply."""
    return torch.cat([prompt_mask.bool(), response_mask.bool()], -1)


def positions(attention_mask: Tensor) -> Tensor:
    """(B, L) -> (B, L): each real token's place in its own text, from 0; padding on the left moves nothing."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def hidden_states(trunk, ids: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, L) -> (B, L, d): what a trunk makes of every real token; 0 at padding.

    Rows are moved to the left for it, so that padding costs little, and attention needs no mask: nobody looks ahead.
    """
    real = attention_mask.long()
    first = real.argsort(dim=-1, descending=True, stable=True)[:, : int(real.sum(-1).max())]
    hidden = trunk(input_ids=ids.gather(-1, first), use_cache=False).last_hidden_state
    places = positions(attention_mask)
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1])) * real[..., None].to(hidden.dtype)


def token_logps(model, ids: Tensor, attention_mask: Tensor, response_length, *, temperature=1.0, with_entropy=False):
    """log pi(y_t | prompt, y_<t) of every reply token -> (B, T) float32; with_entropy: also the entropy there, (B, T).

    ids, attention_mask: (B, P + T). Differentiable. (B, T, V) logits never exist at the same time: see `head`. Outside
    the mask both are 0 and cost nothing.
    """
    temperature = check_temperature(temperature)
    _check_shapes(model, ids, attention_mask, response_length)
    hidden = hidden_states(model.base_model, ids, attention_mask)
    real = attention_mask[:, -response_length:].bool()
    hidden = hidden[:, -response_length - 1 : -1][real]  # columns P-1 ... P+T-2, as (n, d): n real reply tokens
    actions = ids[:, -response_length:][real]
    found = of_actions(model, hidden, actions, temperature, with_entropy)
    nothing = torch.zeros(real.shape, device=real.device)
    logps, *entropies = (nothing.masked_scatter(real, x) for x in found if x is not None)  # (n,) -> (B, T)
    return (logps, *entropies) if with_entropy else logps


def token_values(model, ids: Tensor, attention_mask: Tensor, response_length: int) -> Tensor:
    """V(prompt, y_<t) for every reply token -> (B, T): the value of the state before the token is chosen.

    model: a `models.ScalarModel`, or anything that maps (ids, attention_mask, position_ids) to (B, P + T).
    """
    _check_shapes(model, ids, attention_mask, response_length)
    return model(ids, attention_mask, positions(attention_mask))[:, -response_length - 1 : -1].float()


@torch.no_grad()
def generate(
    model,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    eos_id: int | Sequence[int],
    pad_id: int,
    generator: torch.Generator | None = None,
    uniforms: Tensor | None = None,
    return_logps: bool = False,
):
    """Sample replies from the model's own distribution: temperature, and nothing else (no top-k, no penalty).

    prompt_ids, prompt_mask: (B, P), padded on the left -> ids (B, P + max_new_tokens), filled with pad_id after an end.
    eos_id: one id, or several that end a reply; the model's generation_config is never read. uniforms: (B,
    max_new_tokens) numbers in [0, 1) that choose the tokens, so that a reply does not depend on the others in its
    batch; otherwise `generator` draws them, one for every reply that goes on. return_logps: also log pi of the tokens,
    (B, T), 0 after an end.
    """
    temperature = check_temperature(temperature)
    ends = check_generate(model, prompt_ids, prompt_mask, max_new_tokens, eos_id, pad_id)
    if uniforms is not None and uniforms.shape != (len(prompt_ids), max_new_tokens):
        raise ValueError(f"uniforms must be {(len(prompt_ids), max_new_tokens)}; got {tuple(uniforms.shape)}")
    replies = torch.full((len(prompt_ids), max_new_tokens), pad_id, device=prompt_ids.device)
    logps = torch.zeros(replies.shape, device=prompt_ids.device)
    mask, step_ids, cache, name = prompt_mask.bool(), prompt_ids, None, cache_name(model)
    rows = torch.arange(len(prompt_ids), device=prompt_ids.device)  # whose replies go on
    draw = {"generator": generator, "device": (generator or prompt_ids).device, "dtype": torch.float64}
    for t in range(max_new_tokens):
        given = {"attention_mask": mask.long(), "position_ids": positions(mask)[:, -step_ids.shape[1] :]}
        out = model.base_model(input_ids=step_ids, use_cache=True, **given, **{name: cache})
        cache = getattr(out, name)
        logits = logits_of(model, out.last_hidden_state[:, -1], temperature)  # (B, V)
        u = torch.rand(len(rows), 1, **draw) if uniforms is None else uniforms[rows, t, None]
        token, logps[rows, t] = inverse_cdf(logits, u)
        replies[rows, t] = token
        on = (~is_end(token, ends)).nonzero()[:, 0]
        if len(on) == 0:
            break
        if len(on) < len(rows):  # replies that have ended are not computed any more
            rows, mask, token = rows[on], mask[on], token[on]
            cache.reorder_cache(on)  # which recurrent layers have too, unlike batch_select_indices
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], -1)
        step_ids = token[:, None]
    validate.require(logps.isfinite().all(), FloatingPointError, "model", "broken logits")
    ids = torch.cat([prompt_ids, replies], -1)
    return (ids, logps) if return_logps else ids


def cache_name(model) -> str:
    """What its trunk calls the cache that it takes and gives; transformers before 5.24 said past_key_values."""
    trunk = getattr(model, "whole", [model])[0].base_model  # the one below a view of LoRA
    return "cache" if "cache" in inspect.signature(trunk.forward).parameters else "past_key_values"


def inverse_cdf(logits: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One token for each row and its log-probability, (B, V), (B, 1) -> (B,), (B,): where u falls among the cumulative
    probabilities. First its block of tokens, then its place there: only sums of blocks are added up in float64.
    """
    B, V = logits.shape
    p = logits.softmax(-1)
    blocks = (torch.nn.functional.pad(p, (0, -V % BLOCK)) if V % BLOCK else p).view(B, -1, BLOCK)
    sums = blocks.sum(-1, dtype=torch.float64).cumsum(-1)  # (B, V / BLOCK)
    u = u.to(sums) * sums[:, -1:]  # float32 adds up to nearly 1
    block = _first_above(sums, u)  # (B, 1)
    before = sums.gather(-1, (block - 1).clamp(min=0)) * (block > 0)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0].double().cumsum(-1)
    token = block * BLOCK + _first_above(inside, u - before)
    return token[:, 0], p.gather(-1, token)[:, 0].log()


def _first_above(cumulative: Tensor, u: Tensor) -> Tensor:
    """(B, n), (B, 1) -> (B, 1): the first place where the sum exceeds u; by rounding never one that adds nothing."""
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)
    return torch.searchsorted(cumulative, u, right=True).minimum(last)


def check_temperature(temperature) -> float:
    """The temperature as a float; ValueError unless it is above 0, and logits over it are finite."""
    temperature = validate.number("temperature", temperature)
    validate.require(temperature > 1e-30, ValueError, "numbers", "temperature", temperature)
    return temperature


def _check_shapes(model, ids: Tensor, attention_mask: Tensor, response_length: int) -> None:
    validate.same_shape({"ids": ids, "attention_mask": attention_mask})
    validate.integer("response_length", response_length, 1, ids.shape[1] - 1)  # something decides the first token
    _check_context(model, attention_mask, 0)


def context_limit(model) -> int | None:
    """How many tokens the model has positions for, prompt and reply together; None if it does not say.

    Of a longrope: until its long factors begin, which change the numbers of all tokens, of earlier ones, too.
    """
    text = getattr(model, "config", None) and model.config.get_text_config()  # of a model of images, too
    rope = getattr(text, "rope_parameters", None) or {}
    short = rope.get("rope_type") == "longrope" and rope.get("original_max_position_embeddings")
    limits = (getattr(text, name, None) for name in ("max_position_embeddings", "max_seq_len"))  # the second is MPT's
    return short or next(filter(None, limits), None)


def _check_context(model, mask: Tensor, more: int) -> None:
    """Refuse texts longer than the model has positions for."""
    limit = context_limit(model)
    if limit and mask.shape[1] + more > limit and (longest := int(mask.sum(-1).max()) + more) > limit:
        raise ValueError(f"the longest text has {longest} tokens, reply included; this model reads at most {limit}")


def check_generate(model, prompt_ids: Tensor, prompt_mask: Tensor, max_new_tokens, eos_id, pad_id) -> tuple[int, ...]:
    """The ends of a reply: eos_id, one or several, as a tuple.

    ValueError for what no sampler can work with: shapes, padding on the right, train mode, a context too short.
    """
    validate.same_shape({"prompt_ids": prompt_ids, "prompt_mask": prompt_mask})
    validate.not_empty("prompt_ids", prompt_ids)
    for name, value, low in (("max_new_tokens", max_new_tokens, 1), ("pad_id", pad_id, 0)):
        validate.integer(name, value, low)
    ends = eos_id if isinstance(eos_id, list | tuple) and eos_id else [eos_id]
    ends = tuple(validate.integer("eos_id", end, 0) for end in ends)
    bad = (prompt_mask[:, -1] == 0).nonzero()[:1, 0].tolist()
    validate.require(not bad, ValueError, "texts", "padded right", *bad)
    validate.require(not model.training, ValueError, "model", "training")
    _check_context(model, prompt_mask, max_new_tokens)
    return ends
