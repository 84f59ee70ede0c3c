"""The help desk: every case can be read from its prompt, and nothing held out is ever written."""

import random
import re
from collections import Counter
from itertools import product

import pytest

from course.desk import gold, world
from course.desk.vocabulary import (
    CATEGORIES,
    CLOSING,
    GREETING,
    INTENSITY,
    ITEMS,
    LANGUAGES,
    OFF_TOPIC,
    OPENER,
    OWNER,
    PEOPLE,
    PROBLEMS,
    QUESTION,
    REASON,
    RUDE,
    SLOT,
    SYMPATHY,
    TIP,
    VAGUE,
    WHEN,
)
from course.desk.world import Case

CASES = [Case(c, i, p, language) for c, i, p, language in product(CATEGORIES, range(8), range(5), LANGUAGES)]
FRAMES = (SLOT, TIP, REASON, GREETING, SYMPATHY, CLOSING, RUDE, VAGUE, OFF_TOPIC, OPENER, OWNER, INTENSITY, WHEN)
NAMES = {language: [item[k] for items in ITEMS.values() for item in items] for k, language in enumerate(LANGUAGES)}


def cells_written(text):
    """Every (category, item, problem) whose item and problem both stand in `text`."""
    small, words = text.lower(), set(world.split_words(text))
    for category, items in ITEMS.items():
        for place in (0, 1):
            for i, item in enumerate(items):
                if item[place] in (words if place == 0 else small):
                    for p, problem in enumerate(PROBLEMS[category]):
                        if problem[place] in small:
                            yield category, i, p


# ---- the words -------------------------------------------------------------------------------------------------------


def test_there_are_two_hundred_cases():
    assert len(CASES) == 2 * 200
    assert set(CATEGORIES) == set(ITEMS) == set(PROBLEMS)
    assert all(len(items) == 8 for items in ITEMS.values()) and all(len(p) == 5 for p in PROBLEMS.values())
    assert all(set(words) == set(LANGUAGES) for words in (*FRAMES, QUESTION, PEOPLE))


def test_no_name_of_an_item_is_hidden_in_another_text():
    for language, names in NAMES.items():
        assert len(set(names)) == 40
        others = [text for words in FRAMES for text in words[language]] + [*QUESTION[language], *PEOPLE[language]]
        k = LANGUAGES.index(language)
        others += [entry[k] for problems in PROBLEMS.values() for entry in problems]
        others += [tip for problems in PROBLEMS.values() for entry in problems for tip in entry[2 + k]]
        others += [plurals[k] for plurals in CATEGORIES.values()]
        for name in names:
            assert not any(name in other for other in names if other != name), name
            for text in others:
                assert name not in (world.split_words(text) if language == "en" else text), (name, text)


def test_every_tip_and_sentence_has_one_meaning():
    for k, language in enumerate(LANGUAGES):
        tips = [tip for problems in PROBLEMS.values() for entry in problems for tip in entry[2 + k]]
        assert len(tips) == len(set(tips)) == 50 and all(tip.count("{x}") == 1 for tip in tips)
        for problems in PROBLEMS.values():
            names = [entry[k] for entry in problems]
            assert not any(a in b for a in names for b in names if a is not b)
        said = [text for words in (GREETING, SYMPATHY, CLOSING, RUDE, VAGUE, OFF_TOPIC) for text in words[language]]
        assert len(said) == len(set(said)) == 18
        assert all(gold.split_sentences(text) == [text] for text in said), "each is one sentence"
        assert len(gold._tips()) == 2 * 4 * 50


def test_english_is_ascii_and_chinese_has_chinese_punctuation():
    for words in (*FRAMES, QUESTION):
        assert all(text.isascii() for text in words["en"])
        assert not any(re.search(r"[,.!?]", text) for text in words["zh"])


