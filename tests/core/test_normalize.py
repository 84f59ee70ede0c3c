"""Running statistics against numpy on everything seen so far, and against Stable-Baselines3's reward scale."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd

from ppo_lesson.normalize import Moments, RewardScale, Standardize, observe
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularPolicy


def batches(*leading, last=(3,), sizes=(5, 1, 40, 2), far=1e4):
    """Samples of several sizes, far from 0, so that a careless formula loses its digits."""
    rng = np.random.default_rng(0)
    return [torch.tensor(far + 0.1 * k + rng.normal(size=(*leading, n, *last))) for k, n in enumerate(sizes)]


def test_moments_are_those_of_everything_seen_so_far():
    moments, seen = Moments(3), []
    assert moments.mean.tolist() == [0, 0, 0] and moments.variance.tolist() == [1, 1, 1] and moments.count == 0
    for x in batches():
        moments.update(x)
        seen.append(x.numpy())
        everything = np.concatenate(seen)
        assert np.allclose(moments.mean, everything.mean(0), rtol=1e-12)
        assert np.allclose(moments.variance, everything.var(0), rtol=1e-8, atol=1e-12), "biased: divided by n"
        assert moments.count == len(everything)


def test_moments_of_many_seeds_are_those_of_each_alone():
    together, alone = Moments(4, 3), [Moments(3) for _ in range(4)]
    for x in batches(4):
        together.update(x)
        for one, part in zip(alone, x):
            one.update(part)
    for k, one in enumerate(alone):
        assert torch.allclose(together.mean[k], one.mean, rtol=1e-12)
        assert torch.allclose(together.variance[k], one.variance, rtol=1e-9)


def test_single_precision_observations_lose_no_digits_in_the_statistics():
    moments = Moments(1)
    for _ in range(300):
        moments.update(torch.full((100, 1), 0.1, dtype=torch.float32))
    assert moments.mean.dtype == torch.float64 and abs(moments.mean.item() - 0.1) < 1e-8 and moments.variance < 1e-16


def test_standardize_changes_nothing_but_extremes_before_it_has_seen_something():
    x = torch.tensor([[0.5, -3.0], [11.0, -1e6]])
    assert torch.allclose(Standardize(2)(x).float(), torch.tensor([[0.5, -3.0], [10.0, -10.0]]))
    assert Standardize(2, limit=2.0)(x)[1].tolist() == [2.0, -2.0]


def test_standardize_makes_mean_0_and_spread_1_and_knows_each_seed():
    layer = Standardize(3, seeds=(4,))
    x = torch.randn(4, 7, 50, 3) * torch.tensor([1.0, 20.0, 0.1]) + torch.arange(4.0).view(4, 1, 1, 1)
    layer.update(x)
    y = layer(x).flatten(1, 2)
    assert torch.allclose(y.mean(1), torch.zeros(4, 3).double(), atol=1e-5)
    assert torch.allclose(y.std(1, correction=0), torch.ones(4, 3).double(), atol=1e-5)
    alone = Standardize(3)
    alone.update(x[2])
    assert torch.allclose(alone(x[2]), layer(x)[2]) and torch.allclose(alone(x[2, 0]), layer(x)[2, 0])
    assert not torch.allclose(layer(x)[2], alone(x[1]))


def test_a_constant_input_becomes_0_and_a_jump_stays_finite():
    layer = Standardize(1)
    layer.update(torch.full((9, 1), 5.0))
    assert layer(torch.full((2, 1), 5.0)).abs().max() < 1e-6 and layer(torch.tensor([[6.0]])).item() == 10.0


def test_observe_reaches_every_layer_and_only_those_that_ask_for_it():
    policy, critic = GaussianPolicy(3, 2, standardize=True), MLPCritic(3, standardize=True)
    plain = MLPPolicy(3, 2)
    before = [x.clone() for x in plain.state_dict().values()]
    x = batches(far=2.0)[2].float()
    observe(x.view(8, 5, 3), policy, critic, plain, TabularPolicy())
    for module in (policy, critic):
        assert np.allclose(module.net.standardize.moments.mean, x.double().mean(0))
        assert module.net.standardize.moments.count == 40
    assert all(torch.equal(a, b) for a, b in zip(before, plain.state_dict().values()))
    with pytest.raises(ValueError, match="observations that are real numbers; these are ids of states"):
        observe(torch.zeros(3, 3, dtype=torch.long), policy)


def test_the_networks_see_standardized_observations_and_not_twice():
    with_it, without = MLPPolicy(3, 2, seed=1, standardize=True), MLPPolicy(3, 2, seed=1)
    x = batches(far=100.0)[2].float()
    observe(x, with_it)
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).float()
    assert torch.allclose(with_it(x).logits, without(z).logits, atol=1e-5)
    names = [name for name, _ in with_it.named_parameters()]
    assert names == [name for name, _ in without.named_parameters()], "statistics are not trained"
    assert {name for name in with_it.state_dict() if "moments" in name} == {
        f"net.standardize.moments.{name}" for name in ("mean", "variance", "count")
    }, "but saved"


# ---- rewards ---------------------------------------------------------------------------------------------------------


def reward_data(holes=False):
    rng = np.random.default_rng(1)
    rewards, ended = rng.normal(3.0, 5.0, size=(4, 30)), rng.random((4, 30)) < 0.15
    mask = np.ones((4, 30), dtype=bool)
    if holes:  # the column after an end is nobody's
        for row, m in zip(ended, mask):
            for t in range(1, 30):
                if row[t - 1]:
                    row[t], m[t] = False, False
    return rewards, ended, mask


@pytest.mark.parametrize("holes", [False, True])
def test_the_scale_of_rewards_is_that_of_discounted_returns_by_a_plain_loop(holes):
    rewards, ended, mask = reward_data(holes)
    scale, seen, running = RewardScale(0.9), [], np.zeros(4)
    if holes:
        rewards[~mask] = 1e6
    for part in (slice(0, 12), slice(12, 13), slice(13, 30)):
        tensors = [torch.tensor(x[:, part]) for x in (rewards, ended, mask)]
        found = scale(*tensors)
        for t in range(part.start, part.stop):
            for i in range(4):
                if mask[i, t]:
                    running[i] = rewards[i, t] + 0.9 * running[i]
                    seen.append(running[i])
                    running[i] *= not ended[i, t]
        assert np.isclose(scale.moments.variance.item(), np.var(seen), rtol=1e-9)
        assert scale.moments.count == len(seen)
        expected = np.clip(rewards[:, part] / np.sqrt(np.var(seen) + 1e-8), -10, 10)
        assert np.allclose(found[tensors[2]], expected[mask[:, part]], rtol=1e-9)


def test_stable_baselines3_computes_the_same_statistic():
    """The lines of VecNormalize.step_wait: update with the returns so far, then forget those of finished episodes."""
    rewards, ended, mask = reward_data()
    theirs, returns = RunningMeanStd(epsilon=1e-12, shape=()), np.zeros(4)
    for t in range(30):
        returns = returns * 0.9 + rewards[:, t]
        theirs.update(returns)
        returns[ended[:, t]] = 0
    ours = RewardScale(0.9)
    ours(*(torch.tensor(x) for x in (rewards, ended, mask)))
    assert np.isclose(ours.moments.variance.item(), theirs.var, rtol=1e-9)
    assert np.isclose(ours.moments.mean.item(), theirs.mean, rtol=1e-9)


def test_rewards_keep_their_sign_their_type_and_stay_within_the_limit():
    ended, mask = torch.zeros(1, 50, dtype=torch.bool), torch.ones(1, 50, dtype=torch.bool)
    rewards = torch.ones(1, 50)
    rewards[0, 25] = -1000.0
    scaled = RewardScale(0.0, limit=2.0)(rewards, ended, mask)
    assert scaled.dtype == torch.float32 and scaled[0, 25] == -2.0 and (scaled[0, :25] > 0).all()
    few = RewardScale(0.99)(torch.full((1, 50), 5.0), ended, mask)
    assert (few == few[0, 0]).all() and 0 < few[0, 0] < 5, "the mean is not taken off"


def test_a_restart_forgets_the_returns_under_way_but_not_the_statistics():
    rewards, ended = torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    mask = torch.ones(2, 3, dtype=torch.bool)
    scale = RewardScale(1.0)
    scale(rewards, ended, mask)  # returns 1 2 3
    scale.restart()
    scale(rewards, ended, mask)  # again
    assert scale.moments.mean.item() == pytest.approx(2.0) and scale.moments.count == 12
    scale(rewards, ended, mask)  # and on: 4 5 6
    assert scale.moments.mean.item() == pytest.approx(3.0)
    assert set(scale.state_dict()) == {f"moments.{name}" for name in ("mean", "variance", "count")}
