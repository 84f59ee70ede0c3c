"""score_function: the gradient of log pi with respect to the logits."""

import torch
from torch.nn.functional import one_hot

from ..check import Exercise, Wrong, close, rows


def score_function(logits, actions):
    """The gradient of log pi(action) with respect to the logits of a softmax: (..., A), (...) -> (..., A)."""
    probs = torch.softmax(logits, dim=-1)
    return one_hot(actions, logits.shape[-1]) - probs


cases = rows("score_function")


def sums_to_zero(fn):
    for logits, actions in cases()[:4]:
        close(fn(logits, actions).sum(-1), torch.zeros(actions.shape), case=(logits, actions), atol=1e-6)


def finite_differences(fn):
    logits, action = cases()[1]

    def logp(z):
        return torch.log_softmax(z, -1)[action]

    nudges = 1e-6 * torch.eye(4, dtype=torch.float64)
    slopes = torch.stack([(logp(logits + n) - logp(logits - n)) / 2e-6 for n in nudges])
    close(fn(logits, action), slopes, case=(logits, action), atol=1e-7)


def mean_is_zero(fn):
    logits = cases()[1][0]
    scores = torch.stack([fn(logits, torch.tensor(a)) for a in range(4)])  # (action, logit)
    close(torch.softmax(logits, -1) @ scores, torch.zeros(4), case=(logits, torch.arange(4)), atol=1e-7)


def no_autograd(fn):
    try:
        torch.no_grad()(fn)(*cases()[1])
    except Wrong as wrong:  # our own no_grad has stopped it, nothing of theirs
        raise Wrong("Yours asks autograd for the gradient.", case=wrong.case) from wrong


def draw_scores(fn):
    """The learner's scores of each of four actions, whose probabilities are 0.1 to 0.4."""
    from ..pictures import NEGATIVE, POSITIVE, figure

    pi = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    scores = torch.as_tensor(fn(pi.log().expand(4, 4), torch.arange(4))).double().reshape(4, 4)
    fig, axes = figure(4, width=7.5, height=2.2, ylim=(-1, 1), xlabel="logit of")
    for ax, row, p, name in zip(axes, scores.tolist(), pi, ("up", "down", "left", "right")):
        ax.bar(["↑", "↓", "←", "→"], row, color=[POSITIVE if s > 0 else NEGATIVE for s in row])
        ax.set_title(f"drawn: {name}, {p:.1f}")
    return fig, {"rare": float(scores[0, 0]), "mean": float((pi @ scores).abs().max())}


EXERCISE = Exercise(solution=score_function, cases=cases, picture=draw_scores)
