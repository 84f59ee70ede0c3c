"""What PPO maximises: every surrogate against piecewise formulas in plain Python, by value and by gradient.

A clipped gradient is either the whole of ratio * A * d log pi or nothing; `whole_or_nothing` says which, from the two
conditions of the paper and without min, max or clip.
"""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from ppo_lesson.objectives import (
    aggregate,
    clip_fraction,
    clipped_surrogate,
    explained_variance,
    penalized_surrogate,
    policy_gradient,
    surrogate,
    value_loss,
)
from ppo_lesson.policies import MLPPolicy, TabularPolicy
from ppo_lesson.returns import gae, whiten

NAN, INF = math.nan, math.inf
ONES = torch.ones(3)


def gradient(output, *inputs):
    found = torch.autograd.grad(output.sum(), inputs, retain_graph=True)
    return found[0] if len(found) == 1 else found


def experience(*shape, spread=0.6):
    """New and old log-probabilities and advantages; ratios lie on all sides of every bound."""
    old = torch.rand(shape, dtype=torch.float64).log()
    new = (old + spread * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    return new, old, torch.randn(shape, dtype=torch.float64)


def whole_or_nothing(ratio, A, low, high, dual=None):
    """True where the gradient is whole, for one element."""
    if A > 0:
        return ratio <= high
    return ratio >= low and (dual is None or ratio <= dual)


def plain_clip(ratio, A, low, high, dual=None):
    """The clipped objective of one element: where the gradient is gone, the value stands at the bound it passed."""
    if whole_or_nothing(ratio, A, low, high, dual):
        return ratio * A
    if A > 0:
        return high * A
    return low * A if ratio < low else dual * A


def each(function, *tensors):
    """`function` of the numbers of each element."""
    rows = zip(*(t.detach().flatten().tolist() for t in tensors))
    return torch.tensor([function(*row) for row in rows], dtype=torch.float64).view(tensors[0].shape)


# ---- against piecewise formulas --------------------------------------------------------------------------------------

RANGES = [  # eps, eps_high, dual_clip
    (0.2, None, None),
    (0.05, None, None),
    (0.9, None, None),
    (0.2, 0.5, None),
    (0.3, 0.1, None),
    (0.2, None, 1.5),
    (0.1, 0.28, 3.0),
    (0.2, 2.5, 1.1),  # the dual bound lies inside the upper one
]


@pytest.mark.parametrize(("eps", "eps_high", "dual"), RANGES)
@pytest.mark.parametrize("shape", [(4000,), (3, 40, 30)])
def test_clipped_surrogate_equals_the_piecewise_formula(eps, eps_high, dual, shape):
    new, old, A = experience(*shape, spread=0.6 if eps < 0.5 else 2.0)
    low, high = 1 - eps, 1 + (eps if eps_high is None else eps_high)
    ratio = (new - old).exp()
    objective = clipped_surrogate(new, old, A, eps, eps_high=eps_high, dual_clip=dual)
    assert torch.allclose(objective, each(lambda r, a: plain_clip(r, a, low, high, dual), ratio, A), atol=1e-12)
    alive = each(lambda r, a: whole_or_nothing(r, a, low, high, dual), ratio, A)
    assert torch.allclose(gradient(objective, new), alive * ratio.detach() * A, atol=1e-12)
    cases = {(r > high, r < low, a > 0) for r, a in zip(ratio.flatten().tolist(), A.flatten().tolist())}
    assert len(cases) == 6, "above, inside and below the range, for both signs of A"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_surrogate_and_penalty_equal_their_formulas(dtype):
    new, old, A = (x.detach().to(dtype).requires_grad_() for x in experience(500))
    kl = torch.rand(500, dtype=dtype, requires_grad=True)
    ratio = np.exp(new.detach().numpy().astype(float) - old.detach().numpy())
    objective = penalized_surrogate(new, old, A, kl, beta=0.7)
    assert objective.dtype == dtype
    assert np.allclose(surrogate(new, old, A).detach(), ratio * A.detach().numpy(), rtol=1e-5)
    assert np.allclose(objective.detach(), ratio * A.detach().numpy() - 0.7 * kl.detach().numpy(), rtol=1e-5, atol=1e-6)
    by_new, by_kl = gradient(objective, new, kl)
    assert np.allclose(by_new, ratio * A.detach().numpy(), rtol=1e-5) and np.allclose(by_kl, -0.7)
    assert torch.autograd.grad(objective.sum(), (old, A), allow_unused=True) == (None, None), "data, not policy"


TABLE = [  # A, ratio, dual, objective, d objective / d ratio: eps 0.2
    (1.0, 0.5, None, 0.5, 1.0),
    (1.0, 1.0, None, 1.0, 1.0),
    (1.0, 1.19, None, 1.19, 1.0),
    (1.0, 1.21, None, 1.2, 0.0),
    (1.0, 3.5, None, 1.2, 0.0),
    (-1.0, 0.5, None, -0.8, 0.0),
    (-1.0, 0.79, None, -0.8, 0.0),
    (-1.0, 0.81, None, -0.81, -1.0),
    (-1.0, 1.5, None, -1.5, -1.0),
    (-1.0, 3.5, None, -3.5, -1.0),  # far outside, and the gradient is whole: clipping is pessimistic
    (-1.0, 3.5, 3.0, -3.0, 0.0),
    (-1.0, 2.9, 3.0, -2.9, -1.0),
    (-1.0, 10.0, 3.0, -3.0, 0.0),
    (-1.0, 0.5, 3.0, -0.8, 0.0),
    (1.0, 10.0, 3.0, 1.2, 0.0),
    (1.0, 0.1, 3.0, 0.1, 1.0),
    (0.0, 5.0, None, 0.0, 0.0),
    (0.0, 5.0, 3.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("A", "ratio", "dual", "value", "slope"), TABLE)
def test_the_six_cases_and_the_dual_ones_by_autograd(A, ratio, dual, value, slope):
    r = torch.tensor([ratio], dtype=torch.float64, requires_grad=True)
    objective = clipped_surrogate(r.log(), torch.zeros(1).double(), torch.tensor([A]).double(), 0.2, dual_clip=dual)
    assert objective.item() == pytest.approx(value, abs=1e-12)
    assert gradient(objective, r).item() == pytest.approx(slope, abs=1e-12)


@pytest.mark.parametrize(("A", "ratio"), [(1.0, 1.5), (-1.0, 0.5), (1.0, 0.5), (-1.0, 1.5)])
def test_exactly_at_a_bound_the_value_is_there_and_the_gradient_still_whole(A, ratio):
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    assert log_ratio.exp().item() == ratio, "a tie must be exact to be one"
    objective = clipped_surrogate(log_ratio, torch.zeros(1).double(), torch.tensor([A]).double(), eps=0.5)
    assert objective.item() == ratio * A
    assert gradient(objective, log_ratio).item() == pytest.approx(ratio * A)
    assert clip_fraction(log_ratio, torch.zeros(1).double(), torch.tensor([A]).double(), eps=0.5).item() == 0


def test_trap_12_dual_clip_changes_nothing_where_the_advantage_is_positive():
    new, old, A = experience(3000, spread=1.5)
    plain, dual = clipped_surrogate(new, old, A), clipped_surrogate(new, old, A, dual_clip=2.0)
    far = (A < 0) & ((new - old).exp() > 2)
    assert far.any() and torch.equal(plain[~far], dual[~far])
    assert torch.equal(dual[far], 2.0 * A[far]) and not gradient(dual, new)[far].any()


def test_trap_13_the_fraction_is_the_share_whose_gradient_clipping_removes():
    new, old, A = experience(2, 4000)
    for eps, eps_high in ((0.2, None), (0.2, 0.5), (0.4, 0.1)):
        lost = gradient(clipped_surrogate(new, old, A, eps, eps_high=eps_high), new) == 0
        assert clip_fraction(new, old, A, eps, eps_high=eps_high).item() == pytest.approx(lost.double().mean().item())
        by_row = clip_fraction(new, old, A, eps, eps_high=eps_high, dim=-1)
        assert torch.allclose(by_row, lost.double().mean(-1))
        loose = ((new - old).exp() - 1).abs() > eps
        assert lost.double().mean() < 0.7 * loose.double().mean(), "|ratio - 1| > eps counts far too many"


def test_a_ratio_that_overflows_is_held_at_e_to_the_20():
    new = torch.tensor([0.0, -800.0], requires_grad=True)
    objective = surrogate(new, torch.tensor([-800.0, 0.0]), torch.ones(2))
    assert objective.tolist() == pytest.approx([math.exp(20), math.exp(-20)])
    assert gradient(objective, new).isfinite().all()


# ---- gradients of whole policies -------------------------------------------------------------------------------------


def policies():
    tabular = TabularPolicy()
    tabular.logits.data = torch.randn(16, 4).double()
    network = MLPPolicy(hidden=(8,), seed=3).double()
    for weight in network.net.weights:
        weight.data *= 5  # far from undecided
    return {"table": tabular, "network": network}


@pytest.mark.parametrize("kind", ["table", "network"])
def test_trap_1_at_the_old_policy_every_objective_has_the_gradient_of_the_policy_gradient(kind):
    policy = policies()[kind]
    observations, actions, A = torch.randint(16, (300,)), torch.randint(4, (300,)), torch.randn(300).double()
    with torch.no_grad():
        old = policy(observations)
        logp_old = old.log_prob(actions)

    def slope(objective_of):
        new = policy(observations)
        objective = objective_of(new.log_prob(actions), kl_divergence(old, new)).mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(objective, tuple(policy.parameters()))])

    expected = slope(lambda logp, kl: policy_gradient(logp, A))
    assert expected.norm() > 1e-2
    for objective in (
        lambda logp, kl: surrogate(logp, logp_old, A),
        lambda logp, kl: clipped_surrogate(logp, logp_old, A),
        lambda logp, kl: clipped_surrogate(logp, logp_old, A, 0.1, eps_high=0.3, dual_clip=3.0),
        lambda logp, kl: penalized_surrogate(logp, logp_old, A, kl, beta=50.0),
    ):
        assert torch.allclose(slope(objective), expected, atol=1e-13)
    if kind == "table":  # and that gradient, by the softmax's own formula
        by_hand = np.zeros((16, 4))
        for s, a, advantage in zip(observations.tolist(), actions.tolist(), A.tolist()):
            by_hand[s] += advantage * (np.eye(4)[a] - policy.probs[s].numpy()) / 300
        assert np.allclose(expected.view(16, 4), by_hand, atol=1e-14)


