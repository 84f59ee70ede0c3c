"""The formulas on examples that nobody chose: any dtype, shape, mask and flag, against plain loops in float64.

What stands outside of a mask is NaN, infinite or huge here. Errors are allowed what the arithmetic must lose: some
rounding of the sums (float32 at least, also for halves), and one of the result's own dtype.
"""

import dataclasses
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_envs import KINDS, MODES, Answering

from ppo_lesson import kl, objectives, returns, validate
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig
from ppo_lesson.policies import MLPCritic, MLPPolicy
from ppo_lesson.ppo import PPOConfig
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig
from ppo_lesson.trpo import TRPOConfig
from ppo_lesson.vector import VectorBatch, evaluate, vector_steps

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
JUNK = (math.nan, math.inf, -math.inf, 6e4)


def examples(count):
    """A test of `count` examples, the same ones every time."""
    suppress = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=suppress)


@dataclasses.dataclass
class Draw:
    """One example: a shape (B, T), a generator of numbers, and dtypes drawn one by one."""

    data: st.DataObject
    shape: tuple
    rng: np.random.Generator

    def dtype(self):
        return self.data.draw(st.sampled_from(DTYPES), "dtype")

    def numbers(self, spread=1.0, dtype=None, shape=None):
        x = torch.from_numpy(spread * self.rng.normal(size=self.shape if shape is None else shape))
        return x.to(dtype or self.dtype())

    def flags(self, share=0.3):
        x = torch.from_numpy(self.rng.random(self.shape) < share)
        return x.to(self.data.draw(st.sampled_from([torch.bool, torch.uint8, torch.int64, torch.float32]), "flags"))

    def mask(self):
        """At least one real step in each row."""
        mask = torch.from_numpy(self.rng.random(self.shape) < 0.7)
        mask[torch.arange(self.shape[0]), torch.from_numpy(self.rng.integers(self.shape[1], size=self.shape[0]))] = True
        return mask

    def soiled(self, x, mask):
        """x with junk outside of the mask."""
        junk = torch.tensor(self.rng.choice(JUNK, size=self.shape)).to(x.dtype)
        return torch.where(mask, x, junk)


@st.composite
def draws(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6)))
    return shape, draw(st.integers(0, 2**32 - 1))


def example(count):
    """Decorates a test of one argument, a `Draw`."""

    def decorate(test):
        @examples(count)
        @given(draws(), st.data())
        def run(drawn, data):
            test(Draw(data, drawn[0], np.random.default_rng(drawn[1])))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


def lists(x):
    return x.detach().double().numpy()


def near(found, expected, dtype, size=1.0, steps=8):
    """found is expected but for `steps` roundings of numbers as large as `size`, in float32 or float64, and its own."""
    assert found.dtype == dtype, (found.dtype, dtype)
    work = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    expected = np.asarray(expected, dtype=float)
    allowed = steps * work * size + torch.finfo(dtype).eps * np.abs(expected) + torch.finfo(dtype).smallest_normal
    found = lists(found)
    assert found.shape == expected.shape and (np.abs(found - expected) <= allowed).all(), (found, expected, allowed)


def common(*tensors):
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    return dtype


# ---- returns ---------------------------------------------------------------------------------------------------------


@example(60)
def test_discounted_returns(draw):
    rewards, ended, gamma = draw.numbers(), draw.flags(), draw.data.draw(st.floats(0, 1))
    expected = np.zeros(draw.shape)
    for b in range(draw.shape[0]):
        later = 0.0
        for t in reversed(range(draw.shape[1])):
            later = lists(rewards)[b, t] + gamma * later * (not ended[b, t])
            expected[b, t] = later
    size = 1 + np.abs(lists(rewards)).sum()
    near(returns.discounted_returns(rewards, gamma, ended=ended), expected, rewards.dtype, size)


