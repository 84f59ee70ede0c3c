"""Notebook 11: a reward model has a number at every token. Which one is the reply's score?"""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited

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


def _cases():
    ended, cut, chat = [5, 6, 7, EOS], [5, 6, 7, 8, 9], [4, EOS, 3, 8, EOS]  # chat: an EOS ends the question too
    return [
        _batch([(0, ended, 0)], 0),
        _batch([(0, ended, 1), (0, chat, 0)], 1),
        _batch([(1, ended, 0), (0, chat, 0), (2, [9, 9, EOS], 0)], 2),
        _batch([(2, ended, 1), (0, chat, 2), (1, cut, 1)], 3, whole=False),
        _batch([(0, [4, EOS, 8, 9], 2), (1, [4, EOS, 8, 9, EOS], 0)], 4),  # the first of these was cut
        _batch([(1, ended, 2), (0, chat, 2), (0, cut, 2)], 5, pad=EOS),
        _batch([(3, [4, EOS, 8, 6, EOS], 0), (0, [4, EOS, 8, 2, 2, 2, 6, 7], 0)], 6, dtype=torch.float32),
    ]


def _padding_says_nothing(fn):
    """Padding on either side, and what stands on it, changes no score."""
    numbers, ids, mask, _ = _batch([(0, [5, 6, 7, EOS], 0)], 7)
    alone = fn(numbers, ids, mask, EOS)
    for left, right, pad in ((0, 3, 0), (3, 0, 0), (2, 2, EOS)):
        wide = torch.full((1, left + 4 + right), torch.nan).double()
        wide[:, left : left + 4] = numbers
        padded = _batch([(left, ids[0].tolist(), right)], 7, pad=pad)
        case = (wide, *padded[1:])
        close(fn(*case), alone, case=case)


def _ends_without_eos(fn):
    """A reply that was cut ends at a token that is no EOS, whatever stands in the question."""
    rows = [
        (0, [4, EOS, 8, 9], 2),
        (1, [4, 6, EOS, 3, 8], 0),
        (0, [4, EOS, 8, 9, EOS], 1),
        (0, [EOS, 2, EOS, 9, EOS], 1),
    ]
    case = _batch(rows, 8, pad=EOS)
    got = fn(*case)
    for name, places in (("_first_eos", [1, 3, 1, 0]), ("_last_eos_inside", [1, 3, 4, 4])):
        require(not torch.equal(got, case[0][range(4), places]), case=case, got=got, mistake=name)


def _batch_mates(fn):
    """A row's score does not depend on the rows beside it."""
    case = _cases()[3]
    one = tuple(x[2:] for x in case[:3]) + case[3:]
    close(fn(*one), fn(*case)[2:], case=one)


PLACE = "torch.where(attention_mask.bool(), places, -1).amax(-1)"
READ = "numbers.gather(-1, last[:, None])[:, 0]"


def _at(place, name):
    """The number at another place, (B,)."""
    return edited(last_token_score, {PLACE: place}, name)


def _read(number, name):
    return edited(last_token_score, {READ: number}, name)


LAST = Exercise(
    id="11.last_token_score",
    title="The score at the right token",
    solution=last_token_score,
    cases=_cases,
    properties=[_padding_says_nothing, _batch_mates, _ends_without_eos],
    gradient=("numbers",),
    mistakes=[
        Mistake(
            _read("numbers[:, -1]", "_last_column"),
            "The last column belongs to the padding of every row that is padded on the right.",
            "vwxyzjn/lm-human-preference-details issue 6",
        ),
        Mistake(
            _at("attention_mask.long().sum(-1) - 1", "_counted"),
            "The count of real tokens minus one is a place only if padding stands on the right. With padding on the "
            "left you read a token in the middle.",
            "huggingface/trl issue 2778",
        ),
        Mistake(
            _at("(ids == eos_id).int().argmax(-1)", "_first_eos"),
            "A question may hold an EOS of its own, and a reply that was cut has none: then argmax gives place 0. One "
            "project wrote an EOS over the last token for that reason, a token that the model had never said.",
            "OpenRLHF/OpenRLHF issue 238",
        ),
        Mistake(
            _at("torch.where(ids == eos_id, places, 0).amax(-1)", "_last_eos"),
            "The last EOS is not the reply's if the reply was cut, and it is padding where PAD and EOS are the same "
            "token. Ask the mask, not the ids.",
        ),
        Mistake(
            _at(
                "torch.where(ids == eos_id, places, len(ids[0])).amin(-1).sub(1).clamp(min=0)", "_before_the_first_eos"
            ),
            "You read just before the first EOS, as if it were the first PAD. In a chat that is the end of the "
            "question.",
            "huggingface/trl pull request 6952",
        ),
        Mistake(
            _at(f"{PLACE}.sub(1).clamp(min=0)", "_one_before"),
            "One place too early. The EOS is a real token, and the only one that has seen that the reply is over.",
            "EleutherAI/gpt-neox pull request 1285",
        ),
        Mistake(
            _at("(attention_mask.int().argmin(-1) - 1) % len(ids[0])", "_first_hole"),
            "The first 0 of the mask is the end only where a row begins with a real token and has padding after it.",
        ),
        Mistake(
            _read("numbers.where(attention_mask.bool(), 0.0).sum(-1) / attention_mask.sum(-1)", "_mean"),
            "A mean over all tokens mixes in numbers from before the reply was complete. Read one: the last real one.",
            "deepspeedai/DeepSpeedExamples issue 316",
        ),
        Mistake(
            _at("torch.where(ids != eos_id, places, 0).amax(-1)", "_not_eos"),
            "The last token that is not EOS misses the end, and padding is often not EOS. Use the mask.",
        ),
        Mistake(
            _at("torch.where(attention_mask.bool() & (ids != eos_id), places, 0).amax(-1)", "_eos_skipped"),
            "You skip EOS. It is a real token, and the only one that has seen that the reply is over.",
        ),
        Mistake(
            _at("torch.where(attention_mask.bool() & (ids == eos_id), places, 0).amax(-1)", "_last_eos_inside"),
            "You look for the last EOS among the real tokens. A reply that was cut has none: you then read the end of "
            "the question. The mask alone says where the last real token is.",
        ),
        Mistake(
            _read("last", "_place"), "That is the place of the last real token. Look up the number that stands there."
        ),
        Mistake(
            _read("numbers.where(attention_mask.bool(), -torch.inf).amax(-1)", "_largest"),
            "That is the best moment of the reply, not its end: read at the last real token.",
        ),
    ],
    hints=[
        "The mask alone says where real tokens are; ids and eos_id only look helpful.",
        "Give every place its own number with `torch.arange(L)`, keep those where the mask is true, take the largest.",
        "last = torch.where(attention_mask.bool(), torch.arange(L), -1).amax(-1); then "
        "`numbers.gather(-1, last[:, None])[:, 0]`.",
    ],
)