@pytest.mark.parametrize("eps", [0.1, 0.2, 0.5])
def test_clipping_is_a_penalty_of_each_sample_that_cancels_its_gradient(eps):
    """The second formula (KLip-PPO, arXiv 2606.23932): ratio * A - beta_i * log(pi_old / pi), beta_i = -ratio_i * A_i
    on the samples past their bound and 0 elsewhere, has the gradient of the clipped objective."""
    logits, old = torch.randn(40, 5, dtype=torch.float64), torch.randn(40, 5, dtype=torch.float64)
    logits.requires_grad_()
    actions, A = torch.randint(5, (40,)), torch.randn(40).double()
    logp, logp_old = Categorical(logits=logits).log_prob(actions), Categorical(logits=old).log_prob(actions)
    weight = (logp - logp_old).exp().detach() * A
    past = ((A > 0) & (logp - logp_old > math.log(1 + eps))) | ((A < 0) & (logp - logp_old < math.log(1 - eps)))
    beta = torch.where(past, -weight, 0.0)
    assert 5 < past.sum() < 35
    penalty = surrogate(logp, logp_old, A) - beta * (logp_old - logp)
    clipped = clipped_surrogate(logp, logp_old, A, eps)
    assert torch.allclose(gradient(clipped, logits), gradient(penalty, logits), atol=1e-13)


