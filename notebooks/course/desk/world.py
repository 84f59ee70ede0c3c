"""A help desk in two languages, as a seeded grammar: prompts, replies good and bad, and texts to pretrain on.

A case is one item with one problem: 5 categories x 8 items x 5 problems = 200. `held_out()` names 40 of them; no text
of any kind is made of these unless a caller asks. (A held-out case's tip, with its item, may stand in a wrong answer to
another problem of that item.) Every function draws from the `random.Random` it is given and from nothing else, so the
same seed gives the same text on every machine. What is good about a reply: see `gold`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

from ppo_lesson import validate

from . import vocabulary as say
from .vocabulary import CATEGORIES, ITEMS, LANGUAGES, PROBLEMS


@dataclass(frozen=True)
class Case:
    """What a customer writes about. item, problem: places in ITEMS[category] and PROBLEMS[category].

    >>> Case("plant", 1, 2, "en").item_name, Case("plant", 1, 2, "en").problem_name
    ('fern', 'has small bugs')
    """

    category: str
    item: int
    problem: int
    language: str

    def __post_init__(self):
        for name, known in (("category", tuple(CATEGORIES)), ("language", LANGUAGES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        validate.integer("item", self.item, 0, len(ITEMS[self.category]) - 1)
        validate.integer("problem", self.problem, 0, len(PROBLEMS[self.category]) - 1)

    @property
    def item_name(self) -> str:
        return ITEMS[self.category][self.item][LANGUAGES.index(self.language)]

    @property
    def problem_name(self) -> str:
        return PROBLEMS[self.category][self.problem][LANGUAGES.index(self.language)]

    def tips(self, problem: int | None = None) -> tuple[str, str]:
        """The two tips for this problem, or for another of the same category, with {x} for the item."""
        entry = PROBLEMS[self.category][self.problem if problem is None else problem]
        return entry[2 + LANGUAGES.index(self.language)]


@cache
def held_out() -> frozenset[tuple[str, int, int]]:
    """The (category, item, problem) that no training text may contain: 8 of each category's 40, one for each item."""
    rng = random.Random(20170720)  # the day the PPO paper appeared; any number would do
    cells = set()
    for category in CATEGORIES:
        problems = [0, 1, 2, 3, 4, *rng.sample(range(5), 3)]
        rng.shuffle(problems)
        cells |= {(category, item, problem) for item, problem in enumerate(problems)}
    return frozenset(cells)


def draw_case(rng: random.Random, *, unseen: bool = False, language: str | None = None) -> Case:
    """A case at random; English twice as often as Chinese. unseen: only held-out ones; otherwise none of them."""
    language = language or ("en" if rng.random() < 2 / 3 else "zh")
    while True:
        category = rng.choice(list(CATEGORIES))
        cell = category, rng.randrange(8), rng.randrange(5)
        if (cell in held_out()) == unseen:
            return Case(*cell, language)


# ---- what customers write ----------------------------------------------------------------------------------------


def prompt(case: Case, rng: random.Random) -> str:
    """A customer's question: "Hi, my old fern really has small bugs again. Any ideas?" """
    opener, owner, intensity, when, question = (
        rng.choice(words[case.language]) for words in (say.OPENER, say.OWNER, say.INTENSITY, say.WHEN, say.QUESTION)
    )
    if case.language == "zh":
        return f"{opener}{owner}{case.item_name}{when}{intensity}{case.problem_name}，{question}"
    text = f"{opener}{owner} {case.item_name} {intensity}{case.problem_name}{when}. {question}"
    return text[0].upper() + text[1:]


def read_prompt(text: str) -> Case | None:
    """The case that a prompt of this world is about; None for any other text."""
    text = text.lower()
    language = "zh" if any("\u4e00" <= c <= "\u9fff" for c in text) else "en"
    place, words = LANGUAGES.index(language), set(split_words(text))
    for category, items in ITEMS.items():
        for i, item in enumerate(items):
            if item[place] in (words if language == "en" else text):
                for p, problem in enumerate(PROBLEMS[category]):
                    if problem[place] in text:
                        return Case(category, i, p, language)
    return None


def split_words(text: str) -> list[str]:
    """English words in small letters, single Chinese characters, and single punctuation marks.

    >>> split_words("Don't wait! 您好。")
    ["don't", 'wait', '!', '您', '好', '。']
    """
    return re.findall(r"[a-z0-9]+(?:'[a-z0-9]+)*|[^\sa-z0-9]", text.lower())


# ---- what the help desk answers ------------------------------------------------------------------------------------


