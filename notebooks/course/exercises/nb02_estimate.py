"""Exercise 02.policy_gradient: an unbiased estimate of the gradient table from a batch of walks."""

from __future__ import annotations

import torch

from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.rollout import whole_episodes

from ..check.spec import Exercise, Mistake, close, mean_within
from ..check.texts import written
from .nb02_score import score_function


def policy_gradient_estimate(logits, observations, actions, rewards, mask):
    """Mean over walks of the sum over steps of score * reward-to-go; a table with the shape of `logits`."""
    rewards = torch.where(mask, rewards, 0.0)  # (B, T): what stands after the end of a walk does not count
    to_go = rewards.flip(-1).cumsum(-1).flip(-1)  # (B, T): this reward and all later ones
    steps = score_function(logits[observations], actions) * to_go[..., None]  # (B, T, 4)
    table = torch.zeros_like(logits).index_put((observations,), steps, accumulate=True)
    return table / len(observations)


def _walk_cases():
    g = torch.Generator().manual_seed(1)
    one = (torch.zeros(1, 4).double(), ids([[0]]), ids([[3]]), reals([[1.0]]), bools([[1]]))
    two = (draw(g, 2, 4), ids([[0, 1, 0]]), ids([[1, 3, 1]]), reals([[-0.1, -1.0, 1.0]]), bools([[1, 1, 1]]))
    observations, actions = ids([[0, 1, 0, 0], [0, 0, 1, 1]]), ids([[1, 3, 0, 0], [2, 1, 1, 3]])
    rewards = reals([[-0.1, 1.0, 7.0, 7.0], [-1.0, -0.1, -0.1, 1.0]])  # 7: rubbish after the end
    padded = (draw(g, 2, 4), observations, actions, rewards, bools([[1, 1, 0, 0], [1, 1, 1, 1]]))
    walks = whole_episodes(MazeBatch(Maze(max_steps=12), 5, seed=3), TabularPolicy())
    maze = (draw(g, 16, 4), walks.observations, walks.actions, walks.rewards, walks.mask)
    return [one, two, padded, maze]


def draw(g, *shape):
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def ids(rows):
    return torch.tensor(rows)


def reals(rows):
    return torch.tensor(rows, dtype=torch.float64)


def bools(rows):
    return torch.tensor(rows, dtype=torch.bool)


def every_walk(maze, length):
    """All 4^length walks from the start, equally likely if all actions are: states, actions, rewards, mask."""
    actions = torch.cartesian_prod(*[torch.arange(4)] * length)
    state, columns = torch.full(actions.shape[:1], maze.start), []
    for action in actions.unbind(-1):
        columns.append((state, maze.move_reward[state, action], state != maze.goal))
        state = maze.next_state[state, action]
    states, rewards, mask = (torch.stack(column, -1) for column in zip(*columns))
    return states, actions, rewards, mask


def finite_horizon_gradient(maze, length, reward):
    """dJ / dlogits at the uniform policy for walks of at most `length` steps, by autograd through the recursion for V.

    reward(logp): (S, 4) rewards, which may depend on log pi."""
    logits = torch.zeros(maze.n_states, 4, dtype=torch.float64, requires_grad=True)
    logp = torch.log_softmax(logits, -1)
    V = torch.zeros(maze.n_states, dtype=torch.float64)
    for _ in range(length):
        V = (logp.exp() * (reward(logp) + V[maze.next_state])).sum(-1) * maze.open
    V[maze.start].backward()
    return logits.grad


def _exact_on_all_walks(fn):
    """On all 64 walks of three steps, each once and equally likely, the estimate must be the exact gradient."""
    maze = Maze(start=10)  # two steps from the goal, so some walks end early
    states, actions, rewards, mask = every_walk(maze, 3)
    logits = torch.zeros(16, 4, dtype=torch.float64)
    truth = finite_horizon_gradient(maze, 3, lambda logp: maze.move_reward)
    got = fn(logits, states, actions, rewards.masked_fill(~mask, 7.0), mask)
    close(got, truth, case=(logits, states, actions, rewards, mask), atol=1e-6)


def _unbiased(fn):
    """Averaged over many batches of walks through a tiny maze, the estimate must be the exact gradient."""
    maze, policy = Maze(size=2), TabularPolicy(4)  # four squares and short walks: a double loop is in time
    policy.logits.data[:, [1, 3]] = 1.0  # a robot that likes down and right
    envs, logits, samples = MazeBatch(maze, 4, seed=0), policy.logits.detach(), []
    for _ in range(60):
        w = whole_episodes(envs, policy)
        samples.append(fn(logits.clone(), w.observations, w.actions, w.rewards, w.mask))
    mean_within(torch.stack(samples), exact_policy_gradient(logits, 1.0, maze=maze))


def _table(logits, observations, steps, mask):
    return torch.zeros_like(logits).index_put((observations,), steps * mask[..., None], accumulate=True)


def _to_go(rewards, mask):
    return torch.where(mask, rewards, 0.0).flip(-1).cumsum(-1).flip(-1)


def _mean_over_steps(logits, observations, actions, rewards, mask):
    table = policy_gradient_estimate(logits, observations, actions, rewards, mask)
    return table * len(observations) / mask.sum()