def test_trap_22_what_a_mask_hides_reaches_no_gradient():
    mask = torch.rand(6, 5) < 0.6
    data = [x.detach() for x in experience(6, 5)]
    found = {}
    for junk in (0.0, NAN):
        new, old, A = (torch.where(mask, x, junk).requires_grad_() for x in data)
        kept = [torch.where(mask, x, 0.0) for x in (new, old, A)]  # what a trainer does before any objective
        found[junk] = gradient(aggregate(clipped_surrogate(*kept), mask), new), clip_fraction(*kept, mask=mask)
    (clean, share), (spoiled, same_share) = found.values()
    assert torch.equal(spoiled, clean) and clean[mask].any() and not clean[~mask].any()
    assert same_share == share == clip_fraction(*(x[mask] for x in data)) > 0


# ---- bad input -------------------------------------------------------------------------------------------------------

THREE = {"surrogate": surrogate, "clip": clipped_surrogate, "fraction": clip_fraction}


@pytest.mark.parametrize("function", THREE.values(), ids=THREE.keys())
@pytest.mark.parametrize("argument", ["logp", "logp_old", "advantages"])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_the_argument_that_is_not_finite_is_named(function, argument, bad):
    given = {"logp": ONES.log(), "logp_old": ONES.log(), "advantages": ONES.clone()}
    given[argument] = torch.tensor([0.0, bad, 0.0])
    with pytest.raises(ValueError, match=rf"{argument} has a non-finite entry: {argument}\[1\]"):
        function(**given)


