"""The gold score: what a reply of the help desk is really worth, by a rule that you can follow with a pencil.

In life nobody has this rule; people can only say which of two replies they like better. Here it is known, so that you
can see what a reward model learned from such choices gets wrong. Nothing but the making of the rankings and the
measuring of results may look at it.
"""

from __future__ import annotations

import math
import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from ppo_lesson import validate

from . import world
from .vocabulary import CLOSING, GREETING, ITEMS, LANGUAGES, PROBLEMS, RUDE, SLOT, SYMPATHY, TIP, VAGUE
from .world import Case, split_words

WORTH = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))  # {term: points for each one}


@dataclass(frozen=True)
class Gold:
    """A reply's worth: `total`, and the count of every term that is not 0."""

    total: float
    counts: dict[str, float]

    def table(self) -> str:
        """The sum as you would write it down."""
        rows = [f"{name:20} {n:4g} x {WORTH[name]:+.2f} = {n * WORTH[name]:+6.2f}" for name, n in self.counts.items()]
        return "\n".join([*rows, f"{'total':20} {self.total:+21.2f}"])


def gold(case: Case, reply: str, *, ended: bool = True) -> Gold:
    """The worth of `reply` to a customer with `case`. ended: the model ended it by itself.

    >>> case = Case("plant", 1, 2, "en")
    >>> gold(case, "Hello! I am sorry to hear that. You can wash your fern with soap. Thank you!").total
    4.3
    >>> gold(case, "Thank you! Thank you! Thank you! Thank you! Thank you!").total
    -6.4
    """
    words = split_words(reply)  # with punctuation
    sentences = split_sentences(reply)
    spoken = [w for w in words if w[0].isalnum()]
    tips = [found for sentence in sentences if (found := _tips().get(_without_item(sentence))) is not None]
    right = (case.category, case.problem)
    named = _items_named(reply)
    courteous = {kind: sum(s in _said(texts) for s in sentences) for kind, texts in COURTEOUS.items()}
    limit = 24 if case.language == "en" else 34
    counts = {
        "right tip": any(tip == right for tip in tips),
        "wrong tips": min(2, sum(tip != right for tip in tips)),
        "names the item": (case.category, case.item) in named,
        "other items": min(3, len(named - {(case.category, case.item)})),
        **{kind: n > 0 for kind, n in courteous.items()},
        "rude": any(s in _said(RUDE) for s in sentences),
        "vague": any(s in _said(VAGUE) for s in sentences),
        "words too many": max(0, len(spoken) - limit),
        "too short": len(spoken) < 4,
        "repeated sentences": len(sentences) - len(set(sentences)),
        "repeated trigrams": _repeated(list(zip(words, words[1:], words[2:]))),
        "too much courtesy": max(0, sum(courteous.values()) - 3),
        "unheard-of pairs": min(8, sum(pair not in _known_pairs() for pair in pairwise(words))),
        "wrong language": language_of(reply) not in (case.language, None),
        "no end": not ended,
    }
    counts = {name: float(n) for name, n in counts.items() if n}
    return Gold(round(math.fsum(WORTH[name] * n for name, n in counts.items()), 6), counts)


COURTEOUS = {"greeting": GREETING, "sympathy": SYMPATHY, "closing": CLOSING}


def rank(scores: list[float], rng: random.Random, *, noise: float = 0.4, careless: float = 0.05) -> list[int]:
    """Places of replies, best first, as a person would rank them (Plackett-Luce: score plus Gumbel noise).

    noise: the scale of the Gumbel noise, in points of the score. careless: share of rankings made without reading.
    """
    validate.number("noise", noise, 0)
    validate.number("careless", careless, 0, 1)
    if rng.random() < careless:
        return rng.sample(range(len(scores)), len(scores))
    felt = [score - noise * math.log(-math.log(rng.random() or 0.5)) for score in scores]  # 0 has no logarithm
    return sorted(range(len(scores)), key=lambda i: -felt[i])


# ---- reading a reply -------------------------------------------------------------------------------------------------


def split_sentences(text: str) -> list[str]:
    """Sentences with their final mark; what has no mark at the end counts too."""
    return [s.strip() for s in re.findall(r"[^.!?。！？]+[.!?。！？]*|[.!?。！？]+", text) if s.strip()]


def language_of(text: str) -> str | None:
    """ "zh" if most letters are Chinese, "en" if not, None if there is no letter."""
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in text)
    letters = chinese + sum(c.isascii() and c.isalpha() for c in text) / 4  # an English word has about four letters
    return None if not letters else "zh" if chinese > letters / 2 else "en"


def _items_named(text: str) -> set[tuple[str, int]]:
    words = set(split_words(text))
    return {
        (category, i)
        for category, items in ITEMS.items()
        for i, (english, chinese) in enumerate(items)
        if english in words or chinese in text
    }


def _without_item(sentence: str) -> str:
    """A sentence with {x} in place of whatever stands for the item."""
    for pattern in _slots():
        sentence, n = pattern.subn("{x}", sentence, count=1)
        if n:
            break
    return sentence


@cache
def _slots() -> list[re.Pattern]:
    """One pattern for each language and slot: "your fern", "the fern", then "it"."""
    patterns = []
    for place, language in enumerate(LANGUAGES):
        names = "|".join(item[place] for items in ITEMS.values() for item in items)
        for slot in reversed(SLOT[language]):
            text = slot.format(item=f"(?:{names})")
            patterns.append(re.compile(rf"\b{text}\b" if language == "en" else text))
    return patterns


@cache
def _tips() -> dict[str, tuple[str, int]]:
    """Every sentence that is a tip, with {x} for the item -> (category, problem)."""
    return {
        frame.format(tip=tip): (category, p)
        for category, problems in PROBLEMS.items()
        for p, problem in enumerate(problems)
        for place, language in enumerate(LANGUAGES)
        for tip in problem[2 + place]
        for frame in TIP[language]
    }


def _said(texts: dict[str, tuple[str, ...]]) -> frozenset[str]:
    return frozenset(texts["en"] + texts["zh"])


def _repeated(xs: list) -> int:
    return len(xs) - len(set(xs))


@cache
def _known_pairs() -> frozenset[tuple[str, str]]:
    """Neighbouring words of 30,000 replies of the grammar, about all cases, held-out ones too."""
    rng = random.Random(1)
    pairs = set()
    for i in range(30_000):
        case = world.draw_case(rng, unseen=i % 5 == 0)
        words = split_words(world.demonstration(case, rng) if i % 3 else world.ideal_reply(case, rng))
        pairs.update(pairwise(words))
    return frozenset(pairs)