def _mean_over_walks_and_time(logits, observations, actions, rewards, mask):
    return policy_gradient_estimate(logits, observations, actions, rewards, mask) / mask.shape[-1]


def _sum_over_walks(logits, observations, actions, rewards, mask):
    return policy_gradient_estimate(logits, observations, actions, rewards, mask) * len(observations)


def _each_walk_by_its_length(logits, observations, actions, rewards, mask):
    steps = score_function(logits[observations], actions) * _to_go(rewards, mask)[..., None]
    return _table(logits, observations, steps / mask.sum(-1)[:, None, None], mask) / len(observations)


def _counted_from_the_start(logits, observations, actions, rewards, mask):
    so_far = torch.where(mask, rewards, 0.0).cumsum(-1)
    steps = score_function(logits[observations], actions) * so_far[..., None]
    return _table(logits, observations, steps, torch.ones_like(mask)) / len(observations)


def _whole_return(logits, observations, actions, rewards, mask):
    total = torch.where(mask, rewards, 0.0).sum(-1)[:, None, None]
    return _table(logits, observations, score_function(logits[observations], actions) * total, mask) / len(observations)


def _counts_padding(logits, observations, actions, rewards, mask):
    return policy_gradient_estimate(logits, observations, actions, rewards, torch.ones_like(mask))


def _climbs_down(logits, observations, actions, rewards, mask):
    return -policy_gradient_estimate(logits, observations, actions, rewards, mask)


def _whitened(logits, observations, actions, rewards, mask):
    to_go = _to_go(rewards, mask)
    to_go = (to_go - to_go[mask].mean()) / (to_go[mask].std(unbiased=False) + 1e-8)
    steps = score_function(logits[observations], actions) * to_go[..., None]
    return _table(logits, observations, steps, mask) / len(observations)


def _overwrites(logits, observations, actions, rewards, mask):
    table = torch.zeros_like(logits)
    steps = score_function(logits[observations], actions) * _to_go(rewards, mask)[..., None]
    for state, step in zip(observations[mask], steps[mask]):
        table[state] = step
    return table / len(observations)


def _mean_score_times_returns(logits, observations, actions, rewards, mask):
    total = _to_go(rewards, mask).sum(-1)[:, None, None]
    steps = score_function(logits[observations], actions) / mask.sum(-1)[:, None, None] * total
    return _table(logits, observations, steps, mask) / len(observations)


ESTIMATE = Exercise(
    id="02.policy_gradient",
    title="An unbiased policy gradient from a batch of walks",
    solution=policy_gradient_estimate,
    cases=_walk_cases,
    properties=[_exact_on_all_walks],
    statistics=[_unbiased],
    mistakes=[
        Mistake(
            _mean_over_steps,
            "You divided by the number of steps. J is what a walk earns on average: divide by the number of walks.",
            "openai/spinningup issue 59",
        ),
        Mistake(
            _mean_over_walks_and_time,
            "You divided by B * T. Sum over the steps of a walk, and divide by B only, the number of walks.",
        ),
        Mistake(
            _sum_over_walks,
            "You summed over the walks too. J is what ONE walk earns on average: divide by B, the number of walks.",
        ),
        Mistake(
            _each_walk_by_its_length,
            "You divided each walk by its own length. A step of a long walk then counts less than one of a short walk, "
            "and the mean is not the gradient of J any more. Sum over steps, mean over walks.",
            "KaiyangZhou/pytorch-vsumm-reinforce issue 48",
        ),
        Mistake(
            _counted_from_the_start,
            "These are the rewards SO FAR. An action cannot change what was paid before it: sum from step t to the end "
            "(`flip`, `cumsum`, `flip`).",
        ),
        Mistake(
            _whole_return,
            "Right on average, and noisier than it has to be: every step got the whole return. What was paid before "
            "step t adds only noise; leave it out.",
            "udacity/deep-reinforcement-learning issue 42 and huggingface/deep-rl-class pull request 95",
        ),
        Mistake(_counts_padding, "Steps after the end of a walk counted too. Where `mask` is False nothing happened."),
        Mistake(_climbs_down, "The sign is flipped: this arrow points downhill. J is what we want to RAISE."),
        Mistake(
            _whitened,
            "You whitened the returns (minus their mean, divided by their spread). That is a useful trick of training, "
            "and no longer the gradient of J.",
        ),
        Mistake(
            _overwrites,
            "A square that is visited twice must receive both pushes. `table[observations] = ...` and `+= ...` keep "
            "one of them; use `index_put(..., accumulate=True)`, `index_add` or a loop.",
        ),
        Mistake(
            _mean_score_times_returns,
            "The mean of the scores times the sum of the returns is not the sum of score times return: the score of a "
            "step goes with its own reward-to-go.",
            "Farama-Foundation/Gymnasium issue 1336",
        ),
        *written(policy_gradient_estimate),
    ],
    hints=[
        "Three pieces: the rewards from each step to the end, the score of each step, its square in the table.",
        "`rewards.flip(-1).cumsum(-1).flip(-1)` sums from each step to the end. Before that, set rewards outside the "
        "mask to 0.",
        "`torch.zeros_like(logits).index_put((observations,), steps, accumulate=True)` adds the row of each step to "
        "its square. Then divide by the number of walks.",
    ],
)