def test_infinities_that_would_cancel_are_found_too():
    with pytest.raises(ValueError, match=r"logp\[0\] = inf"):
        surrogate(torch.tensor([INF, 0.0]), torch.tensor([INF, 0.0]), torch.ones(2))
    with pytest.raises(ValueError, match=r"advantages\[0\] = inf"):
        surrogate(torch.zeros(2), torch.zeros(2), torch.tensor([INF, -INF]))
    with pytest.raises(ValueError, match=r"values\[1\]"):
        value_loss(torch.tensor([0.0, INF]), torch.tensor([0.0, 1.0]))
    assert surrogate(torch.zeros(2), torch.zeros(2), torch.full((2,), 3e38)).isfinite().all(), "large is not infinite"


BAD = {
    "eps 0": (lambda: clipped_surrogate(ONES, ONES, ONES, 0.0), "eps must lie between 0 and 1"),
    "eps 1": (lambda: clipped_surrogate(ONES, ONES, ONES, 1.0), "eps must lie between 0 and 1"),
    "eps below 0": (lambda: clipped_surrogate(ONES, ONES, ONES, -0.2), "eps must lie between 0 and 1"),
    "eps NaN": (lambda: clipped_surrogate(ONES, ONES, ONES, NAN), "eps must lie between 0 and 1"),
    "eps of the fraction": (lambda: clip_fraction(ONES, ONES, ONES, 1.0), "eps must lie between 0 and 1"),
    "eps_high 0": (lambda: clipped_surrogate(ONES, ONES, ONES, eps_high=0.0), "eps_high must be positive"),
    "eps_high NaN": (lambda: clip_fraction(ONES, ONES, ONES, eps_high=NAN), "eps_high must be positive"),
    "dual clip 1": (lambda: clipped_surrogate(ONES, ONES, ONES, dual_clip=1.0), "dual_clip must be greater than 1"),
    "dual clip NaN": (lambda: clipped_surrogate(ONES, ONES, ONES, dual_clip=NAN), "dual_clip must be greater than 1"),
    "dual clip below 0": (lambda: clipped_surrogate(ONES, ONES, ONES, dual_clip=-3.0), "dual_clip must be greater"),
    "beta below 0": (lambda: penalized_surrogate(ONES, ONES, ONES, ONES, -0.1), "beta must not be negative"),
    "beta NaN": (lambda: penalized_surrogate(ONES, ONES, ONES, ONES, NAN), "beta must be a finite number"),
    "one beta below 0": (
        lambda: penalized_surrogate(ONES, ONES, ONES, ONES, torch.tensor([1.0, -1.0, 0.0])),
        "beta must not be negative",
    ),
    "kl NaN": (lambda: penalized_surrogate(ONES, ONES, ONES, ONES * NAN, 1.0), r"kl has a non-finite entry: kl\[0\]"),
    "kl of another shape": (lambda: penalized_surrogate(ONES, ONES, ONES, ONES[:2], 1.0), r"kl \(2,\)"),
    "empty": (lambda: clipped_surrogate(ONES[:0], ONES[:0], ONES[:0]), "logp is empty"),
    "nothing real to whiten": (lambda: whiten(ONES, torch.zeros(3)), "mask marks no real step"),
    "nothing real for gae": (
        lambda: gae(ONES, ONES, ONES, terminated=ONES, mask=ONES < 0, gamma=1.0, lam=1.0),
        "mask marks no real step",
    ),
    "nothing real": (lambda: clip_fraction(ONES, ONES, ONES, mask=torch.zeros(3)), "mask marks no real step"),
    "shapes": (lambda: surrogate(ONES, ONES[:2], ONES), r"logp_old \(2,\)"),
    "a number": (lambda: surrogate(ONES, 0.0, ONES), "logp_old must be a torch tensor; got float"),
}


@pytest.mark.parametrize("junk", [NAN, INF, -INF])
def test_what_has_a_mask_never_looks_outside_it(junk):
    x, A, mask = torch.tensor([-0.5, -1.2, junk]), torch.tensor([1.0, -1.0, junk]), torch.tensor([1, 1, 0])
    old = torch.tensor([-1.0, -0.5, junk])
    asked = {clip_fraction: (x, old, A), explained_variance: (x, A), aggregate: (x,), whiten: (x,)}
    for function, tensors in asked.items():
        found = function(*tensors, mask=mask)
        short = function(*(y[:2] for y in tensors))
        assert torch.equal(found[:2], short) if found.ndim else found == short, function
    for function in (aggregate, whiten):
        leaf = x.clone().requires_grad_()
        slope = gradient(function(leaf.where(mask.bool(), 0), mask).square(), leaf)
        assert slope.isfinite().all() and slope[2] == 0


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD.keys())
def test_the_message_names_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