def test_a_thousand_rewards_in_a_half_are_not_lost():
    """In bfloat16 itself 256 + 1 is 256: a sum of ones would stand still there."""
    for dtype in DTYPES:
        ones = torch.ones(1000, dtype=dtype)
        assert returns.discounted_returns(ones, 1.0)[0] == 1000
        nothing, never = torch.zeros_like(ones), torch.zeros(1000, dtype=torch.bool)
        assert returns.gae(ones, nothing, nothing, terminated=never, gamma=1.0, lam=1.0)[0][0] == 1000


@example(100)
def test_gae(draw):
    rewards, values, next_values = (draw.numbers() for _ in range(3))
    terminated, truncated, mask = draw.flags(), draw.flags(), draw.mask()
    gamma, lam = draw.data.draw(st.floats(0, 1)), draw.data.draw(st.floats(0, 1))
    r, v, after = map(lists, (rewards, values, next_values))
    expected = np.zeros(draw.shape)
    for b in range(draw.shape[0]):
        later = 0.0
        for t in reversed(range(draw.shape[1])):
            if not mask[b, t]:
                later = 0.0
                continue
            delta = r[b, t] + gamma * after[b, t] * (not terminated[b, t]) - v[b, t]
            later = delta + gamma * lam * later * (not (terminated[b, t] or truncated[b, t]))
            expected[b, t] = later
    soiled = [draw.soiled(x, mask) for x in (rewards, values)]
    soiled.append(draw.soiled(next_values, mask & ~terminated.bool()))
    ends = {"terminated": terminated, "truncated": truncated, "mask": mask}
    found = returns.gae(*soiled, **ends, gamma=gamma, lam=lam)
    size = 1 + sum(np.abs(x).sum() for x in (r, v, after))
    near(found[0], expected, common(rewards, values, next_values), size)
    near(found[1], (expected + v) * mask.numpy(), common(rewards, values, next_values), size)
    assert not any(x[~mask].any() for x in found)
    padded = [torch.cat([x, torch.full_like(x[:, :1], math.nan)], 1) for x in soiled]  # one more column, of nobody
    more = {name: torch.cat([x, torch.zeros_like(x[:, :1])], 1) for name, x in ends.items()}
    again = returns.gae(*padded, **more, gamma=gamma, lam=lam)
    assert all(torch.equal(a, b[:, :-1]) for a, b in zip(found, again))


