"""sample_token: draw one token, and write down the log-probability with which it was drawn."""

import torch

from ..check import Exercise, Wrong, close, require, rows


def sample_token(logits, u, temperature):
    """The token in whose stretch of [0, 1) the number u falls, and its log-probability: (B,), (B,)."""
    logps = (logits / temperature).log_softmax(-1)  # (B, V)
    ends = logps.double().exp().cumsum(-1)  # (B, V): where each token's stretch ends
    tokens = (ends <= u[:, None] * ends[:, -1:]).sum(-1)  # how many lie left of u: the last ends near 1, not at it
    return tokens, logps.gather(-1, tokens[:, None])[:, 0]


def drawn(g, B, V, temperature, size=1.5):
    logits = size * torch.randn(B, V, generator=g)
    u = torch.rand(B, generator=g, dtype=torch.float64)
    for at in (1.0, temperature, 1 / temperature):  # keep away from the edges, where rounding decides
        ends = (logits / at).softmax(-1).double().cumsum(-1)
        near = (ends - u[:, None]).abs().amin(-1) < 1e-3
        u = torch.where(near, (u + 0.013) % 1, u)
    return logits, u, temperature


cases = rows("sample_token", drawn)
GRID = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000  # u, evenly over [0, 1)


def shares_are_probabilities(fn):
    logits = torch.tensor([1.0, -0.5, 2.0, 0.3, -1.2])
    tokens, _ = fn(logits.expand(2000, -1), GRID, 0.7)
    shares = torch.bincount(tokens.flatten().long(), minlength=5) / 2000
    close(shares, (logits / 0.7).softmax(-1), rtol=0, atol=2e-3, case=(logits[None], GRID[:1], 0.7))


def score_is_the_rescore(fn):
    for logits, u, temperature in cases()[6:]:
        tokens, logps = fn(logits, u, temperature)
        again = (logits / temperature).log_softmax(-1).gather(-1, tokens[:, None].long())[:, 0]
        close(logps, again, case=(logits, u, temperature))


def empty_stretches(fn):
    logits = torch.tensor([[-torch.inf, 0.0, 0.0]] * 3)
    case = logits, torch.tensor([0.0, 0.3, 0.7], dtype=torch.float64), 1.0
    tokens, _ = fn(*case)
    require(tokens.tolist() != [0, 1, 2], case=case, got=tokens, mistake="impossible_at_zero")


def near_one(fn):
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(3))
    case = logits, torch.full((64,), 1 - 1e-9, dtype=torch.float64), 1.0
    words = "With u = 1 - 1e-9 yours has none: "
    middle = torch.full((64,), 0.5, dtype=torch.float64)
    try:
        tokens, _ = fn(*case)
    except Wrong as wrong:
        raise Wrong(words + wrong.message, case=case, mistake="behind_the_end") from wrong
    if not (tokens == 49).all():  # only whose stretches lie where they should can have stepped behind their end
        right = torch.equal(fn(logits, middle, 1.0)[0], sample_token(logits, middle, 1.0)[0])
        mistake = "behind_the_end" if right else ""
        require(False, words + "another one came back.", case=case, mistake=mistake)


EXERCISE = Exercise(solution=sample_token, cases=cases, rtol=0.0001, atol=1e-05)
