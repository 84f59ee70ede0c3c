"""Micro-batches: a batch a few texts at a time, so that it fits into memory; they change no gradient.

Replies of like length go together, and columns that none of them has are left out: padding costs time for nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator

from torch import Tensor


def by_length(attention: Tensor, index: Tensor) -> Tensor:
    """`index`, the shortest text first. attention: (B, L); index: (n,) rows of it -> (n,)."""
    return index[attention.sum(-1).cpu()[index].argsort(stable=True)]


def split(lengths: Tensor, order: Tensor, rows: int, tokens: int | None = None) -> tuple[Tensor, ...]:
    """`order`, texts of these lengths from short to long, in micro-batches: see `micro_batches`."""
    return order.split(_filled(lengths[order], _evenly(lengths[order], rows) if tokens is None else tokens))


def micro_batches(
    ids: Tensor, attention: Tensor, mask: Tensor, index: Tensor, rows: int, *, tokens: int | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
    """Replies of those in `index`, a few at a time, of like length together, without columns that none of them has.

    rows: how many at a time, on average: so many micro-batches, all of about as many tokens. tokens: instead of
    `rows`, as many as make at most this many tokens, prompts and padding included. Yields (which, ids, attention_mask,
    T): a micro-batch as `token_logps` wants it, T columns of it replies.
    """
    P, lengths = ids.shape[1] - mask.shape[1], attention.sum(-1).cpu()
    for which in split(lengths, by_length(attention, index), rows, tokens):  # (n,) rows of the rollout
        T, longest = int(mask[which].sum(-1).max()), int(attention[which, :P].sum(-1).max())
        columns = slice(P - longest, P + T)  # prompts end, and replies begin, in column P
        yield which, ids[which, columns], attention[which, columns], T  # (n,), (n, longest + T) twice


def _filled(lengths: Tensor, tokens: int) -> list[int]:
    """How many texts of these lengths, in this order, go together without making more than `tokens` with padding.

    >>> _filled(Tensor([3, 4, 4, 6, 9, 7]), 12)
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
    """The fewest tokens a micro-batch, padding included, that make no more of them than `rows` texts in each do.

    >>> _evenly(Tensor([2, 3, 4, 10]), 2)  # 3 texts and 1, where 2 and 2 would make 20
    12
    """
    count, largest = -(-len(lengths) // rows), len(lengths) * int(lengths.max())
    return bisect_left(range(largest), True, key=lambda tokens: len(_filled(lengths, tokens)) <= count)
