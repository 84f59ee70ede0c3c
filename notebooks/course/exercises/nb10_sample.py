"""Notebook 10: draw one token, and write down the log-probability with which it was drawn."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, Wrong, close, require
from ..edited import edited


def sample_token(logits, u, temperature):
    """The token in whose stretch of [0, 1) the number u falls, and its log-probability: (B,), (B,)."""
    logps = (logits / temperature).log_softmax(-1)  # (B, V)
    ends = logps.double().exp().cumsum(-1)  # (B, V): where each token's stretch ends
    tokens = (ends <= u[:, None] * ends[:, -1:]).sum(-1)  # how many lie left of u: the last ends near 1, not at it
    return tokens, logps.gather(-1, tokens[:, None])[:, 0]


def _cases():
    g = torch.Generator().manual_seed(12)

    def drawn(B, V, temperature, size=1.5):
        logits = size * torch.randn(B, V, generator=g)
        u = torch.rand(B, generator=g, dtype=torch.float64)
        for at in (1.0, temperature, 1 / temperature):  # keep away from the edges, where rounding decides
            ends = (logits / at).softmax(-1).double().cumsum(-1)
            near = (ends - u[:, None]).abs().amin(-1) < 1e-3
            u = torch.where(near, (u + 0.013) % 1, u)
        return logits, u, temperature

    half = torch.tensor([[0.0, 0.0]])
    return [
        (half, torch.tensor([0.3], dtype=torch.float64), 1.0),
        (half, torch.tensor([0.7], dtype=torch.float64), 1.0),
        (torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([0.8], dtype=torch.float64), 2.0),
        (torch.tensor([[-torch.inf, 0.0, 0.0]]), torch.tensor([0.0], dtype=torch.float64), 1.0),
        (torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]] * 3), torch.tensor([0.2, 0.96, 0.999], dtype=torch.float64), 1.0),
        drawn(6, 8, 0.5),
        drawn(12, 30, 1.0),
        drawn(16, 12, 1.5),
        drawn(5, 9, 0.8, size=4.0),
    ]


GRID = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000  # u, evenly over [0, 1)


def _shares_are_probabilities(fn):
    """Over all u from 0 to 1, each token comes up as often as its probability says."""
    logits = torch.tensor([1.0, -0.5, 2.0, 0.3, -1.2])
    tokens, _ = fn(logits.expand(2000, -1), GRID, 0.7)
    shares = torch.bincount(tokens.flatten().long(), minlength=5) / 2000
    close(shares, (logits / 0.7).softmax(-1), rtol=0, atol=2e-3, case=(logits[None], GRID[:1], 0.7))


def _score_is_the_rescore(fn):
    """The log-probability you write down is the one that scoring the token again gives: log_softmax(logits / T)."""
    for logits, u, temperature in _cases()[5:]:
        tokens, logps = fn(logits, u, temperature)
        again = (logits / temperature).log_softmax(-1).gather(-1, tokens[:, None].long())[:, 0]
        close(logps, again, case=(logits, u, temperature))


def _empty_stretches(fn):
    """A token of probability 0 is never drawn, at u = 0 neither."""
    logits = torch.tensor([[-torch.inf, 0.0, 0.0]] * 3)
    case = logits, torch.tensor([0.0, 0.3, 0.7], dtype=torch.float64), 1.0
    tokens, _ = fn(*case)
    require(tokens.tolist() != [0, 1, 2], case=case, got=tokens, mistake="_impossible_at_zero")


def _near_one(fn):
    """Every u below 1 has its token: just below 1, the last one."""
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(3))
    case = logits, torch.full((64,), 1 - 1e-9, dtype=torch.float64), 1.0
    words = "With u = 1 - 1e-9 yours has none: "
    try:
        tokens, _ = fn(*case)
    except Wrong as wrong:
        raise Wrong(words + wrong.message, case=case, mistake="_behind_the_end") from wrong
    require((tokens == 49).all(), words + "another one came back.", case=case, mistake="_behind_the_end")


def _drawn(logps, u):
    ends = logps.double().exp().cumsum(-1)
    return (ends <= u[:, None] * ends[:, -1:]).sum(-1)


def _top_three(logits, temperature):
    x = logits / temperature
    k = min(3, x.shape[-1])
    return x.masked_fill(x < x.topk(k).values[:, -1:], -torch.inf).log_softmax(-1)


def _top_k_left_on(logits, u, temperature):
    tokens = _drawn(_top_three(logits, temperature), u)
    return tokens, (logits / temperature).log_softmax(-1).gather(-1, tokens[:, None])[:, 0]


def _top_k_in_both(logits, u, temperature):
    logps = _top_three(logits, temperature)
    tokens = _drawn(logps, u)
    return tokens, logps.gather(-1, tokens[:, None])[:, 0]


SAMPLE = Exercise(
    id="10.sample_token",
    title="Draw a token, and the score that belongs to it",
    solution=sample_token,
    cases=_cases,
    properties=[_shares_are_probabilities, _score_is_the_rescore, _empty_stretches, _near_one],
    rtol=1e-4,
    atol=1e-5,
    mistakes=[
        Mistake(
            edited(sample_token, {"return tokens, logps": "return tokens, logits.log_softmax(-1)"}, "_scored_at_one"),
            "Drawn at the temperature, scored without it. The score must come from the very distribution that drew: "
            "logits / temperature in both.",
            "jingyaogong/minimind draws at 0.8 and scores at 1; huggingface/trl pull request 3029",
        ),
        Mistake(
            edited(sample_token, {"ends = logps": "ends = logits.log_softmax(-1)"}, "_drawn_at_one"),
            "Scored at the temperature, drawn without it. Use logits / temperature in both.",
        ),
        Mistake(
            edited(sample_token, {" / temperature": ""}, "_no_temperature"),
            "The temperature is missing, in the draw and in the score: logits / temperature first.",
        ),
        Mistake(
            edited(sample_token, {"/ temperature": "* temperature"}, "_times_temperature"),
            "You multiplied by the temperature. A low temperature sharpens: divide.",
        ),
        Mistake(
            edited(
                sample_token,
                {
                    " / temperature": "",
                    "log_softmax(-1)": "log_softmax(-1) / temperature",
                    " * ends[:, -1:]).sum(-1)": ").sum(-1).clamp(max=logits.shape[-1] - 1)",
                },
                "_logps_divided",
            ),
            "You divided log-probabilities by the temperature. Afterwards they do not sum to 1: divide the LOGITS.",
            "MoonshotAI/Kimi-Audio pull request 161",
        ),
        Mistake(
            edited(sample_token, {"(ends <= u[:, None] * ends[:, -1:]).sum(-1)": "logps.argmax(-1)"}, "_greedy"),
            "You took the likeliest token, whatever u is. Then there is nothing to explore, and probabilities mean "
            "nothing. Draw.",
        ),
        Mistake(
            _top_k_left_on,
            "Only the three likeliest tokens can come up (top-k), but the score is that of the whole vocabulary. "
            "Leave no token out.",
            "huggingface/trl issue 235: a negative KL was the symptom",
        ),
        Mistake(
            _top_k_in_both,
            "Draw and score agree with each other, but both leave out all but three tokens. The training code knows "
            "nothing of that top-k. Leave no token out.",
        ),
        Mistake(
            edited(
                sample_token,
                {"ends = logps": "ends = logps.sort(-1, descending=True).values"},
                "_place_in_the_sorted_list",
            ),
            "This is the token's rank among the sorted probabilities, not its id. There is no need to sort.",
        ),
        Mistake(
            edited(sample_token, {").sum(-1)": ").sum(-1).sub(1).clamp(min=0)"}, "_one_too_early"),
            "One too early. The number of stretches that lie wholly left of u IS the token: counting starts at 0.",
        ),
        Mistake(
            edited(sample_token, {").sum(-1)": ").sum(-1).add(1).clamp(max=logits.shape[-1] - 1)"}, "_one_too_late"),
            "One too late. Count only the stretches that END at or before u.",
        ),
        Mistake(
            edited(sample_token, {"<= u": "< u"}, "_impossible_at_zero"),
            "At u = 0 you draw a token of probability 0. Its stretch is empty: a stretch holds its start, not its end "
            "(`ends <= u`, or `searchsorted(..., right=True)`).",
        ),
        Mistake(
            edited(sample_token, {" * ends[:, -1:]": ""}, "_behind_the_end"),
            "In float32 the probabilities sum to a little less than 1, half of the time, and a u above this sum lies "
            "behind all stretches. Scale u by the last end, `u[:, None] * ends[:, -1:]`, or `clamp` the token.",
        ),
        Mistake(
            edited(sample_token, {"return tokens, logps": "return tokens, ends.log().float()"}, "_score_of_the_sum"),
            "Your score is the logarithm of the running sum. The token's own probability is wanted.",
        ),
        Mistake(
            edited(sample_token, {"return tokens, logps": "return tokens, logps.exp()"}, "_probability"),
            "Your second value is a probability. Its logarithm is wanted.",
        ),
        Mistake(
            edited(sample_token, {"return tokens, logps": "return tokens, (logits / temperature)"}, "_bare_logit"),
            "Your second value is the logit. `log_softmax` makes a log-probability of it.",
        ),
        Mistake(
            edited(
                sample_token,
                {"(ends <= u[:, None] * ends[:, -1:]).sum(-1)": "torch.multinomial(logps.exp(), 1)[:, 0]"},
                "_own_dice",
            ),
            "You threw dice of your own. The number u is the random number: use it.",
        ),
    ],
    hints=[
        "Lay the probabilities end to end on [0, 1). The token is the one in whose stretch u falls.",
        "`logps = (logits / temperature).log_softmax(-1)`; its exp, summed up with `cumsum(-1)`, gives the ends.",
        "`tokens = (ends <= u[:, None] * ends[:, -1:]).sum(-1)`, and `logps.gather(-1, tokens[:, None])[:, 0]`.",
    ],
)
