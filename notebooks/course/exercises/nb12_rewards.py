"""Exercise 12.shape_rewards: one score a reply and the price of every token become one reward a token."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited


def shape_rewards(scores, logp, logp_ref, mask, beta):
    """-beta (log pi - log pi_ref) on every real token, and the score on the last real one: (B, T)."""
    with torch.no_grad():  # a reward is data
        rewards = torch.where(mask, -beta * (logp - logp_ref), 0.0)
        last = torch.where(mask, torch.arange(mask.shape[1]), -1).amax(-1)  # (B,)
        rewards[torch.arange(len(scores)), last] += scores
    return rewards


def _replies(seed, starts, ends, tokens, beta, *, padding=None, dtype=torch.float32):
    """Replies that fill the columns starts ... ends - 1; elsewhere stands `padding`, or numbers like all others."""
    g = torch.Generator().manual_seed(seed)
    places = torch.arange(tokens)
    mask = (places >= torch.tensor(starts)[:, None]) & (places < torch.tensor(ends)[:, None])
    logp = -3 * torch.rand(mask.shape, generator=g, dtype=dtype) - 0.1
    logp_ref = logp + 0.4 * torch.randn(mask.shape, generator=g, dtype=dtype)
    if padding is not None:
        logp, logp_ref = logp.where(mask, padding), logp_ref.where(mask, -padding)
    return torch.randn(len(starts), generator=g, dtype=dtype), logp, logp_ref, mask, beta


def _cases():
    one = torch.tensor([1.0]), torch.tensor([[-1.0]]), torch.tensor([[-1.5]]), torch.tensor([[True]]), 0.1
    return [
        one,
        _replies(1, (0,), (2,), 2, 0.5),
        _replies(2, (0, 0), (3, 2), 3, 0.1),
        _replies(3, (0, 0, 0), (4, 1, 3), 4, 0.0),
        _replies(4, (0, 0, 0), (2, 4, 1), 6, 0.2, dtype=torch.float64),
        _replies(5, (0, 0), (3, 5), 5, 0.3, padding=1e6),
        _replies(6, (2, 0, 1), (4, 3, 5), 6, 0.2),
    ]


def _sums(fn):
    """The rewards of a reply sum to its score minus beta times the sum of log π - log π_ref over its tokens."""
    for case in _cases():
        scores, logp, logp_ref, mask, beta = case
        want = scores - beta * (logp - logp_ref).where(mask, 0.0).sum(-1)
        close(fn(*case).sum(-1), want, case=case, rtol=1e-4, atol=1e-6)


def _same_model(fn):
    """Where the model is still the reference nothing is paid before the last token, and there the score."""
    scores, logp, _, mask, beta = case = _replies(8, (0, 0), (3, 4), 4, 0.5)
    got = fn(scores, logp, logp.clone(), mask, beta)
    close(got, torch.tensor([[0, 0, scores[0], 0], [0, 0, 0, scores[1]]]), case=case)


def _bad_luck_is_paid_too(fn):
    """A token less likely than under the reference is paid, a likelier one pays: so their mean is the KL."""
    case = torch.zeros(1), torch.tensor([[-2.0, -1.0]]), torch.tensor([[-1.0, -2.0]]), torch.ones(1, 2).bool(), 0.5
    close(fn(*case), torch.tensor([[0.5, -0.5]]), case=case)


def _data(fn):
    """Rewards are data: no gradient flows through them into log π."""
    scores, logp, logp_ref, mask, beta = case = _cases()[3]
    got = fn(scores, logp.clone().requires_grad_(), logp_ref, mask, beta)
    require(not got.requires_grad, case=case, mistake="_not_data")


def _nan_outside(fn):
    """NaN outside the mask reaches no reward."""
    case = _replies(7, (0, 0), (2, 3), 4, 0.1, padding=torch.nan)
    got = fn(*case)
    if got.isnan().any():  # which mistake is it? The one that does the same with plain numbers there
        plain = _replies(7, (0, 0), (2, 3), 4, 0.1, padding=1.0)
        close(fn(*plain), shape_rewards(*plain), "With 1 there, your rewards are wrong too.", case=plain)
        require(False, case=case, got=got, mistake="_times_mask")
    close(got, shape_rewards(*case), case=case)


# ---- wrong answers ---------------------------------------------------------------------------------------------------


PRICE = "torch.where(mask, -beta * (logp - logp_ref), 0.0)"
DISTANCE = "(logp - logp_ref)"
LAST = "torch.where(mask, torch.arange(mask.shape[1]), -1).amax(-1)"
PAY = "rewards[torch.arange(len(scores)), last] += scores"
FREE = "-beta * (logp - logp_ref)"

last_column = edited(shape_rewards, {PAY: "rewards[:, -1] += scores"}, "last_column")  # as a tutorial has it, too


REWARDS = Exercise(
    id="12.shape_rewards",
    title="From one score to a reward for every token",
    solution=shape_rewards,
    cases=_cases,
    properties=[_sums, _same_model, _bad_luck_is_paid_too, _data, _nan_outside],
    mistakes=[
        Mistake(
            last_column,
            "You pay in the last column. In a short reply that is padding, and its tokens never hear of the score.",
            "openai/lm-human-preferences issue 12 asks about this very line",
        ),
        Mistake(
            edited(shape_rewards, {PRICE: FREE, PAY: "rewards[:, -1] += scores"}, "_no_mask"),
            "The mask has no part in this. Padding pays a price, and the score stands in the last column, which for a "
            "short reply is padding too.",
            "the code quoted in thomfoster/minRLHF issue 4",
        ),
        Mistake(
            edited(shape_rewards, {LAST: f"{LAST}.add(1).clamp(max=mask.shape[1] - 1)"}, "_first_pad"),
            "You pay one token too late: on the first padding token, where there is one.",
            "huggingface/trl issues 1893 and 3750, wyf3/llm_related issue 37",
        ),
        Mistake(
            edited(shape_rewards, {LAST: "mask.sum(-1) - 1"}, "_counted"),
            "The number of real tokens minus 1 is the last place only of a reply that begins in column 0. Ask the mask "
            "for its largest true place.",
        ),
        Mistake(
            edited(shape_rewards, {PAY: "rewards[:, last] += scores"}, "_every_row"),
            "`rewards[:, last]` means all these columns in EVERY row. Give each row its own column: "
            "`rewards[torch.arange(len(scores)), last]`.",
        ),
        Mistake(
            edited(shape_rewards, {FREE: "-(logp - logp_ref)"}, "_no_beta"),
            "β is missing: the price of a token is β times log π - log π_ref.",
        ),
        Mistake(
            edited(shape_rewards, {PAY: "rewards += mask * (scores / mask.sum(-1))[:, None]"}, "_spread"),
            "You spread the score over the tokens. The sum is right, but the judge has read the whole reply: it is "
            "paid at the end, and γ, λ and the critic carry it back.",
        ),
        Mistake(
            edited(shape_rewards, {PAY: "rewards += mask * scores[:, None]"}, "_on_every_token"),
            "Every token gets the whole score, so a long reply is paid many times.",
            "asked for in OpenLMLab/MOSS-RLHF issue 26",
        ),
        Mistake(
            edited(shape_rewards, {"+=": "="}, "_instead_of_the_price"),
            "The score overwrites the price of the last token, EOS mostly. Add: `+=`, not `=`.",
        ),
        Mistake(
            edited(shape_rewards, {"-beta *": "beta *"}, "_straying_pays"),
            "The sign of the price is wrong: the policy is paid for leaving the reference.",
            "asked about in huggingface/trl issue 463",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "(logp - logp_ref).square() / 2"}, "_k2"),
            "That is k2. Half a square is the right price as a LOSS; as a reward its gradient is that of another "
            "quantity. In the reward it is plain k1: log π - log π_ref.",
            "an option of huggingface/trl pull request 486",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "((logp_ref - logp).exp() - 1 + logp - logp_ref)"}, "_k3"),
            "That is k3. It never falls below 0 and looks better in a log, but as a reward its expected gradient is "
            "not that of the KL. In the reward it is plain k1: log π - log π_ref.",
            "proposed in huggingface/trl pull request 423",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "(logp - logp_ref).clamp(min=0)"}, "_never_below_zero"),
            "Differences below 0 were cut off. They belong to the mean: without them every policy seems further away "
            "than it is.",
            "tatsu-lab/alpaca_farm issue 67",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "(logp - logp_ref).abs()"}, "_absolute"),
            "The absolute value makes every difference a price. A KL has both signs in its samples; only the mean is "
            "never below 0.",
            "huggingface/trl issue 1161",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "(logp.exp() - logp_ref.exp())"}, "_probabilities"),
            "You subtract probabilities. The price is the difference of their logarithms.",
        ),
        Mistake(
            edited(shape_rewards, {DISTANCE: "(logp - logp_ref) * logp.exp()"}, "_weighted"),
            "You weight with π. The token was DRAWN from π already, so likely ones come often by themselves: that "
            "would count π twice.",
        ),
        Mistake(
            edited(shape_rewards, {PRICE: FREE}, "_padding_pays"),
            "Padding pays a price too. Nobody chose it: 0 outside the mask.",
            "natolambert/rlhf-book pull request 216",
        ),
        Mistake(
            edited(shape_rewards, {PRICE: f"{FREE} * mask"}, "_times_mask"),
            "0 times NaN is NaN: padding that holds one still reaches your rewards. `torch.where(mask, ..., 0.0)`.",
            "OpenRLHF/OpenRLHF pull request 1240",
        ),
        Mistake(
            edited(shape_rewards, {"+= scores": "+= beta * scores"}, "_beta_on_all"),
            "β is the price of distance. The score is not multiplied by it.",
        ),
        Mistake(
            edited(shape_rewards, {"+= scores": "+= (1 - beta) * scores"}, "_one_minus_beta"),
            "Score and distance are not weighted against each other: the score counts fully, β sets the price alone.",
        ),
        Mistake(
            edited(
                shape_rewards,
                {PAY: f"whole, rewards = scores + rewards.sum(-1), 0 * rewards\n        {PAY[:-6]}whole"},
                "_all_at_the_end",
            ),
            "The sum is right, but all of it stands at the end. The price of a token is known at that token: there a "
            "critic need not guess who strayed.",
        ),
        Mistake(
            edited(shape_rewards, {PRICE: f"{PRICE} / mask.sum(-1, keepdim=True)"}, "_mean_kl"),
            "You divide the price by the length. It is a sum over the reply: that makes the KL one of whole replies.",
        ),
        Mistake(
            edited(shape_rewards, {"with torch.no_grad():": "if True:"}, "_not_data"),
            "A gradient flows through your rewards into log π. They were measured: `torch.no_grad()`, or `.detach()`.",
        ),
    ],
    hints=[
        "Two steps: a price on every real token; then add the score in one place of each row.",
        "`torch.where(mask, -beta * (logp - logp_ref), 0.0)` under `torch.no_grad()`. The last real place is the "
        "largest index where the mask is true.",
        "last = torch.where(mask, torch.arange(T), -1).amax(-1); `rewards[torch.arange(B), last] += scores`.",
    ],
)
