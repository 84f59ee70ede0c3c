"""The gold score, against sums made with a pencil; and rankings that agree with it as often as people would."""

import math
import random
import statistics
from collections import Counter

import pytest

from course.desk import world
from course.desk.gold import WORTH, gold, language_of, rank, split_sentences
from course.desk.vocabulary import ITEMS, LANGUAGES, SLOT, TIP
from course.desk.world import Case

FERN = Case("plant", 1, 2, "en")  # "My fern has small bugs."  tips: wash it with soap, cut the sick leaves off it
CAT = Case("pet", 1, 0, "zh")  # 我的猫咪不吃东西  tips: 给它吃温热的东西, 给它换一个碗
NONSENSE = "Soap soap fern the of of wash."

BY_HAND = [  # case, reply, ended, {term: count}, total
    # 2.0 + 0.7
    (FERN, "You can wash your fern with soap.", True, {"right tip": 1, "names the item": 1}, 2.7),
    # 2.0, as "it" names nothing
    (FERN, "Please cut the sick leaves off it.", True, {"right tip": 1}, 2.0),
    # 0.6 + 0.5 + 2.0 + 0.7 + 0.5
    (
        FERN,
        "Hi there! That must be annoying. Try to wash the fern with soap. I hope this helps!",
        True,
        {"greeting": 1, "sympathy": 1, "right tip": 1, "names the item": 1, "closing": 1},
        4.3,
    ),
    # 2.0 - 0.7: the right tip for somebody else's rose
    (FERN, "You can wash your rose with soap.", True, {"right tip": 1, "other items": 1}, 1.3),
    # -1.0 + 0.7
    (FERN, "You should water your fern less often.", True, {"wrong tips": 1, "names the item": 1}, -0.3),
    # 2.0 - 1.0
    (FERN, "You can wash it with soap. Please feed it once a week.", True, {"right tip": 1, "wrong tips": 1}, 1.0),
    # -1.5 - 0.6
    (FERN, "What a silly question. Just wait and see.", True, {"rude": 1, "vague": 1}, -2.1),
    # nothing good, nothing bad
    (FERN, "The weather is lovely today.", True, {}, 0.0),
    # nothing said: too short, and cut
    (FERN, "", False, {"too short": 1, "no end": 1}, -1.5),
    (FERN, "Hello!", True, {"greeting": 1, "too short": 1}, -0.4),
    # the right tip in Chinese for an English customer: 2.0 - 2.0
    (FERN, "您可以用肥皂水洗它。", True, {"right tip": 1, "wrong language": 1}, 0.0),
    # 2.0 + 0.7, cut before the end
    (FERN, "You can wash your fern with soap.", False, {"right tip": 1, "names the item": 1, "no end": 1}, 2.2),
    # 0.5 - 4 x 0.6 - 10 x 0.15 - 2 x 0.5 - 4 x 0.5: "Thank you !" has 3 trigrams, and 13 stand here; "! thank" is new
    (
        FERN,
        "Thank you! Thank you! Thank you! Thank you! Thank you!",
        True,
        {"closing": 1, "repeated sentences": 4, "repeated trigrams": 10, "too much courtesy": 2, "unheard-of pairs": 4},
        -6.4,
    ),
    # 2.0 + 0.7 + 0.6 + 0.5
    (
        CAT,
        "您好！您可以给您的猫咪换一个碗。谢谢您！",
        True,
        {"greeting": 1, "right tip": 1, "names the item": 1, "closing": 1},
        3.8,
    ),
    # 2.0 + 0.7 - 0.7 - 2 x 0.15: 请给这 and 给这个 stand there twice
    (
        CAT,
        "请给这个猫咪换一个碗。请给这个狗狗吃温热的东西。",
        True,
        {"right tip": 1, "names the item": 1, "other items": 1, "repeated trigrams": 2},
        1.7,
    ),
    # -1.5 - 0.6 + 0.5
    (CAT, "这是您自己的错。会好的。祝您愉快！", True, {"rude": 1, "vague": 1, "closing": 1}, -1.6),
    # -1.0 for a tip of another problem; 2 characters for the item, "它" names nothing
    (CAT, "您应该少喂它一点。", True, {"wrong tips": 1}, -1.0),
    # English to a Chinese customer: 2.0 - 2.0
    (CAT, "You can offer it warm food.", True, {"right tip": 1, "wrong language": 1}, 0.0),
    # "会好的" has 3 characters: -0.6 - 1.0
    (CAT, "会好的。", True, {"vague": 1, "too short": 1}, -1.6),
]