@example(100)
def test_whiten(draw):
    dtype, mask = draw.dtype(), draw.mask()
    most = {torch.float16: 1e4, torch.float64: 1e150}.get(dtype, 1e30)
    spread = draw.data.draw(st.sampled_from([1.0, 1e-2, 100.0, most]))
    x, by_row = draw.numbers(spread, dtype), draw.data.draw(st.booleans())
    shift = draw.data.draw(st.booleans())
    expected = np.zeros(draw.shape)
    for rows in range(draw.shape[0]) if by_row else [slice(None)]:
        here = mask.numpy()[rows]
        valid = lists(x)[rows][here]
        if len(valid) > 1:
            scale = np.sqrt(valid.var(ddof=1) + 1e-8)
            expected[rows] = np.where(here, (lists(x)[rows] - shift * valid.mean()) / scale, 0)
    found = returns.whiten(draw.soiled(x, mask), mask, dim=-1 if by_row else None, shift_mean=shift)
    # what rounding does to a difference from the mean: it is as large as the numbers, over their spread
    size = np.abs(lists(x)).max() * np.abs(expected).max() / np.abs(lists(x) - lists(x).mean()).max().clip(1e-300)
    near(found, expected, dtype, 4 + np.abs(expected).max() + size.clip(0, 1e3), 64)
    assert not found[~mask].any()
    wider = torch.cat([draw.soiled(x, mask), torch.full_like(x[:, :1], math.nan)], 1)
    more = torch.cat([mask, torch.zeros_like(mask[:, :1])], 1)
    again = returns.whiten(wider, more, dim=-1 if by_row else None, shift_mean=shift)[:, :-1]
    near(again, lists(found), dtype, 4 + size.clip(0, 1e3), 64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_numbers_are_whitened_to_nothing_and_numbers_of_any_size_to_1(dtype):
    assert not returns.whiten(torch.ones(5, dtype=dtype)).any()
    large = {torch.float16: 300.0, torch.float64: 1e150}.get(dtype, 1e20)
    for size in (large, 1.0):
        found = returns.whiten(torch.tensor([0.0, size, 2 * size], dtype=dtype))
        assert torch.allclose(found.double(), torch.tensor([-1.0, 0.0, 1.0]).double(), atol=1e-2)
    with pytest.raises(ValueError, match=r"x is too large to be whitened, up to 2e\+200"):
        returns.whiten(torch.tensor([0.0, 1e200, 2e200], dtype=torch.float64))


# ---- objectives ------------------------------------------------------------------------------------------------------


def ratio_of(logp, logp_old):
    """exp of the difference as the dtype has it, and how far rounding of the difference moves it."""
    difference = logp.detach() - logp_old
    rounding = torch.finfo(difference.dtype).eps * np.abs(lists(difference)).max(initial=0)
    return np.exp(lists(difference)), 1 + rounding / torch.finfo(torch.float32).eps


@example(120)
def test_surrogates_and_their_gradients(draw):
    dtype = draw.dtype()  # of all three: what is mixed, trainers do not mix
    logp, old, weights = draw.numbers(1.0, dtype).requires_grad_(), draw.numbers(1.0, dtype), draw.numbers(1.0, dtype)
    eps, high = draw.data.draw(st.floats(0.05, 0.9)), draw.data.draw(st.none() | st.floats(0.05, 2.0))
    dual = draw.data.draw(st.none() | st.floats(1.1, 4.0))
    ratio, a = ratio_of(logp, old)[0], lists(weights)
    low, top = 1 - eps, 1 + (eps if high is None else high)
    plain, clipped = ratio * a, np.clip(ratio, low, top) * a
    least = np.minimum(plain, clipped)
    bound = least if dual is None else np.where(a < 0, np.maximum(least, dual * a), least)
    # a half computes in itself: a few of its own roundings, of numbers as large as these
    size = (1 + np.abs(plain).max() + np.abs(a).max() * 4) * torch.finfo(dtype).eps / torch.finfo(torch.float32).eps
    size = 1 + np.abs(plain).max() if dtype in (torch.float32, torch.float64) else size
    near(objectives.surrogate(logp, old, weights), plain, dtype, size, 16)
    found = objectives.clipped_surrogate(logp, old, weights, eps, eps_high=high, dual_clip=dual)
    near(found, bound, dtype, size, 16)
    near(objectives.policy_gradient(logp, weights), lists(logp) * a, dtype, size, 16)
    penalty = draw.numbers(1.0, dtype)
    penalized = objectives.penalized_surrogate(logp, old, weights, penalty, 2.0)
    near(penalized, plain - 2 * lists(penalty), dtype, size + 2 * penalty.abs().max().item(), 16)
    (gradient,) = torch.autograd.grad(found.sum(), logp)
    sure = np.abs(np.abs(plain - clipped) - 0) > 1e-2  # at the edges of clipping either side will do
    expected = np.where((clipped < plain) & (np.abs(plain - clipped) > 0), 0, plain)
    if dual is not None:
        sure &= np.abs(least - dual * a) > 1e-2
        expected = np.where((a < 0) & (least < dual * a), 0, expected)
    assert gradient.isfinite().all()
    near(gradient[torch.from_numpy(sure)], expected[sure], dtype, size, 32)
    binds = objectives.clip_fraction(logp, old, weights, eps, eps_high=high)
    assert binds.dtype == dtype
    share = (clipped < plain).mean()
    unsure = (~sure).mean()
    assert share - unsure - 0.01 <= binds.item() <= share + unsure + 0.01


@example(60)
def test_no_ratio_is_infinite_in_any_dtype(draw):
    """In float16 e^12 is: a value of 1.2 with a gradient of NaN."""
    dtype = draw.dtype()
    logp = draw.numbers(draw.data.draw(st.sampled_from([1.0, 12.0, 1000.0])), dtype).requires_grad_()
    old, weights = torch.zeros_like(logp).detach(), draw.numbers(1.0, dtype)
    for how in (objectives.surrogate, objectives.clipped_surrogate):
        value = how(logp, old, weights)
        (gradient,) = torch.autograd.grad(value.sum(), logp)
        assert value.isfinite().all() and gradient.isfinite().all()
    for kind in ("k1", "k2", "k3"):
        if kind != "k2" or dtype != torch.float16:  # 1000 squared is no float16
            assert kl.estimate(logp, old, kind).isfinite().all()


@example(60)
def test_value_loss(draw):
    dtype = draw.dtype()
    values, targets, old = draw.numbers(1.0, dtype).requires_grad_(), draw.numbers(1.0, dtype), draw.numbers(1.0, dtype)
    v, r, o = map(lists, (values, targets, old))
    own = torch.finfo(dtype).eps / torch.finfo(torch.float32).eps if dtype in DTYPES[:2] else 1
    size = own * (1 + np.abs(v).max() + np.abs(r).max() + np.abs(o).max()) ** 2
    near(objectives.value_loss(values, targets), (v - r) ** 2 / 2, dtype, size)
    clip = draw.data.draw(st.floats(0.05, 2.0))
    expected = np.maximum((v - r) ** 2, (o + np.clip(v - o, -clip, clip) - r) ** 2) / 2
    found = objectives.value_loss(values, targets, values_old=old, clip=clip)
    near(found, expected, dtype, size)
    (gradient,) = torch.autograd.grad(objectives.value_loss(values, targets).sum(), values)
    near(gradient, v - r, dtype, size)


@example(80)
def test_entropy_and_exact_kl(draw):
    """Of logits far from 0 too: in bfloat16 the entropy of (127, 128) was 0.37 for 0.58."""
    dtype = draw.dtype()
    shift, spread = draw.data.draw(st.sampled_from([0, 30, 100])), draw.data.draw(st.sampled_from([0.1, 1.0, 10.0]))
    p = (draw.numbers(spread, torch.float64) + shift).to(dtype)
    never = torch.from_numpy(draw.rng.random(draw.shape) < 0.2)
    never[:, 0] = False
    q = (draw.numbers(spread, torch.float64) - shift).to(dtype)
    p, q = p.masked_fill(never, -math.inf).requires_grad_(), q.requires_grad_()
    log_p, log_q = (torch.log_softmax(x.detach().double(), -1).numpy() for x in (p, q))
    each = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        expected = -np.where(each > 0, each * log_p, 0).sum(-1)
        apart = np.where(each > 0, each * (log_p - log_q), 0).sum(-1)
    size = 2 + shift + np.abs(log_q).max() + 10 * spread  # of the numbers under the softmax
    near(objectives.entropy(p), expected, dtype, size)
    near(kl.exact(p, q), apart, dtype, size)
    for gradient in torch.autograd.grad(kl.exact(p, q).sum() + objectives.entropy(p).sum(), (p, q)):
        assert gradient.isfinite().all()
    assert (objectives.entropy(p) >= -size * 1e-6).all() and (kl.exact(p, q) >= -size * 1e-6).all()


@example(100)
def test_aggregate(draw):
    x, mask = draw.numbers(), draw.mask()
    if draw.data.draw(st.booleans()):
        mask[0] = draw.shape[0] == 1  # a sequence without a real step does not count
        mask[-1, 0] = True
    how = draw.data.draw(st.sampled_from(["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"]))
    denominator = draw.data.draw(st.none() | st.floats(0.5, 20))
    rows = [lists(x)[b][mask[b].numpy()] for b in range(draw.shape[0]) if mask[b].any()]
    if how == "token-mean":
        total, count = sum(row.sum() for row in rows), sum(map(len, rows))
    else:
        total, count = sum(row.mean() if "token-mean" in how else row.sum() for row in rows), len(rows)
    soiled = draw.soiled(x, mask).requires_grad_()
    found = objectives.aggregate(soiled, mask, how, denominator=denominator)
    near(found, total / (denominator or count), x.dtype, 1 + 2 * sum(np.abs(row).sum() for row in rows))
    (gradient,) = torch.autograd.grad(found, soiled)
    assert gradient.isfinite().all() and not gradient[~mask].any() and gradient[mask].all()
    wider = torch.cat([draw.soiled(x, mask), torch.full_like(x[:, :1], math.nan)], 1)
    more = torch.cat([mask, torch.zeros_like(mask[:, :1])], 1)
    near(objectives.aggregate(wider, more, how, denominator=denominator), lists(found), x.dtype, 1 + found.abs().item())


@example(60)
def test_explained_variance(draw):
    dtype, mask = draw.dtype(), draw.mask()
    values, targets = draw.numbers(1.0, dtype), draw.numbers(1.0, dtype)
    v, r = lists(values)[mask.numpy()], lists(targets)[mask.numpy()]
    found = objectives.explained_variance(draw.soiled(values, mask), draw.soiled(targets, mask), mask)
    if r.var() < 1e-4:
        return
    size = 1 + (np.abs(v).max() + np.abs(r).max()) ** 2 / r.var() * (1 + (v - r).var() / r.var())
    assert abs(found.item() - (1 - (r - v).var() / r.var())) <= 64 * torch.finfo(torch.float32).eps * size


# ---- kl --------------------------------------------------------------------------------------------------------------


@example(80)
def test_estimates_of_the_kl_and_their_gradients(draw):
    dtype = draw.dtype()
    logp = draw.numbers(0.7, dtype).requires_grad_()
    old, reference = draw.numbers(0.7, dtype), draw.numbers(0.7, dtype)
    d, ratio = lists(logp) - lists(reference), np.exp(lists(logp) - lists(old))
    own = torch.finfo(dtype).eps / torch.finfo(torch.float32).eps if dtype in DTYPES[:2] else 1
    size = own * (2 + np.abs(d).max() + np.exp(np.abs(d)).max()) * (1 + ratio.max()) ** 2
    value = {"k1": d, "k2": d**2 / 2, "k3": np.expm1(-d) + d}
    slope = {"k1": np.ones_like(d), "k2": d, "k3": 1 - np.exp(-d)}
    for kind in value:
        found = kl.estimate(logp, reference, kind)
        near(found, value[kind], dtype, size, 16)
        near(torch.autograd.grad(found.sum(), logp)[0], slope[kind], dtype, size, 16)
        corrected = kl.estimate_off_policy(logp, old, reference, kind)
        near(corrected, ratio * value[kind], dtype, size * 4, 16)
        live = 0 if kind == "k2" else value[kind]
        near(torch.autograd.grad(corrected.sum(), logp)[0], ratio * (slope[kind] + live), dtype, size * 8, 16)


@example(60)
def test_the_rules_for_beta(draw):
    beta, target, seen = (draw.data.draw(st.floats(1e-3, 10)) for _ in range(3))
    assert kl.FixedKL(beta).beta == beta
    expected = beta / 2 if seen < target / 1.5 else beta * 2 if seen > 1.5 * target else beta
    assert kl.PaperKL(beta, target).update(kl_from_old=seen) == expected
    rule, n = kl.ZieglerKL(beta, target, 1000), draw.data.draw(st.integers(1, 100))
    assert math.isclose(
        rule.update(kl_to_reference=seen, n=n), beta * (1 + np.clip(seen / target - 1, -0.2, 0.2) * n / 1000)
    )
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="kl_from_old"):
            kl.PaperKL(beta, target).update(kl_from_old=wrong)