def tip_sentence(case: Case, rng: random.Random, problem: int | None = None) -> str:
    """One tip as a sentence: "You can wash your fern with soap." """
    x = rng.choice(say.SLOT[case.language]).format(item=case.item_name)
    tip = rng.choice(case.tips(problem)).format(x=x)
    return rng.choice(say.TIP[case.language]).format(tip=tip)


def demonstration(case: Case, rng: random.Random) -> str:
    """A reply as the staff write them: of deliberately mixed quality, so that there is something left to learn."""

    def some(*kinds) -> list[str]:
        return [make(case, rng) for share, make in kinds if rng.random() < share]

    parts = some((0.35, _one(say.GREETING)), (0.25, _one(say.SYMPATHY)), (0.12, _one(say.RUDE)), (0.20, _reason))
    kind = rng.random()
    if kind < 0.58:
        parts.append(tip_sentence(case, rng))
    elif kind < 0.76:
        parts.append(tip_sentence(case, rng, _another_problem(case, rng)))
    else:
        parts.append(rng.choice(say.VAGUE[case.language]))
    # one more tip for the right problem, whatever was said before
    parts += some((0.15, tip_sentence), (0.20, _one(say.OFF_TOPIC)), (0.30, _one(say.CLOSING)))
    return join(parts, case.language)


def _one(sentences: dict):
    return lambda case, rng: rng.choice(sentences[case.language])


def ideal_reply(case: Case, rng: random.Random) -> str:
    """Greeting, sympathy, one right tip that names the item, closing: what the gold score likes best."""
    language = case.language
    x = say.SLOT[language][1].format(item=case.item_name)
    tip = rng.choice(say.TIP[language]).format(tip=rng.choice(case.tips()).format(x=x))
    parts = [
        rng.choice(say.GREETING[language]),
        rng.choice(say.SYMPATHY[language]),
        tip,
        rng.choice(say.CLOSING[language]),
    ]
    return join(parts, language)


def join(sentences: list[str], language: str) -> str:
    """Sentences in a row: English has spaces between them, Chinese none."""
    return (" " if language == "en" else "").join(sentences)


def _reason(case: Case, rng: random.Random) -> str:
    return rng.choice(say.REASON[case.language]).format(plural=_plural(case))


def _plural(case: Case) -> str:
    return CATEGORIES[case.category][LANGUAGES.index(case.language)]


def _a(noun: str) -> str:
    """The noun with its article: "an ivy"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _another_problem(case: Case, rng: random.Random) -> int:
    return (case.problem + rng.randrange(1, 5)) % 5


# ---- what there is to read -------------------------------------------------------------------------------------------


def document(rng: random.Random) -> str:
    """A text for pretraining: a fact, a story or a quotation. Never a question with its answer."""
    case = draw_case(rng)
    return rng.choice((_fact, _story, _quotation))(case, rng)


def _fact(case: Case, rng: random.Random) -> str:
    tip, about = rng.choice(case.tips()), rng.choice(say.FACT[case.language])
    return _filled(f"{about}{say.ADVICE[case.language]}", case, tip=tip, x="它" if case.language == "zh" else "it")


def _story(case: Case, rng: random.Random) -> str:
    """Somebody tries a tip: one for the problem, which helps, or (2 times in 5) one for another, which does not."""
    helps = rng.random() < 0.6
    tips = case.tips() if helps else case.tips(_another_problem(case, rng))
    who, tip, begins = rng.choice(say.PEOPLE[case.language]), rng.choice(tips), rng.choice(say.STORY[case.language])
    x = "它" if case.language == "zh" else rng.choice(("it", f"the {case.item_name}"))
    last = rng.choice((say.HELPED if helps else say.FAILED)[case.language])
    return _filled(f"{begins}{say.PLOT[case.language]}{last}", case, who=who, tip=tip, x=x)


def _quotation(case: Case, rng: random.Random) -> str:
    who, tip = rng.choice(say.PEOPLE[case.language]), rng.choice(case.tips())
    x = "它" if case.language == "zh" else rng.choice(("it", f"the {case.item_name}"))
    tip = tip if case.language == "zh" else tip[0].upper() + tip[1:]
    return _filled(say.QUOTATION[case.language], case, who=who, tip=tip, x=x)


def _filled(text: str, case: Case, *, tip: str, x: str, who: str = "") -> str:
    """The words of a text in their places; the item stands in the tip as x."""
    words = {"item": case.item_name, "a": _a(case.item_name), "plural": _plural(case), "problem": case.problem_name}
    words |= {"A": words["a"].capitalize(), "kind": case.category, "who": who, "tip": tip.format(x=x)}
    return text.format(**words)
