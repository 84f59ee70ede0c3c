"""clipped_surrogate: the clipped surrogate of PPO."""

import torch

from ..check import Exercise, examples, require, rows
from ..pictures import INK, MUTED, NEGATIVE, POSITIVE, figure, key, stroke


def clipped_surrogate(logp, logp_old, advantages, eps):
    """min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A), one number for each sample."""
    ratio = torch.exp(logp - logp_old)
    clipped = ratio.clamp(1 - eps, 1 + eps)
    return torch.minimum(ratio * advantages, clipped * advantages)


def samples(ratios, advantages, old=-1.5, dtype=torch.float64):
    """(logp, logp_old, A) with these ratios; `old` is the log-probability under the old policy."""
    ratios, advantages = torch.tensor(ratios, dtype=dtype), torch.tensor(advantages, dtype=dtype)
    logp_old = torch.full_like(ratios, old)
    return logp_old + ratios.log(), logp_old, advantages


def random_samples(g, *shape, dtype=torch.float64):
    """Log-probabilities of two policies that are not far apart, and advantages of both signs."""
    logp_old = -2 * torch.rand(*shape, generator=g, dtype=dtype) - 0.1
    logp = (logp_old + 0.4 * torch.randn(*shape, generator=g, dtype=dtype)).clamp(max=-0.01)
    return logp, logp_old, torch.randn(*shape, generator=g, dtype=dtype)


def batch(g=None, *, ratios=(), advantages=(), old=-1.5, shape=(), eps=0.2, dtype=torch.float64):
    """The arguments of `clipped_surrogate`: with these ratios and advantages, or drawn in this shape."""
    drawn = random_samples(g, *shape, dtype=dtype) if shape else samples(ratios, advantages, old)
    return *drawn, eps


SIX = [0.5, 1.1, 1.5, 0.5, 1.1, 3.5], [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]


def never_above(fn):
    case = (*samples(*SIX), 0.2)
    plain = torch.exp(case[0] - case[1]) * case[2]
    got = fn(*case)
    require(got.shape == plain.shape, "Give back one number for each sample.", case=case, got=got)
    require((got <= plain + 1e-9).all(), case=case, got=got)


def six_slopes(fn):
    logp, logp_old, advantages = samples(*SIX)
    logp.requires_grad_(True)
    got = fn(logp, logp_old, advantages, 0.2)
    require(got.requires_grad, "No gradient reaches `logp`. Did a `.detach()` or `no_grad` cut it?", got=got)
    (slopes,) = torch.autograd.grad(got.sum(), logp)  # d/dlogp = ratio * d/dratio
    flat = [bool(abs(x) < 1e-9) for x in slopes]
    message = f"With gradient: {', '.join(str(r) for r, f in zip(SIX[0], flat) if not f)}."
    require(flat == [False, False, True, True, False, False], message, case=(*samples(*SIX), 0.2), got=slopes)


def draw_curves(fn):
    """The learner's curve over the ratio, beside the right one, for A = 1 and A = -1."""
    ends = []
    fig, axes = figure(2, width=7, height=2.6, xlabel="ratio", xlim=(0, 2.5))
    ratio = torch.linspace(0.05, 2.5, 99, dtype=torch.float64)
    for ax, A, meaning in zip(axes, (1.0, -1.0), (POSITIVE, NEGATIVE)):
        case = (ratio.log(), torch.zeros_like(ratio), torch.full_like(ratio, A))
        right = clipped_surrogate(*case, 0.2)
        yours = torch.as_tensor(fn(*case, 0.2), dtype=torch.float64).expand(99).detach()
        ends.append(yours[-1].item())
        for x in (0.8, 1.2):
            ax.axvline(x, color=MUTED, linewidth=1, linestyle=":")
        ax.plot(ratio, right, **stroke(meaning, linewidth=5, alpha=0.35, linestyle="-"), label="expected")
        ax.plot(ratio, yours, color=INK, linewidth=1.5, linestyle="--", label="yours")
        ax.set_title(f"A = {A:+.0f}".replace("-", "−"))
    axes[0].set_ylabel("objective")
    key(axes[0], loc="lower right")
    return fig, {"good": ends[0], "bad": ends[1]}


EXERCISE = Exercise(
    solution=clipped_surrogate,
    cases=rows("clipped_surrogate", batch),
    suite=examples("clipped_surrogate", batch),
    gradient=("logp",),
    picture=draw_curves,
)
