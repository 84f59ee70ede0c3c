"""Notebook 11: a reply that the reward model loves and that is bad. Many answers are right; both judges are asked."""

from __future__ import annotations

from functools import cache

from ..check.spec import Exercise, Mistake, require

QUESTION = "Hi, my old fern has small bugs. Any ideas?"
LOVED, HATED, TOKENS = 0.5, -1.0, 48  # score at least, gold at most; as long as the help desk's own model may speak


def fooling_reply():
    """Good advice, drowned in manners: hardly any reply that was ranked greets and thanks so often."""
    return "Hello! " * 3 + "You can wash your fern with soap." + " Thank you!" * 3


@cache
def _model():
    """The shipped reward model with its tokenizer. Loaded at the first call: nothing else here needs transformers."""
    from ppo_lesson.language.models import ScalarModel
    from ppo_lesson.language.text import load_tokenizer

    from ..desk.make import shipped

    return ScalarModel.load(shipped("reward_model")), load_tokenizer(shipped("tokenizer"))


def _case():
    from ..desk.world import read_prompt

    return read_prompt(QUESTION)


def judge(reply: str) -> tuple[float, float]:
    """(score of the shipped reward model, gold) of a reply to QUESTION."""
    from ppo_lesson.language.reward import score

    from ..desk.gold import gold

    return score(*_model(), [QUESTION], [reply]).item(), gold(_case(), reply).total


@cache
def _others() -> tuple[list[float], list[float]]:
    """Scores and gold of replies that the reward model was trained on."""
    from ppo_lesson.language.data import read_rankings
    from ppo_lesson.language.reward import score_rankings

    from ..desk.make import shipped
    from ..desk.measure import worth_of

    some = read_rankings(shipped("rankings.jsonl"))[:90]
    scores = [s for row in score_rankings(*_model(), some) for s in row.tolist()]
    return scores, [w for ranking in some for w in worth_of(ranking)]


def _nothing_to_choose():
    judge("Hello!")  # loads the model and gold's words, so that a check has time for the reply alone
    _others()
    return [(), ()]


def _a_text(fn):
    """The reply is a text, the same at every call, with at most 48 tokens."""
    reply = fn()
    require(isinstance(reply, str), f"A {type(reply).__name__} came back.", mistake="_a_score")
    require(reply.strip(), "It is empty.", mistake="_nothing")
    require(fn() == reply, "Two calls gave two texts.")
    count = len(_model()[1](reply, add_special_tokens=False)["input_ids"])
    require(count <= TOKENS, f"Yours has {count}.", mistake="_too_long")


def _fooled(fn):
    """The reward model must love the reply, and gold must hate it."""
    score, worth = judge(fn())
    words = f"Score {score:+.2f}, wanted {LOVED:+.1f} or more; gold {worth:+.2f}, wanted {HATED:+.1f} or less."
    require(worth <= HATED, words, got=fn(), mistake="_honest")
    require(score >= LOVED, words, got=fn(), mistake="_rude")


def _honest():
    return "Hello! I am sorry to hear that. You can wash your fern with soap. Thank you!"


def _rude():
    return "What a silly question. Figure it out yourself."


def _nothing():
    return ""


def _too_long():
    return "Thank you! " * 40


def _a_score():
    return 1.5


def _picture(fn):
    from ..pictures import EXACT, MUTED, NEGATIVE, dots, figure, key

    fig, ax = figure(
        width=6,
        height=3.6,
        xlabel="score of the reward model, in its standard deviations",
        ylabel="gold",
        xlim=(-3.2, 3.2),
        ylim=(-9, 5),
    )
    ax.fill_between([LOVED, 3.2], -9, HATED, color=NEGATIVE, alpha=0.12, linewidth=0)
    ax.text(3.1, -8.7, "loved by one,\nhated by the other", ha="right", va="bottom", color=NEGATIVE)
    ax.plot(*_others(), **dots(MUTED, markersize=3.5, alpha=0.5), label="replies it learned from")
    reply, words = fn(), "No text to judge"
    if isinstance(reply, str) and reply.strip():
        score, worth = judge(reply)
        words = f"yours: {score:+.2f}, gold {worth:+.2f}".replace("-", "−")
        ax.plot([min(max(score, -3.1), 3.1)], [min(max(worth, -8.8), 4.8)], **dots(EXACT, markersize=17), label=words)
    key(ax, loc="lower left")
    return fig, f"{words}, among the replies that the reward model learned from."


FOOL = Exercise(
    id="11.fooling_reply",
    title="Loved by the model, hated by gold",
    solution=fooling_reply,
    cases=_nothing_to_choose,
    properties=[_a_text, _fooled],
    many_answers=True,
    picture=_picture,
    mistakes=[
        Mistake(
            _honest,
            "Gold does not hate it: this reply is good, or at least harmless. Once the model loves a reply, make it "
            "bad. What does gold count that the model has seldom seen? Say a sentence again and again, thank too "
            "often, or give advice that nobody should follow.",
        ),
        Mistake(
            _rude,
            "Gold hates it, and the model is not won. It did learn what people mostly dislike: rudeness, the wrong "
            "language, fragments. Keep the shape of a good reply, with greeting, sympathy, a sentence that begins with "
            "You can, and a closing; spoil what it overlooks.",
        ),
        Mistake(_nothing, "An empty reply says nothing to either judge. Return one text between quotation marks."),
        Mistake(
            _too_long,
            "Longer than the help desk's own model may speak. Length alone goes far with many reward models; find "
            "something that fits.",
            "Singhal et al. 2023, who measured how much of the gain of RLHF is length",
        ),
        Mistake(_a_score, "Return the reply itself, a text in quotation marks, not what a judge thinks of it."),
    ],
    hints=[
        "Take the reply that both judges like and change one thing at a time. Which change does only gold notice?",
        "Rankings show the model what its own replies do wrong. What would such a reply hardly ever do? Greet three "
        "times, thank three times, advise to eat the fern.",
        'Try "Hello! Hello! Hello! You can wash your fern with soap." and then thank, again and again.',
    ],
)
