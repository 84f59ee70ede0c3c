"""Notebook 10: the log-probability of every token of a reply, from the model's logits."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited


def token_logps(logits, ids, response_length, temperature):
    """log pi of every reply token, read one column before it: (B, T) float32."""
    deciding = logits[:, -response_length - 1 : -1].float() / temperature  # (B, T, V)
    replies = ids[:, -response_length:]  # (B, T)
    return deciding.log_softmax(-1).gather(-1, replies[..., None])[..., 0]


def _batch(g, B, P, T, V, temperature, *, size=1.0, dtype=torch.float32):
    logits = size * torch.randn(B, P + T, V, generator=g)
    return logits.to(dtype), torch.randint(V, (B, P + T), generator=g), T, temperature


def _cases():
    g = torch.Generator().manual_seed(10)
    return [
        _batch(g, 1, 2, 1, 3, 1.0),
        _batch(g, 1, 2, 2, 3, 1.0),
        _batch(g, 1, 2, 3, 4, 0.5),
        _batch(g, 2, 3, 3, 5, 2.0),
        _batch(g, 3, 4, 6, 7, 0.7, size=3.0),
        _batch(g, 2, 5, 4, 6, 1.0, size=80.0),  # some tokens are impossible in float32, and have a logarithm
        _batch(g, 2, 3, 4, 40, 0.7, size=2.0, dtype=torch.bfloat16),
    ]


def _one_token_has_to_come(fn):
    """At one place, the probabilities of all tokens that could stand there sum to 1."""
    logits, ids, T, temperature = _cases()[3]
    total = 0.0
    for token in range(logits.shape[-1]):
        ids[:, -1] = token
        total = total + fn(logits, ids, T, temperature)[:, -1].exp()
    close(total, torch.ones(len(logits)), case=(logits, ids, T, temperature), rtol=1e-4)


def _last_column_is_free(fn):
    """Behind the last token nothing is chosen: what the model says in the last column must not matter."""
    logits, ids, T, temperature = _cases()[4]
    before = fn(logits, ids, T, temperature)
    logits = logits.clone()
    logits[:, -1] += 5 * torch.rand(logits.shape[-1], generator=torch.Generator().manual_seed(0))
    close(fn(logits, ids, T, temperature), before, case=(logits, ids, T, temperature))


def _first_token_is_decided_by_the_prompt(fn):
    """The first reply token is decided in the last column of the prompt, P - 1."""
    logits, ids, T, temperature = _cases()[4]
    before = fn(logits, ids, T, temperature)
    logits = logits.clone()
    logits[:, -T - 1, ids[0, -T]] += 2.0
    after = fn(logits, ids, T, temperature)
    moved = (after[0] - before[0]).abs() > 1e-6
    require(moved[0] and not moved[1:].any(), case=(logits, ids, T, temperature), got=after)


def _unlikely_tokens_too(fn):
    """A token that is all but impossible has a logarithm too, here down to -220."""
    case = _cases()[5]
    got, want = fn(*case), token_logps(*case)
    right = torch.isclose(got, want, rtol=1e-4, atol=1e-5)
    lost = right[want > -15].all() and not right[want < -110].any()
    require(not lost, case=case, got=got, mistake="_log_of_softmax")


LOGPS = Exercise(
    id="10.token_logps",
    title="The log-probability of every token of a reply",
    solution=token_logps,
    cases=_cases,
    properties=[
        _one_token_has_to_come,
        _last_column_is_free,
        _first_token_is_decided_by_the_prompt,
        _unlikely_tokens_too,
    ],
    gradient=("logits",),
    rtol=1e-4,
    atol=1e-5,
    mistakes=[
        Mistake(
            edited(token_logps, {"[:, -response_length - 1 : -1]": "[:, -response_length:]"}, "_same_column"),
            "You read token t in its own column. There the model has already SEEN it, and says what comes next. Its "
            "choice stands one column earlier: `logits[:, -response_length - 1 : -1]`.",
            "AI-Hypercomputer/maxtext issue 2103: real tokens looked extremely unlikely",
        ),
        Mistake(
            edited(token_logps, {"- 1 : -1": "- 2 : -2"}, "_two_columns_before"),
            "You read token t two columns before it: there the model decided its left neighbour. One column, not two.",
        ),
        Mistake(
            edited(
                token_logps, {"ids[:, -response_length:]": "ids[:, -response_length - 1 : -1]"}, "_tokens_moved_too"
            ),
            "You moved the logits and the tokens. Then both stand for the neighbour on the left, the last prompt token "
            "counts as an action, and EOS is never scored. Move one of them only.",
            "a review of PrimeIntellect-ai/prime-rl pull request 1525 found such an offset against the sampler",
        ),
        Mistake(
            edited(token_logps, {"[:, -response_length - 1 : -1]": "[:, :response_length]"}, "_from_the_front"),
            "You took the first columns of the logits: they belong to the prompt. The reply stands at the end.",
            "lucidrains/PaLM-rlhf-pytorch issue 31",
        ),
        Mistake(
            edited(
                token_logps,
                {"[:, -response_length - 1 : -1]": "[:, :-1]", "ids[:, -response_length:]": "ids[:, 1:]"},
                "_prompt_too",
            ),
            "You scored the prompt too. Nobody chose its tokens: T numbers a row, not P + T - 1.",
        ),
        Mistake(
            edited(token_logps, {"log_softmax": "softmax"}, "_probabilities"),
            "These are probabilities. `log_softmax`, not `softmax`: ratios need differences of logs.",
        ),
        Mistake(
            edited(token_logps, {".log_softmax(-1)": ""}, "_bare_logits"),
            "These are bare logits. They sum to nothing in particular: subtract the log of the sum of their "
            "exponentials, which is what `log_softmax(-1)` does.",
        ),
        Mistake(
            edited(token_logps, {"log_softmax(-1)": "log_softmax(1)"}, "_over_time"),
            "You normalised over time. The choice is among tokens, the last axis: `log_softmax(-1)`.",
        ),
        Mistake(
            edited(token_logps, {"gather(-1, replies[..., None])[..., 0]": "max(-1).values"}, "_likeliest"),
            "You took the likeliest token at each place. The reply holds the token that was DRAWN: `gather` it.",
        ),
        Mistake(
            edited(token_logps, {"[..., 0]": "[..., 0].sum(-1)"}, "_whole_reply"),
            "This is the log-probability of the whole reply. PPO clips every token's ratio by itself: no sum here.",
            "asked in walkinglabs/hands-on-modern-rl issue 75",
        ),
        Mistake(
            edited(token_logps, {"[..., 0]": "[..., 0].mean(-1)"}, "_mean_of_the_reply"),
            "One mean for each reply came back. Keep one number for each token; means are taken later, with a mask.",
        ),
        Mistake(
            edited(token_logps, {"return deciding": "return -deciding"}, "_a_loss"),
            "The sign is flipped: this is a cross-entropy, a loss. A log-probability is at most 0.",
        ),
        Mistake(
            edited(token_logps, {" / temperature": ""}, "_no_temperature"),
            "The temperature is missing. The tokens were drawn from softmax(logits / temperature): score them there.",
            "huggingface/trl pull request 3029 and OpenRLHF/OpenRLHF pull request 853",
        ),
        Mistake(
            edited(token_logps, {"/ temperature": "* temperature"}, "_times_temperature"),
            "You multiplied by the temperature. A low temperature sharpens: divide.",
        ),
        Mistake(
            edited(token_logps, {" / temperature": "", "[..., 0]": "[..., 0] / temperature"}, "_logps_divided"),
            "You divided the log-probabilities. Afterwards they do not sum to 1 any more: divide the LOGITS, before "
            "`log_softmax`.",
            "MoonshotAI/Kimi-Audio pull request 161",
        ),
        Mistake(
            edited(token_logps, {".float()": ""}, "_in_bfloat16"),
            "Where the logits are bfloat16, so is your result: 8 bits for a sum over the whole vocabulary. "
            "`.float()` before `log_softmax`.",
        ),
        Mistake(
            edited(token_logps, {".float()": "", "[..., 0]": "[..., 0].float()"}, "_float_too_late"),
            "You went to float32 after `log_softmax`, when the digits were lost already. `.float()` comes first.",
            "OpenRLHF/OpenRLHF pull request 634",
        ),
        Mistake(
            edited(token_logps, {" / temperature": "", ".float()": ".div(temperature).float()"}, "_divided_too_early"),
            "The division by the temperature was rounded to bfloat16, 8 bits. `.float()` comes before it.",
        ),
        Mistake(
            edited(token_logps, {"log_softmax(-1)": "softmax(-1).log()"}, "_log_of_softmax"),
            "`softmax` rounds small probabilities to 0, and their logarithm is lost: -inf, or -16 where a library "
            "clamps them. `log_softmax` does both at once, safely.",
        ),
    ],
    hints=[
        "Three steps: the right columns of the logits, log_softmax over the vocabulary, the entry of each token.",
        "Columns P-1 ... P+T-2 are `logits[:, -response_length - 1 : -1]`; float32 and temperature come first.",
        "`x.log_softmax(-1).gather(-1, replies[..., None])[..., 0]`, with `replies = ids[:, -response_length:]`.",
    ],
)
