"""last_token_score: a reward model has a number at every token. Which one is the reply's score?"""

import torch

from ..check import Exercise, close, require, rows

EOS = 1


def last_token_score(numbers, ids, attention_mask, eos_id):
    """The number at the last real token of each row, (B, L) -> (B,)."""
    places = torch.arange(ids.shape[-1])  # 0, 1, ... L - 1
    last = torch.where(attention_mask.bool(), places, -1).amax(-1)  # (B,): the largest place that is real
    return numbers.gather(-1, last[:, None])[:, 0]


def _batch(rows, seed, *, pad=0, dtype=torch.float64, whole=True):
    """rows: (padding left, tokens, padding right). A number stands on padding too."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.tensor([[pad] * left + tokens + [pad] * right for left, tokens, right in rows])
    real = torch.tensor([[0] * left + [1] * len(tokens) + [0] * right for left, tokens, right in rows])
    numbers = torch.randn(ids.shape, generator=g, dtype=dtype)
    return numbers, ids, real if whole else real.bool(), EOS


cases = rows("last_token_score", _batch)


def padding_says_nothing(fn):
    numbers, ids, mask, _ = _batch([(0, [5, 6, 7, EOS], 0)], 7)
    alone = fn(numbers, ids, mask, EOS)
    for left, right, pad in ((0, 3, 0), (3, 0, 0), (2, 2, EOS)):
        wide = torch.full((1, left + 4 + right), torch.nan).double()
        wide[:, left : left + 4] = numbers
        padded = _batch([(left, ids[0].tolist(), right)], 7, pad=pad)
        close(fn(wide, *padded[1:]), alone)


def ends_without_eos(fn):
    rows = [
        (0, [4, EOS, 8, 9], 2),
        (1, [4, 6, EOS, 3, 8], 0),
        (0, [4, EOS, 8, 9, EOS], 1),
        (0, [EOS, 2, EOS, 9, EOS], 1),
    ]
    case = _batch(rows, 8, pad=EOS)
    got = fn(*case)
    for name, places in (("first_eos", [1, 3, 1, 0]), ("last_eos_inside", [1, 3, 4, 4])):
        require(not torch.equal(got, case[0][range(4), places]), case=case, got=got, mistake=name)


def batch_mates(fn):
    case = cases()[3]
    one = tuple(x[2:] for x in case[:3]) + case[3:]
    close(fn(*one), fn(*case)[2:], case=one)


EXERCISE = Exercise(solution=last_token_score, cases=cases, gradient=("numbers",))