# ---- the border of the environments ----------------------------------------------------------------------------------


def columns(env, steps):
    torch.manual_seed(0)
    policy, critic = MLPPolicy(1, 2, hidden=(4,)), MLPCritic(1, hidden=(4,))
    return vector_steps(VectorBatch(env), policy, steps, critic)


CHANGES = {  # of an answer of shape (2,): what makes it another shape, or another meaning
    "(n, 1)": lambda x: np.asarray(x)[:, None],
    "()": lambda x: np.asarray(x)[0],
    "(n + 1,)": lambda x: [*x, x[0]],
    "(1, n)": lambda x: [x],
    "NaN": lambda x: np.where([False, True], np.nan, x),
    "None": lambda x: [None, x[1]],
    "complex": lambda x: np.asarray(x) + 0j,
    "text": lambda x: np.asarray(x).astype(str),
}


@examples(60)
@given(st.sampled_from(MODES), st.data())
def test_answers_of_any_kind_are_read_alike_and_of_any_other_shape_refused_by_name(mode, data):
    kinds = {name: data.draw(st.sampled_from(sorted(KINDS)), name) for name in ("rewards", "terminated", "truncated")}
    if kinds["rewards"] == "torch bool":
        kinds["rewards"] = "list"
    change, steps = {name: KINDS[kind] for name, kind in kinds.items()}, data.draw(st.integers(2, 9))
    right, found = columns(Answering(mode), steps), columns(Answering(mode, **change), steps)
    for name, x in vars(right).items():
        assert torch.equal(getattr(found, name), x) and getattr(found, name).dtype == x.dtype, name
    name, how = data.draw(st.sampled_from(sorted(kinds))), data.draw(st.sampled_from(sorted(CHANGES)))
    env = Answering(mode, **change | {name: CHANGES[how]})
    with pytest.raises(ValueError, match=f"(gave|non-finite) {name}"):
        columns(env, steps)
    with pytest.raises(ValueError, match=f"(gave|non-finite) {name}"):
        evaluate(env, MLPPolicy(1, 2, hidden=(4,)), episodes=2, seed=0)


