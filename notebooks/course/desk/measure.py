"""What a language model or a reward model of the help desk is worth, and rankings of a model's own replies."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from ppo_lesson import validate
from ppo_lesson.language.data import Ranking
from ppo_lesson.language.models import ScalarModel
from ppo_lesson.language.reward import accuracy, score_rankings
from ppo_lesson.language.sampling import generate
from ppo_lesson.language.text import pad_left, prompt_ids, reply_text

from . import world
from .gold import gold, rank

LONGEST = 48  # tokens of a reply; about 1 demonstration in 800 has more
REPLIES = 4  # in a ranking


def sample_replies(
    model, tokenizer, prompts: list[str], *, seed: int, temperature: float = 1.0, longest=LONGEST, rows: int = 256
) -> tuple[list[str], list[bool]]:
    """One reply of the model to each prompt: (texts, whether each ended by itself). rows: sampled at the same time."""
    generator = torch.Generator().manual_seed(seed)
    eos_id, pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    device, texts, ended = next(model.parameters()).device, [], []
    for i in range(0, len(prompts), rows):
        ids, mask = pad_left([prompt_ids(tokenizer, prompt) for prompt in prompts[i : i + rows]], pad_id)
        out = generate(
            model,
            ids.to(device),
            mask.to(device),
            max_new_tokens=longest,
            temperature=temperature,
            eos_id=eos_id,
            pad_id=pad_id,
            generator=generator,
        )[:, ids.shape[1] :]
        texts += [reply_text(tokenizer, row) for row in out]
        ended += (out == eos_id).any(-1).tolist()
    return texts, ended


def quality(model, tokenizer, *, count: int = 512, seed: int = 9, unseen: bool = True) -> dict[str, float]:
    """One reply to each of `count` prompts, on held-out cases unless unseen=False: mean gold, and shares of replies.

    {"gold", "right tip", "rude", "ended"}. The standard error of the mean gold of 512 replies is about 0.08.
    """
    rng = random.Random(seed)
    cases = [world.draw_case(rng, unseen=unseen) for _ in range(count)]
    texts, ended = sample_replies(model, tokenizer, [world.prompt(case, rng) for case in cases], seed=seed)
    scores = [gold(case, text, ended=end) for case, text, end in zip(cases, texts, ended)]
    return {
        "gold": sum(s.total for s in scores) / count,
        "right tip": sum("right tip" in s.counts for s in scores) / count,
        "rude": sum("rude" in s.counts for s in scores) / count,
        "ended": sum(ended) / count,
    }


def make_rankings(
    model, tokenizer, count: int, *, seed: int, unseen: bool = False, noise: float = 0.4
) -> list[Ranking]:
    """Rankings of four of the model's own replies to each of `count` prompts, as people would rank them.

    A prompt whose replies are all the same, or one of them empty, is left out: nobody could be asked to rank these.
    """
    rng = random.Random(seed)
    cases = [world.draw_case(rng, unseen=unseen) for _ in range(count)]
    prompts = [world.prompt(case, rng) for case in cases]
    texts, ended = sample_replies(model, tokenizer, [p for p in prompts for _ in range(REPLIES)], seed=seed)
    rankings = []
    for i, (case, prompt) in enumerate(zip(cases, prompts)):
        some = slice(i * REPLIES, (i + 1) * REPLIES)
        replies, ends = texts[some], ended[some]
        order = rank([gold(case, x, ended=e).total for x, e in zip(replies, ends)], rng, noise=noise)
        if all(replies) and len(set(replies)) > 1:
            cut = tuple(place for place, j in enumerate(order) if not ends[j])
            rankings.append(Ranking(prompt, tuple(replies[j] for j in order), cut))
    return rankings


def worth_of(ranking: Ranking) -> list[float]:
    """The gold score of each reply of a ranking of the help desk, in the ranking's order."""
    case = world.read_prompt(ranking.prompt)
    if case is None:
        raise ValueError(f"this prompt is not of the help desk, so that nobody knows its gold: {ranking.prompt!r}")
    return [gold(case, x, ended=e).total for x, e in zip(ranking.replies, ranking.ended)]


def agreement(rankings: list[Ranking]) -> float:
    """Share of the pairs of different gold that the rankings order as gold does: the ceiling of what can be learned."""
    return _ordered_as_gold([range(len(r.replies), 0, -1) for r in rankings], rankings)


def gold_accuracy(model: ScalarModel, tokenizer, rankings: list[Ranking]) -> float:
    """Share of the pairs of different gold that the reward model orders as gold does; `accuracy` asks the rankings."""
    return _ordered_as_gold([s.tolist() for s in score_rankings(model, tokenizer, rankings)], rankings)


def reward_quality(model: ScalarModel, tokenizer, held: list[Ranking]) -> dict[str, float]:
    """A reward model against the rankings of other cases: {"noisy accuracy", "gold accuracy", "correlation"}."""
    scores = torch.cat(score_rankings(model, tokenizer, held)).cpu()
    worth = torch.tensor([w for r in held for w in worth_of(r)])
    return {
        "noisy accuracy": accuracy(model, tokenizer, held),
        "gold accuracy": gold_accuracy(model, tokenizer, held),
        "correlation": torch.corrcoef(torch.stack([scores, worth]))[0, 1].item(),
    }


def _ordered_as_gold(scores: list, rankings: list[Ranking]) -> float:
    right, pairs = 0.0, 0
    for s, ranking in zip(scores, rankings):
        worth = worth_of(ranking)
        for a in range(len(worth)):
            for b in range(len(worth)):
                if worth[a] > worth[b]:
                    pairs += 1
                    right += (s[a] > s[b]) + 0.5 * (s[a] == s[b])
    return right / pairs


def calibration(margins: Tensor, preferred: Tensor, *, bins: int = 10) -> list[tuple[float, float, int]]:
    """Reliability: for bins of the predicted probability sigma(margin): (mean prediction, share preferred, count).

    margins: (n,) score differences; preferred: (n,), true where the person chose the first of the two.

    >>> bins = calibration(torch.tensor([2.0, 2.0, -2.0, -2.0]), torch.tensor([True, True, False, True]), bins=2)
    >>> [(round(prediction, 3), share, count) for prediction, share, count in bins]
    [(0.119, 0.5, 2), (0.881, 1.0, 2)]
    """
    validate.same_shape({"margins": margins, "preferred": preferred})
    validate.integer("bins", bins, 1)
    predicted = torch.sigmoid(margins)
    place = (predicted * bins).long().clamp(max=bins - 1)
    return [
        (predicted[place == b].mean().item(), preferred[place == b].float().mean().item(), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]
