"""Tables and networks: the same numbers as torch's distributions, and each seed reads and learns its own row only."""

import numpy as np
import pytest
import torch
from oracles import within
from torch.distributions import Categorical, kl_divergence

from ppo_lesson.maze import Maze
from ppo_lesson.policies import MLPCritic, MLPPolicy, TabularCritic, TabularPolicy


def table(*seeds):
    policy = TabularPolicy(seeds=seeds)
    policy.logits.data = torch.randn_like(policy.logits)
    return policy


def test_all_actions_start_equally_likely_and_all_values_at_zero():
    assert torch.equal(TabularPolicy().probs, torch.full((16, 4), 0.25, dtype=torch.float64))
    assert not TabularCritic()(torch.arange(16)).any()


def test_a_table_is_the_softmax_of_its_rows_in_value_and_gradient():
    policy, states, actions = table(), torch.randint(16, (5, 7)), torch.randint(4, (5, 7))
    ours, theirs = policy(states), Categorical(logits=policy.logits[states])
    assert torch.allclose(ours.probs, theirs.probs) and torch.allclose(policy.probs, policy(torch.arange(16)).probs)
    for f in (lambda d: d.log_prob(actions), lambda d: d.entropy(), lambda d: d.logits.square()):
        a, b = f(ours), f(theirs)
        assert torch.allclose(a, b)
        assert torch.allclose(*(torch.autograd.grad(x.sum(), policy.logits, retain_graph=True)[0] for x in (a, b)))


def test_torch_compares_two_tables():
    p, q, states = table(), table(), torch.arange(16)
    expected = (p.probs * (p.probs.log() - q.probs.log())).sum(-1)
    assert torch.allclose(kl_divergence(p(states), q(states)), expected)


def test_samples_follow_the_table():
    policy = table()
    drawn = policy(torch.full((20_000,), 3)).sample()
    for action in range(4):
        assert within(drawn == action, policy.probs[3, action])


def test_a_robot_may_ask_with_the_plain_number_that_the_maze_gave_it():
    observation, _ = Maze().reset()
    policy = table()
    assert torch.equal(policy(observation).probs, policy(torch.tensor([0])).probs[0])
    assert TabularCritic()(observation).item() == 0.0


@pytest.mark.parametrize("seeds", [(3,), (2, 3)])
def test_each_seed_reads_and_learns_its_own_row_only(seeds):
    policy, critic = table(*seeds), TabularCritic(seeds=seeds)
    critic.table.data = torch.randn_like(critic.table)
    states = torch.randint(16, (*seeds, 5, 7))
    together, values = policy(states), critic(states)
    assert together.probs.shape == (*seeds, 5, 7, 4) and values.shape == (*seeds, 5, 7)
    for k in torch.cartesian_prod(*(torch.arange(n) for n in seeds)).view(-1, len(seeds)).tolist():
        k = tuple(k)
        assert torch.allclose(together.logits[k], Categorical(logits=policy.logits[k][states[k]]).logits)
        assert torch.equal(values[k], critic.table[k][states[k]])
        for parameter, output in ((policy.logits, together.logits[k]), (critic.table, values[k])):
            (gradient,) = torch.autograd.grad(output.sum(), parameter, retain_graph=True)
            gradient[k] = 0
            assert not gradient.any()


def test_a_network_sees_a_state_as_a_one_hot_vector():
    states = torch.randint(16, (5, 7))
    one_hot = torch.nn.functional.one_hot(states, 16).float()
    for net, ask in ((MLPPolicy(), lambda out: out.logits), (MLPCritic(), lambda out: out)):
        assert torch.allclose(ask(net(states)), ask(net(one_hot)), atol=1e-6)


def test_stacked_networks_equal_single_ones():
    x = torch.randn(3, 5, 8)
    together, values = MLPPolicy(8, 4, seed=[4, 5, 6])(x), MLPCritic(8, seed=[4, 5, 6])(x)
    for k in range(3):
        assert torch.allclose(together.logits[k], MLPPolicy(8, 4, seed=4 + k)(x[k]).logits, atol=1e-6)
        assert torch.allclose(values[k], MLPCritic(8, seed=4 + k)(x[k]), atol=1e-6)


def test_a_new_network_is_almost_undecided():
    assert (MLPPolicy()(torch.arange(16)).probs - 0.25).abs().max() < 0.02


@pytest.mark.parametrize("action", [4, -1, [0, 4], [[-1], [3]]])
@pytest.mark.parametrize("seeds", [(), (2,)])
def test_the_probability_of_an_action_that_does_not_exist_is_refused(action, seeds):
    """It would be that of another state: action 4 the next one's first, -1 the last one's last."""
    policy, action = table(*seeds), torch.tensor(action)
    states = torch.zeros((*seeds, *action.shape), dtype=torch.long)
    with pytest.raises(ValueError, match=r"actions must be whole numbers from 0 to 3, this table's; got"):
        policy(states).log_prob(action.expand((*seeds, *action.shape)))
    empty = torch.zeros((*seeds, 0), dtype=torch.long)
    assert policy(empty).log_prob(empty).shape == (*seeds, 0)


def test_what_torch_does_with_a_categorical_it_does_with_a_table_too():
    policy, states = table(), torch.randint(16, (5,))
    ours, theirs = policy(states), Categorical(logits=policy.logits[states])
    assert torch.equal(ours.enumerate_support(), theirs.enumerate_support()) and ours.param_shape == theirs.param_shape
    wide = ours.expand((3, 5))
    assert wide.batch_shape == (3, 5) and torch.allclose(wide.entropy(), theirs.entropy().expand(3, 5))
    assert torch.equal(ours.mode, theirs.mode)


def test_a_seed_of_numpy_is_a_seed():
    for a, b in zip(MLPPolicy(seed=np.int64(3)).parameters(), MLPPolicy(seed=3).parameters()):
        assert torch.equal(a, b)
