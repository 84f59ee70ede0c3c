"""A reward model from rankings: which of two replies is better, learned as one number a reply (Bradley and Terry 1952).

Only differences of scores are learned, so that a constant is free: `normalize` sets it, and the scale, afterwards.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .. import validate
from ..hardware.hardware import CPU
from .checks import check_lengths
from .data import Ranking
from .models import ScalarModel, device
from .sampling import positions
from .supervised import SupervisedConfig, train_steps
from .text import pad_right, prompt_ids, reply_ids


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigma(chosen - rejected) per pair: how surprised a person's choice leaves these scores (Ouyang 2022, eq. 1).

    >>> bradley_terry_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))
    tensor([0.3133, 0.6931])
    """
    validate.same_shape({"chosen": chosen, "rejected": rejected})
    return -logsigmoid(chosen - rejected)


def pairs_from_ranking(order: Sequence[int]) -> list[tuple[int, int]]:
    """All (better, worse) pairs of a ranking, best first: K(K - 1)/2 of them. No place may stand there twice.

    >>> pairs_from_ranking([1, 3, 0, 2])
    [(1, 3), (1, 0), (1, 2), (3, 0), (3, 2), (0, 2)]
    """
    validate.require(len(set(order)) == len(order), ValueError, "model", "order", list(order))
    return list(combinations(order, 2))


def last_token_scores(model: ScalarModel, ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The model's number at the last real token of each row, (B, L) -> (B,), wherever padding stands."""
    validate.require(bool(attention_mask.any(-1).all()), ValueError, "model", "empty row")
    out = model(ids, attention_mask, positions(attention_mask))
    places = torch.arange(ids.shape[-1], device=ids.device)
    last = torch.where(attention_mask.bool(), places, -1).amax(-1)
    return out.gather(-1, last[:, None])[:, 0]


@torch.no_grad()
def score(
    model: ScalarModel, tokenizer, prompts: Sequence[str], replies: Sequence[str], ended=None, *, rows=64
) -> Tensor:
    """Scores of replies, each to its prompt, (n,), read at the EOS, or at the last token of a reply that was cut.

    ended: for each reply whether it ended by itself; None: all did.
    """
    ended = [True] * len(replies) if ended is None else ended
    if not len(prompts) == len(replies) == len(ended) or not replies:
        raise ValueError(validate.refusal("texts", "not as many", len(prompts), len(replies), len(ended)))
    return _score_ids(model, tokenizer, _encode(tokenizer, prompts, replies, ended), rows)


def score_rankings(model: ScalarModel, tokenizer, rankings: list[Ranking]) -> tuple[Tensor, ...]:
    """Scores of each ranking's replies, in the ranking's order; a reply that was cut is scored without an EOS."""
    prompts, replies, ended = zip(*((r.prompt, x, e) for r in rankings for x, e in zip(r.replies, r.ended)))
    return score(model, tokenizer, prompts, replies, ended).split([len(r.replies) for r in rankings])


REWARD = SupervisedConfig(steps=1200, batch=16, lr=1.5e-3)  # 16 prompts a step, with all pairs of each ranking


def train_reward(
    model: ScalarModel, tokenizer, rankings: list[Ranking], config=REWARD, *, seed: int, resume=None, hardware=CPU
) -> Iterator[dict]:
    """Bradley-Terry on all pairs; the pairs of one prompt are one element of the batch (Ouyang et al. 2022, sec. 3.5).

    Rows: step, loss (nats per pair), accuracy, lr, grad_norm, tokens.
    """
    texts = [_encode(tokenizer, [r.prompt] * len(r.replies), r.replies, r.ended) for r in rankings]
    longest = [max(len(prompt) + len(reply) for prompt, reply in ranking) for ranking in texts]
    check_lengths([r.prompt for r in rankings], longest, {"model": model})

    def batch_loss(index: Tensor, count: int):
        some = [texts[i] for i in index.tolist()]
        scores = _score_ids(model, tokenizer, [text for ranking in some for text in ranking])
        pairs = [(s, *torch.tensor(pairs_from_ranking(range(len(s)))).T) for s in scores.split([*map(len, some)])]
        losses = [bradley_terry_loss(s[better], s[worse]).mean() for s, better, worse in pairs]
        right = [_right(s[better], s[worse]).mean() for s, better, worse in pairs]
        tokens = sum(len(prompt) + len(reply) for ranking in some for prompt, reply in ranking)
        accuracy = (torch.stack(right).sum() / count).item()
        return torch.stack(losses).sum() / count, {"accuracy": accuracy, "tokens": tokens}

    sizes = [(1, len(ranking) * most) for ranking, most in zip(texts, longest)]
    yield from train_steps(model, batch_loss, texts, sizes, config, seed, resume, hardware)


def normalize(model: ScalarModel, tokenizer, rankings: list[Ranking]) -> None:
    """Set the model's mean and std so that all replies of these rankings score 0 on average, with deviation 1."""
    scores = torch.cat(score_rankings(model, tokenizer, rankings)) * model.std + model.mean  # as the head gives them
    std = scores.std() if len(scores) > 1 else torch.zeros(())
    if not (std > 1e-6 * scores.abs().max() and std.isfinite()):  # equal texts differ by rounding
        raise ValueError(f"the scores of {len(scores)} replies have standard deviation {std:.2g}: they must differ")
    model.mean.copy_(scores.mean())
    model.std.copy_(std)


def rightly_ordered(model: ScalarModel, tokenizer, rankings: list[Ranking]) -> list[Tensor]:
    """For each ranking, which of its pairs (n,) the model orders as it does: 1, or 0, or a half for a tie."""
    scores = score_rankings(model, tokenizer, rankings)
    pairs = [(s, *torch.tensor(pairs_from_ranking(range(len(s)))).T) for s in scores]
    return [_right(s[better], s[worse]) for s, better, worse in pairs]


def accuracy(model: ScalarModel, tokenizer, rankings: list[Ranking]) -> float:
    """Share of all pairs that the model orders as the rankings do; a tie, as of two equal texts, is half right."""
    return torch.cat(rightly_ordered(model, tokenizer, rankings)).mean().item()


def _encode(tokenizer, prompts, replies, ended) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, reply ids) of every reply; a prompt that comes again is encoded once."""
    known = {prompt: prompt_ids(tokenizer, prompt) for prompt in dict.fromkeys(prompts)}
    return [(known[p], reply_ids(tokenizer, x, prompt=p, ended=end)) for p, x, end in zip(prompts, replies, ended)]


def _score_ids(model: ScalarModel, tokenizer, texts: list[tuple[list[int], list[int]]], rows: int = 16) -> Tensor:
    """(prompt ids, reply ids) pairs -> scores (n,); `rows` of like length go together, so that little is padding."""
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    parts = []
    for n in range(0, len(order), rows):
        some = [texts[i][0] + texts[i][1] for i in order[n : n + rows]]
        ids, mask = (x.to(device(model)) for x in pad_right(some, tokenizer.pad_token_id))
        parts.append(last_token_scores(model, ids, mask))
    scores, first = torch.cat(parts), {}
    same = [first.setdefault(str(x), i) for i, x in enumerate(texts)]  # copies tie, to the last bit
    return scores[torch.tensor(order).argsort()[same].to(scores.device)]


def _right(better: Tensor, worse: Tensor) -> Tensor:
    """1 where the order is right, 1/2 for a tie."""
    return (better > worse).float() + 0.5 * (better == worse).float()
