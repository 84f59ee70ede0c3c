"""Notebook 06: the clipped surrogate of PPO, one number for each sample."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..pictures import INK, MUTED, NEGATIVE, POSITIVE, figure, key, stroke

# ---- 06.clipped_surrogate ----------------------------------------------------


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


SIX = [0.5, 1.1, 1.5, 0.5, 1.1, 3.5], [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]


def _surrogate_cases():
    g = torch.Generator().manual_seed(6)
    return [
        (*samples([1.1], [2.0]), 0.2),
        (*samples([1.5], [2.0]), 0.2),
        (*samples([0.5], [-2.0]), 0.2),
        (*samples([0.5], [2.0]), 0.2),
        (*samples([3.5], [-2.0]), 0.2),
        (*samples([0.1], [-1.0]), 0.2),  # below eps too: tells a fence from eps from one without a lower side
        (*samples(*SIX), 0.2),
        (*random_samples(g, 8), 0.1),
        (*random_samples(g, 5, 7), 0.3),
        (*random_samples(g, 6, dtype=torch.float32), 0.2),
    ]


def _inside_the_fence(fn):
    """Where the ratio lies between 1 - eps and 1 + eps, the objective is ratio * A."""
    case = (*samples([0.9, 1.1, 0.9, 1.1], [2.0, 2.0, -2.0, -2.0]), 0.2)
    close(fn(*case), [1.8, 2.2, -1.8, -2.2], case=case)


def _never_above(fn):
    """The objective is pessimistic: it is never above ratio * A."""
    case = (*samples(*SIX), 0.2)
    plain = torch.exp(case[0] - case[1]) * case[2]
    got = fn(*case)
    require(got.shape == plain.shape, "Give back one number for each sample.", case=case, got=got)
    require((got <= plain + 1e-9).all(), case=case, got=got)


def _six_slopes(fn):
    """Of the six cases, two have no gradient: A > 0 with a ratio above the fence, A < 0 with a ratio below it."""
    logp, logp_old, advantages = samples(*SIX)
    logp.requires_grad_(True)
    got = fn(logp, logp_old, advantages, 0.2)
    require(got.requires_grad, "No gradient reaches `logp`. Did a `.detach()` or `no_grad` cut it?", got=got)
    (slopes,) = torch.autograd.grad(got.sum(), logp)  # d/dlogp = ratio * d/dratio
    flat = [bool(abs(x) < 1e-9) for x in slopes]
    message = f"With gradient: {', '.join(str(r) for r, f in zip(SIX[0], flat) if not f)}."
    require(flat == [False, False, True, True, False, False], message, case=(*samples(*SIX), 0.2), got=slopes)


def _far_outside(fn):
    """A = -1 and a ratio of 50: the objective is -50. Nothing bounds this side."""
    case = (*samples([50.0], [-1.0], old=-6.0), 0.2)
    close(fn(*case), [-50.0], case=case)


def _min_before_multiplying(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio, ratio.clamp(1 - eps, 1 + eps)) * advantages


def _clip_without_min(logp, logp_old, advantages, eps):
    return torch.exp(logp - logp_old).clamp(1 - eps, 1 + eps) * advantages


def _max_everywhere(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.maximum(ratio * advantages, ratio.clamp(1 - eps, 1 + eps) * advantages)


def _no_exp(logp, logp_old, advantages, eps):
    ratio = logp / logp_old
    return torch.minimum(ratio * advantages, ratio.clamp(1 - eps, 1 + eps) * advantages)


def _difference_for_ratio(logp, logp_old, advantages, eps):
    ratio = logp - logp_old
    return torch.minimum(ratio * advantages, ratio.clamp(1 - eps, 1 + eps) * advantages)


def _fence_from_eps(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio * advantages, ratio.clamp(eps, 1 + eps) * advantages)


def _no_lower_side(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio * advantages, ratio.clamp(max=1 + eps) * advantages)


def _no_upper_side(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio * advantages, ratio.clamp(min=1 - eps) * advantages)


def _fence_around_zero(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio * advantages, ratio.clamp(-eps, eps) * advantages)


def _log_ratio_clipped(logp, logp_old, advantages, eps):
    log_ratio = logp - logp_old
    return torch.minimum(log_ratio.exp() * advantages, log_ratio.clamp(-eps, eps).exp() * advantages)


def _product_clipped(logp, logp_old, advantages, eps):
    product = torch.exp(logp - logp_old) * advantages
    return torch.minimum(product, product.clamp(1 - eps, 1 + eps))


def _clipped_without_advantage(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return torch.minimum(ratio * advantages, ratio.clamp(1 - eps, 1 + eps))


def _a_loss(logp, logp_old, advantages, eps):
    return -clipped_surrogate(logp, logp_old, advantages, eps)


def _upside_down(logp, logp_old, advantages, eps):
    return clipped_surrogate(logp_old, logp, advantages, eps)


def _draw_curves(fn):
    """The learner's curve over the ratio, beside the right one, for A = 1 and A = -1."""
    fig, axes = figure(2, width=7, height=2.6, xlabel="ratio", xlim=(0, 2.5))
    ratio = torch.linspace(0.05, 2.5, 99, dtype=torch.float64)
    for ax, A, meaning in zip(axes, (1.0, -1.0), (POSITIVE, NEGATIVE)):
        case = (ratio.log(), torch.zeros_like(ratio), torch.full_like(ratio, A))
        right = clipped_surrogate(*case, 0.2)
        yours = torch.as_tensor(fn(*case, 0.2), dtype=torch.float64).expand(99)
        for x in (0.8, 1.2):
            ax.axvline(x, color=MUTED, linewidth=1, linestyle=":")
        ax.plot(ratio, right, **stroke(meaning, linewidth=5, alpha=0.35, linestyle="-"), label="expected")
        ax.plot(ratio, yours.detach(), color=INK, linewidth=1.5, linestyle="--", label="yours")
        ax.set_title(f"A = {A:+.0f}".replace("-", "−"))
    axes[0].set_ylabel("objective")
    key(axes[0], loc="upper left")
    return fig, "Your objective over the ratio beside the expected one, for A = 1 and A = -1; fence at 0.8 and 1.2."


