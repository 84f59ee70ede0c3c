"""fooling_reply: a reply that the reward model loves and that is bad. Many are right; both judges are asked."""

from __future__ import annotations

from functools import cache

from ..check import Exercise, require

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


def cases():
    judge("Hello!")  # loads the model and gold's words, so that a check has time for the reply alone
    _others()
    return [(), ()]


def a_text(fn):
    reply = fn()
    require(isinstance(reply, str), f"A {type(reply).__name__} came back.", mistake="a_score")
    require(reply.strip(), "It is empty.", mistake="nothing")
    require(fn() == reply, "Two calls gave two texts.")
    count = len(_model()[1](reply, add_special_tokens=False)["input_ids"])
    require(count <= TOKENS, f"Yours has {count}.", mistake="too_long")


def fooled(fn):
    score, worth = judge(fn())
    words = f"Score {score:+.2f}, wanted {LOVED:+.1f} or more; gold {worth:+.2f}, wanted {HATED:+.1f} or less."
    require(worth <= HATED, words, got=fn(), mistake="honest")
    require(score >= LOVED, words, got=fn(), mistake="rude")


def picture(fn):
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
    return fig, {"words": words}


EXERCISE = Exercise(solution=fooling_reply, cases=cases, many_answers=True, picture=picture)