# ---- settings --------------------------------------------------------------------------------------------------------

CONFIGS = (PPOConfig, TRPOConfig, ReinforceConfig, ActorCriticConfig, RLHFConfig, SupervisedConfig)
NO_NUMBERS = st.sampled_from([math.nan, "1", "", b"1", [1.0], {}, torch.ones(2), object])


def outside(rule, optional):
    """Values that a field with this rule must not have."""
    nothing = st.nothing() if optional else st.none()
    match rule:
        case {"least": low}:
            wrong = st.integers(max_value=low - 1) | st.floats() | st.booleans()
        case {"between": (low, high)}:
            wrong = st.sampled_from([math.inf, -math.inf])
            wrong |= st.nothing() if math.isinf(low) else st.floats(max_value=low, exclude_max=True)
            wrong |= st.nothing() if math.isinf(high) else st.floats(min_value=high, exclude_min=True)
        case {"positive": _}:
            wrong = st.floats(max_value=0.0) | st.integers(max_value=0)
        case {"one_of": words}:
            return nothing | st.text().filter(lambda x: x not in words) | st.integers()
        case "bool":
            return nothing | st.text() | st.integers() | st.floats()
    return wrong | nothing | NO_NUMBERS


@pytest.mark.parametrize("kind", CONFIGS, ids=lambda kind: kind.__name__)
def test_a_setting_outside_of_its_range_is_named(kind):
    table = tomllib.loads(Path(validate.__file__).with_suffix(".toml").read_text("utf-8"))
    table = table["fields"] | table.get(kind.__name__, {})
    rules = {f.name: table.get(f.name, "bool" if f.type is bool else None) for f in dataclasses.fields(kind)}
    rules = {name: rule for name, rule in rules.items() if rule}
    optional = {f.name for f in dataclasses.fields(kind) if "None" in str(f.type)}
    assert len(rules) >= 5

    @examples(40)
    @given(st.sampled_from(sorted(rules)), st.data())
    def named(name, data):
        value = data.draw(outside(rules[name], name in optional), name)
        with pytest.raises((ValueError, TypeError), match=rf"^{name} must"):
            kind(**{name: value})

    named()