@pytest.mark.parametrize(("case", "reply", "ended", "counts", "total"), BY_HAND, ids=[row[1][:30] for row in BY_HAND])
def test_the_score_is_what_a_pencil_says(case, reply, ended, counts, total):
    result = gold(case, reply, ended=ended)
    assert result.counts == counts
    assert result.total == pytest.approx(total)
    assert sum(WORTH[name] * n for name, n in result.counts.items()) == pytest.approx(result.total)


def test_the_formula_is_the_one_agreed_on():
    assert WORTH == {
        "right tip": 2.0,
        "wrong tips": -1.0,
        "names the item": 0.7,
        "other items": -0.7,
        "greeting": 0.6,
        "sympathy": 0.5,
        "closing": 0.5,
        "rude": -1.5,
        "vague": -0.6,
        "words too many": -0.1,
        "too short": -1.0,
        "repeated sentences": -0.6,
        "repeated trigrams": -0.15,
        "too much courtesy": -0.5,
        "unheard-of pairs": -0.5,
        "wrong language": -2.0,
        "no end": -0.5,
    }


def count(term, reply, case=FERN):
    return gold(case, reply).counts.get(term, 0)


def test_every_term_is_hit_by_hand_or_below():
    hit = Counter(name for *_, counts, _ in BY_HAND for name in counts)
    assert set(WORTH) - set(hit) == {"words too many"}


@pytest.mark.parametrize(("case", "word", "limit"), [(FERN, " fern", 24), (CAT, "猫", 34)])
def test_a_reply_may_have_so_many_words(case, word, limit):
    assert count("words too many", word * limit + ".", case) == 0
    assert count("words too many", word * (limit + 3) + ".", case) == 3
    assert count("too short", word * 3 + "....", case) == 1 and count("too short", word * 4, case) == 0


def test_caps_are_respected():
    tips = [f"Please {tip.format(x='it')}." for p in (0, 1, 3, 4) for tip in FERN.tips(p)]
    assert [count("wrong tips", " ".join(tips[:n])) for n in range(5)] == [0, 1, 2, 2, 2]
    assert [count("right tip", "You can wash it with soap. " * n) for n in (1, 2)] == [1, 1]
    named = ["rose", "tulip", "dog", "cat", "pie"]
    assert [count("other items", " ".join(["fern", *named[:n]])) for n in range(6)] == [0, 1, 2, 3, 3, 3]
    assert count("other items", "rose rose rose") == 1, "the same one is one"
    assert [count("unheard-of pairs", " ".join(["zebra"] * n)) for n in (1, 3, 9, 10, 30)] == [0, 2, 8, 8, 8]
    courtesy = ["Hello!", "I understand your worry.", "Thank you!", "Hi there!", "Have a nice day!"]
    assert [count("too much courtesy", " ".join(courtesy[:n])) for n in range(6)] == [0, 0, 0, 0, 1, 2]
    assert count("greeting", "Hello! Hi there!") == 1 and count("rude", "Figure it out yourself. " * 2) == 1


def test_repetition_counts_each_time_after_the_first():
    assert count("repeated sentences", "I like football. I like football. I like football.") == 2
    assert count("repeated trigrams", "a b c a b c") == 1 and count("repeated trigrams", "a a a a") == 1
    assert count("repeated trigrams", "a b c d") == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tip_is_a_tip_in_every_frame_and_with_every_slot(language):
    for category in ITEMS:
        for item in range(8):
            case = Case(category, item, item % 5, language)
            for frame in TIP[language]:
                for slot in SLOT[language]:
                    for problem in range(5):
                        for tip in case.tips(problem):
                            reply = frame.format(tip=tip.format(x=slot.format(item=case.item_name)))
                            counts = gold(case, reply).counts
                            right = problem == case.problem
                            assert counts.get("right tip", 0) == right and counts.get("wrong tips", 0) == (not right)
                            assert ("names the item" in counts) == ("{item}" in slot)
                            assert "other items" not in counts


def test_half_a_tip_is_none():
    for reply in (
        "You can wash your with soap.",
        "wash your fern with soap",
        "You can wash your fern fern with soap.",
        "You can wash your fern with soap!",
        "you can wash your fern with soap.",
    ):
        assert count("right tip", reply) == 0, reply