SURROGATE = Exercise(
    id="06.clipped_surrogate",
    title="The clipped surrogate of PPO",
    solution=clipped_surrogate,
    cases=_surrogate_cases,
    properties=[_inside_the_fence, _never_above, _six_slopes, _far_outside],
    gradient=("logp",),
    picture=_draw_curves,
    mistakes=[
        Mistake(
            _min_before_multiplying,
            "Where A < 0 you took the larger product. If you took the minimum of the RATIOS: a negative A turns the "
            "smaller ratio into the larger product. Multiply by A first, then take the minimum.",
            "takuseno/ppo issue 3; proposed in tensorlayer/TensorLayer issue 1072 and ray-project/ray issue 37334",
        ),
        Mistake(
            _clip_without_min,
            "You clipped the ratio and left the unclipped one out. Then a sample on the wrong side of the fence (A > 0 "
            "and a ratio that fell to 0.5) has no gradient to come back. Take the minimum of both products.",
        ),
        Mistake(
            _max_everywhere,
            "You took the larger of the two products. That belongs to code that minimises losses, where both products "
            "carry a minus sign. An objective that goes up takes the smaller one.",
        ),
        Mistake(
            _no_exp,
            "You divided the logarithms. pi / pi_old is `exp(logp - logp_old)`: a difference of logarithms is the "
            "logarithm of a quotient.",
        ),
        Mistake(
            _difference_for_ratio,
            "`logp - logp_old` is the LOGARITHM of the ratio: 0 when nothing changed, not 1. `torch.exp` is missing.",
        ),
        Mistake(
            _fence_from_eps,
            "Your fence reaches from eps to 1 + eps. It is centred on 1, where nothing has changed: from 1 - eps to "
            "1 + eps.",
            "ChenmienTan/RL2 pull request 21",
        ),
        Mistake(
            _no_lower_side,
            "Your fence has no lower side: with A < 0 a ratio below 1 - eps must be flat. `clamp(1 - eps, 1 + eps)`.",
        ),
        Mistake(
            _no_upper_side,
            "Your fence has no upper side: with A > 0 a ratio above 1 + eps must be flat. `clamp(1 - eps, 1 + eps)`.",
        ),
        Mistake(_fence_around_zero, "Your fence stands around 0. A ratio of 1 means unchanged: 1 - eps to 1 + eps."),
        Mistake(
            _log_ratio_clipped,
            "You clipped the logarithm of the ratio, so the fence stands at exp(-eps), exp(eps). First exp, then clip.",
        ),
        Mistake(_product_clipped, "You clipped the product. Clip the RATIO, then multiply by A."),
        Mistake(
            _clipped_without_advantage, "The clipped ratio was not multiplied by A. The minimum compares two products."
        ),
        Mistake(
            _a_loss,
            "The sign is flipped: this is the loss. In this course an objective goes up; the minus sign stands in the "
            "line `loss = -objective.mean()`.",
        ),
        Mistake(
            _upside_down,
            "Your ratio is pi_old / pi. New over old: `exp(logp - logp_old)`.",
            "asked, and answered, in openai/baselines issue 652",
        ),
    ],
    hints=[
        "Three lines: the ratio, the clipped ratio, the smaller of two products.",
        "The ratio is `torch.exp(logp - logp_old)`; `ratio.clamp(low, high)` keeps it between two numbers.",
        "`torch.minimum(ratio * advantages, clipped * advantages)`, with `clipped = ratio.clamp(1 - eps, 1 + eps)`.",
    ],
)
