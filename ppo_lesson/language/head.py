"""The head of a language model: from hidden states to log-probabilities, without ever holding all logits.

(B, T, V) logits of one small batch take gigabytes where the vocabulary is large, and they are the only thing in RLHF
that does. Here at most LOGITS exist at a time. Left out: a kernel that never writes them to memory at all.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from ..objectives import entropy

LOGITS = 2**21  # how many exist at the same time, at most: 8 MiB in float32, which a processor's cache may hold
LOGITS_ON_GPU = 2**26  # 256 MiB: a GPU wants large pieces of work
TOKENS = 2048  # tokens of the vocabulary at a time, where it does not fit


def chunk(device) -> int:
    """How many logits exist at the same time, at most."""
    return LOGITS if torch.device(device).type == "cpu" else LOGITS_ON_GPU


def logits_of(model, hidden: Tensor, temperature: float = 1.0) -> Tensor:
    """(..., d) -> (..., V) float32: the head, what this model does to its logits afterwards, and the temperature.

    Known: logit_scale (Cohere), logits_scaling (Granite), final_logit_softcapping (Gemma 2).
    """
    logits, (scale, cap) = model.get_output_embeddings()(hidden).float(), _scale_and_cap(model)
    if cap:
        logits, scale = torch.tanh(logits * (scale / cap)), cap
    return logits if scale == temperature else logits * (scale / temperature)


def of_actions(model, hidden: Tensor, actions: Tensor, temperature: float, with_entropy: bool, limit=None):
    """What the head says: (n, d), (n,) -> log-probabilities (n,), entropies (n,) or None. limit: logits at a time.

    If not all fit, they are computed again on the way back: by `_InBlocks` where the head is a matrix and no more.
    """
    head, (scale, cap) = model.get_output_embeddings(), _scale_and_cap(model)
    limit, vocabulary = limit or chunk(hidden.device), model.config.get_text_config().vocab_size
    again = len(hidden) * vocabulary > limit
    if again and type(head) is nn.Linear and head.bias is None and not cap and not with_entropy:
        hidden, weight = hidden * (scale / temperature), head.weight
        if torch.is_autocast_enabled(kind := hidden.device.type):
            hidden, weight = (x.to(torch.get_autocast_dtype(kind)) for x in (hidden, weight))
        return _InBlocks.apply(hidden, weight, actions, max(1, limit // 4)), None  # logits and softmax exist at once

    def score(h, a):
        logp = logits_of(model, h, temperature).log_softmax(-1)
        return logp.gather(-1, a[:, None])[:, 0], entropy(logp) if with_entropy else None

    rows = max(1, limit // vocabulary)
    again, each = again and torch.is_grad_enabled(), zip(hidden.split(rows), actions.split(rows))
    parts = [recompute(score, h, a, use_reentrant=False) if again else score(h, a) for h, a in each]
    logps, entropies = zip(*parts)
    return torch.cat(logps), torch.cat(entropies) if with_entropy else None


class _InBlocks(torch.autograd.Function):
    """log softmax(h W^T)[a]: (n, d), (V, d), (n,) -> (n,) float32, a block of rows and of the vocabulary at a time.

    The gradient of log p_a with respect to a logit z_v is 1[v = a] - p_v; h gets its product with W, W that with h.
    Gradients of W are added up in place; autograd would keep a whole one for each block until the last is there.
    """

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, actions: Tensor, limit: int) -> Tensor:
        """log p_a = z_a - log sum_v exp(z_v), whose sum is kept for each block of columns."""
        sums = hidden.new_empty(len(hidden), -(-len(weight) // min(len(weight), TOKENS, limit)), dtype=torch.float32)
        chosen = hidden.new_zeros(len(hidden), dtype=torch.float32)
        for block, rows, columns in _blocks(hidden, weight, limit):
            logits = (hidden[rows] @ weight[columns].t()).float()
            sums[rows, block] = logits[:, 0] - logits.log_softmax(-1)[:, 0]  # a third faster than logsumexp
            here, place = _inside(actions[rows], columns)
            chosen[rows] += logits.gather(-1, place)[:, 0] * here
        total = sums.logsumexp(-1)
        ctx.save_for_backward(hidden, weight, actions, (sums - total[:, None]).exp())
        ctx.limit = limit
        return chosen - total

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden, weight, actions, shares = ctx.saved_tensors  # shares: the probability of each block of columns
        for_hidden = torch.zeros_like(hidden, dtype=torch.float32)
        for_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for block, rows, columns in _blocks(hidden, weight, ctx.limit):
            logits = (hidden[rows] @ weight[columns].t()).float()
            pull = logits.softmax(-1).mul_((-grad * shares[:, block])[rows, None])
            here, place = _inside(actions[rows], columns)
            pull.scatter_add_(-1, place, (grad[rows] * here)[:, None])
            pull = pull.to(hidden.dtype)
            for_hidden[rows] += pull @ weight[columns]
            if for_weight is not None:
                for_weight[columns] += pull.t() @ hidden[rows]
        return for_hidden.to(hidden.dtype), None if for_weight is None else for_weight.to(weight.dtype), None, None


def _blocks(hidden: Tensor, weight: Tensor, limit: int) -> Iterator[tuple[int, slice, slice]]:
    """(number of the block of columns, rows, columns) so that no block has more than `limit` logits."""
    columns = min(len(weight), TOKENS, limit)
    rows = limit // columns
    for block, c in enumerate(range(0, len(weight), columns)):
        for r in range(0, len(hidden), rows):
            yield block, slice(r, min(r + rows, len(hidden))), slice(c, min(c + columns, len(weight)))


def _inside(actions: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """(n,) -> which actions are among these columns, (n,), and where, (n, 1); 0 for the others."""
    place = actions - columns.start
    here = (place >= 0) & (place < columns.stop - columns.start)
    return here, torch.where(here, place, 0)[:, None]


def _scale_and_cap(model) -> tuple[float, float | None]:
    """What the model multiplies its logits by, and what it limits them to, softly."""
    config = model.config.get_text_config()
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return scale, getattr(config, "final_logit_softcapping", None)