def test_the_grammar_knows_its_own_pairs_and_gibberish_is_noticed():
    rng = random.Random(77)
    for i in range(3000):
        case = world.draw_case(rng, unseen=i % 4 == 0)
        assert count("unheard-of pairs", world.demonstration(case, rng), case) == 0
    assert count("unheard-of pairs", NONSENSE) == 7  # all of them
    assert count("unheard-of pairs", "请用肥\ufffd肥\ufffd肥\ufffd部部", CAT) == 7  # all but 请用 and 用肥


def test_an_ideal_reply_is_worth_as_much_as_any_can_be():
    rng = random.Random(0)
    scores = {gold(case, world.ideal_reply(case, rng)).total for case in (world.draw_case(rng) for _ in range(1500))}
    assert scores == {4.3} and sum(x for x in WORTH.values() if x > 0) == pytest.approx(4.3)


def test_demonstrations_leave_much_to_learn():
    rng = random.Random(4)
    cases = [world.draw_case(rng) for _ in range(5000)]
    scores = [gold(case, world.demonstration(case, rng)).total for case in cases]
    assert statistics.mean(scores) == pytest.approx(1.58, abs=0.1)
    assert statistics.stdev(scores) == pytest.approx(1.61, abs=0.1)


def test_the_table_is_the_sum_as_you_would_write_it_down():
    lines = gold(FERN, BY_HAND[12][1]).table().splitlines()
    assert lines[0].split() == ["closing", "1", "x", "+0.50", "=", "+0.50"]
    assert lines[-1].split() == ["total", "-6.40"]
    assert len({len(line) for line in lines}) == 1, "the points stand in one column"
    assert gold(FERN, "Our shop opens at nine.").table().split() == ["total", "+0.00"]


def test_the_language_of_a_text():
    assert language_of("Hello there, how are you?") == "en" and language_of("您好") == "zh"
    assert language_of("您的 fern 有小虫") == "zh" and language_of("Your whole beautiful fern 好") == "en"
    assert language_of("... 12") is None and language_of("") is None
    assert count("wrong language", "123 456 ...") == 0


def test_sentences_keep_their_mark():
    assert split_sentences("Hi there! Go on. And") == ["Hi there!", "Go on.", "And"]
    assert split_sentences("您好！好吗？好") == ["您好！", "好吗？", "好"]
    assert split_sentences("What?! ...") == ["What?!", "..."] and split_sentences(" ") == []


# ---- rankings --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worths():
    """The worth of 4 replies to each of 1,500 customers."""
    rng = random.Random(6)
    cases = [world.draw_case(rng) for _ in range(1500)]
    return [[gold(case, world.demonstration(case, rng)).total for _ in range(4)] for case in cases]


def agreement(worths, **named):
    """Share of the pairs of replies to one customer, of different worth, that rankings order as gold does."""
    rng, right, n = random.Random(6), 0, 0
    for worth in worths:
        order = rank(worth, rng, **named)
        assert sorted(order) == [0, 1, 2, 3]
        pairs = [(worth[a], worth[b]) for i, a in enumerate(order) for b in order[i + 1 :] if worth[a] != worth[b]]
        right, n = right + sum(a > b for a, b in pairs), n + len(pairs)
    return right / n


def test_noisy_rankings_mostly_agree_with_gold(worths):
    usual = agreement(worths)
    assert 0.88 < usual < 0.93
    assert agreement(worths, noise=0.6) < usual < agreement(worths, careless=0)
    assert agreement(worths, noise=0, careless=0) == 1
    assert agreement(worths, careless=1) == pytest.approx(0.5, abs=0.03)


def test_a_ranking_follows_plackett_and_luce():
    scores, rng, n = [1.0, 0.0, 0.5], random.Random(8), 20_000
    first = Counter(tuple(rank(scores, rng, noise=0.5, careless=0)) for _ in range(n))
    strength = [math.exp(s / 0.5) for s in scores]
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        a, b, c = (strength[i] for i in order)
        share = a / (a + b + c) * b / (b + c)
        assert first[order] / n == pytest.approx(share, abs=4 * (share / n) ** 0.5)


class Zero(random.Random):
    """random() may be 0, whose logarithm is not a number."""

    def random(self):
        return 0.0


def test_a_ranking_survives_an_unlucky_draw_and_refuses_nonsense():
    assert rank([1.0, 3.0, 2.0], Zero(), careless=0.0) == [1, 2, 0]
    for name, value in (("noise", -1), ("careless", 1.5), ("noise", float("nan"))):
        with pytest.raises(ValueError, match=f"{name} must be"):
            rank([1.0, 2.0], random.Random(0), **{name: value})
