"""policy_gradient: an unbiased policy gradient from a batch of walks."""

import torch

from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.rollout import whole_episodes

from ..check import Exercise, close, mean_within
from .score_function import score_function


def policy_gradient_estimate(logits, observations, actions, rewards, mask):
    """Mean over walks of the sum over steps of score * reward-to-go; a table with the shape of `logits`."""
    rewards = torch.where(mask, rewards, 0.0)  # (B, T): what stands after the end of a walk does not count
    to_go = rewards.flip(-1).cumsum(-1).flip(-1)  # (B, T): this reward and all later ones
    steps = score_function(logits[observations], actions) * to_go[..., None]  # (B, T, 4)
    table = torch.zeros_like(logits).index_put((observations,), steps, accumulate=True)
    return table / len(observations)


def cases():
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


def exact_on_all_walks(fn):
    maze = Maze(start=10)  # two steps from the goal, so some walks end early
    states, actions, rewards, mask = every_walk(maze, 3)
    logits = torch.zeros(16, 4, dtype=torch.float64)
    truth = finite_horizon_gradient(maze, 3, lambda logp: maze.move_reward)
    got = fn(logits, states, actions, rewards.masked_fill(~mask, 7.0), mask)
    close(got, truth, case=(logits, states, actions, rewards, mask), atol=1e-6)


def unbiased(fn):
    maze, policy = Maze(size=2), TabularPolicy(4)  # four squares and short walks: a double loop is in time
    policy.logits.data[:, [1, 3]] = 1.0  # a robot that likes down and right
    envs, logits, samples = MazeBatch(maze, 4, seed=0), policy.logits.detach(), []
    for _ in range(60):
        w = whole_episodes(envs, policy)
        samples.append(fn(logits.clone(), w.observations, w.actions, w.rewards, w.mask))
    mean_within(torch.stack(samples), exact_policy_gradient(logits, 1.0, maze=maze))


def draw_arrow(fn):
    """The learner's estimate from 32 walks of a random robot on the maze, and its cosine with the exact gradient."""
    from ..pictures import figure
    from ..pictures.action_map import draw_actions

    w = whole_episodes(MazeBatch(Maze(max_steps=1000), 32, seed=4), TabularPolicy())
    logits = torch.zeros(16, 4, dtype=torch.float64)
    yours = fn(logits, w.observations, w.actions, w.rewards, w.mask)
    fig, ax = figure(width=4.2, height=4.2)
    draw_actions(ax, Maze(), yours)
    exact = exact_policy_gradient(logits, 1.0).flatten()
    return fig, {"cosine": float(torch.cosine_similarity(yours.flatten(), exact, dim=0))}


EXERCISE = Exercise(solution=policy_gradient_estimate, cases=cases, picture=draw_arrow)