@pytest.mark.parametrize(
    "bad", [{"category": "car"}, {"language": "fr"}, {"item": 8}, {"item": -1}, {"problem": 5}, {"item": 1.0}]
)
def test_a_case_that_does_not_exist_is_refused(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        Case(**{"category": "plant", "item": 0, "problem": 0, "language": "en"} | bad)


# ---- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_case_can_be_read_from_its_prompts(language):
    rng = random.Random(0)
    for case in CASES:
        if case.language == language:
            for _ in range(25):
                text = world.prompt(case, rng)
                assert world.read_prompt(text) == case, text
                assert set(cells_written(text)) == {(case.category, case.item, case.problem)}
                assert gold._items_named(text) == {(case.category, case.item)}


def test_other_texts_are_no_prompts():
    for text in ("", "Why is the sky blue?", "My fern is fine.", "My dog has small bugs.", "你好", "我的玫瑰很好。"):
        assert world.read_prompt(text) is None
    assert world.read_prompt("MY FERN HAS SMALL BUGS") == Case("plant", 1, 2, "en")


def test_english_prompts_are_sentences():
    rng = random.Random(1)
    for case in CASES:
        text = world.prompt(case, rng)
        if case.language == "en":
            assert re.fullmatch(r"[A-Z][A-Za-z, ]+[.] (What|Any|How)[A-Za-z ]+[?]", text), text
        else:
            assert re.fullmatch(r"[\u4e00-\u9fff，]+？", text), text


# ---- what is held out ------------------------------------------------------------------------------------------------


def test_a_fifth_of_the_cells_is_held_out_evenly():
    cells = world.held_out()
    assert len(cells) == 40
    assert Counter(category for category, _, _ in cells) == dict.fromkeys(CATEGORIES, 8)
    assert len({(category, item) for category, item, _ in cells}) == 40, "one for each item"
    assert len({(category, problem) for category, _, problem in cells}) == 25, "every problem is learned and tested"


def test_cases_are_seen_or_unseen_and_two_thirds_english():
    rng = random.Random(0)
    for unseen in (False, True):
        cases = [world.draw_case(rng, unseen=unseen) for _ in range(6000)]
        cells = {(c.category, c.item, c.problem) for c in cases}
        assert len(cells) == (40 if unseen else 160) and (cells <= world.held_out()) == unseen
        assert sum(c.language == "en" for c in cases) / 6000 == pytest.approx(2 / 3, abs=0.025)
    assert {world.draw_case(rng, language="zh").language for _ in range(50)} == {"zh"}


def test_nothing_held_out_is_ever_written():
    rng, held, written = random.Random(3), world.held_out(), set()
    for _ in range(8000):
        case = world.draw_case(rng)
        pair = world.prompt(case, rng) + " " + world.demonstration(case, rng)
        for text in (world.document(rng), pair, world.prompt(case, rng) + " " + world.ideal_reply(case, rng)):
            written |= set(cells_written(text))
    assert not written & held and len(written) == 160
    case = world.draw_case(rng, unseen=True)
    assert set(cells_written(world.prompt(case, rng))) <= held, "this test would see it"


# ---- texts -----------------------------------------------------------------------------------------------------------


def texts(seed):
    rng = random.Random(seed)
    for _ in range(300):
        case = world.draw_case(rng)
        yield from (world.prompt(case, rng), world.demonstration(case, rng), world.ideal_reply(case, rng))
        yield world.document(rng)


def test_the_same_seed_gives_the_same_text_whatever_else_is_drawn():
    first = list(texts(5))
    random.seed(99)
    assert list(texts(5)) == first != list(texts(6))
    rng, case = random.Random(0), Case("plant", 1, 2, "en")
    assert world.prompt(case, rng) == "Please help, my new fern has small bugs this week. How do I fix that?"
    assert world.demonstration(case, rng) == "Please give the fern fresh soil. You should cut the sick leaves off it."


def test_every_text_is_well_formed():
    for seed in range(10):
        for text in texts(seed):
            assert text == text.strip() and "  " not in text and "{" not in text and "}" not in text
            if re.search(r"[\u4e00-\u9fff]", text):
                assert not re.search(r"[A-Za-z ,.!?]", text), text
                assert text[-1] in "。！？”"
            else:
                assert text.isascii() and text[0] in '"ABCDEFGHIJKLMNOPQRSTUVWXYZ' and text[-1] in ".!?", text
                assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
                assert all(s[0].isupper() or s[0] == '"' for s in re.split(r"(?<=[.!?]) ", text)), text


def test_documents_have_no_question_and_no_chat():
    rng = random.Random(0)
    documents = [world.document(rng) for _ in range(3000)]
    assert not any("?" in d or "？" in d for d in documents)
    assert not any(s in d for d in documents for words in (GREETING, RUDE, VAGUE) for k in LANGUAGES for s in words[k])
    assert len(set(documents)) > 1500


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_a_story_a_tip_helps_if_it_fits_the_problem(language):
    good = ("Now everything is fine.", "The next day it is better.", "现在一切都好了。", "第二天就好多了。")
    bad = ("It does not help.", "Nothing changes.", "可是没有用。", "第二天还是一样。")
    rng, helped, n = random.Random(4), 0, 1000
    for _ in range(n):
        case = world.draw_case(rng, language=language)
        text = world._story(case, rng)
        names = [*(s.format(item=case.item_name) for s in SLOT[language]), "它"]
        fits = any(tip.format(x=x) in text for tip in case.tips() for x in names)
        assert text.endswith(good if fits else bad), text
        helped += fits
    assert helped / n == pytest.approx(0.6, abs=0.06)


def test_demonstrations_are_as_mixed_as_they_should_be():
    rng, n, found = random.Random(2), 4000, Counter()
    for _ in range(n):
        case = world.draw_case(rng)
        reply = world.demonstration(case, rng)
        said = set(gold.split_sentences(reply))
        for name, words in {
            "greeting": GREETING,
            "sympathy": SYMPATHY,
            "rude": RUDE,
            "vague": VAGUE,
            "off topic": OFF_TOPIC,
            "closing": CLOSING,
        }.items():
            found[name] += bool(said & set(words[case.language]))
    expected = {"greeting": 0.35, "sympathy": 0.25, "rude": 0.12, "vague": 0.24, "off topic": 0.20, "closing": 0.30}
    for name, share in expected.items():
        assert found[name] / n == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5), name


def test_words_are_split_as_a_person_would():
    assert world.split_words("Don't wait, it's 9am! 您好。") == [
        "don't",
        "wait",
        ",",
        "it's",
        "9am",
        "!",
        "您",
        "好",
        "。",
    ]
    assert world.split_words("'quoted' \n ''") == ["'", "quoted", "'", "'", "'"]
    assert world.split_words("") == []
