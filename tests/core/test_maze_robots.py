"""Robots in the maze, one and thousands: they agree with each other, with the exact solution, and with Gymnasium."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from oracles import DOWN, LEFT, MAZES, RIGHT, UP, plain_maze, random_policy, within

from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.rollout import action_thresholds

UNIFORM = torch.full((16, 4), 0.25, dtype=torch.float64)
every_maze = pytest.mark.parametrize("settings", MAZES.values(), ids=MAZES.keys())


def walk(envs, probs, steps, gamma=1.0):
    """First episode of every robot: its discounted return, its number of steps, and how it ended."""
    thresholds = action_thresholds(torch.as_tensor(probs))
    total = torch.zeros(envs.n, dtype=torch.float64)
    length, terminated = torch.full((envs.n,), -1), torch.zeros(envs.n, dtype=torch.bool)
    for t in range(steps):
        u = envs.draws(1)[0]
        _, reward, arrived, cut = envs.step(envs.sample(thresholds, u[0]), u[-1])
        walking = length < 0
        total += torch.where(walking, gamma**t * reward, 0)
        terminated |= walking & arrived
        length = torch.where(walking & (arrived | cut), t + 1, length)
    return {"return": total.numpy(), "steps": length.numpy(), "terminated": terminated.numpy()}


@every_maze
def test_mean_return_of_a_batch_agrees_with_solve(settings):
    maze = Maze(**settings, max_steps=800)
    probs = random_policy(1, maze.n_states, spread=0.3)
    robots = walk(MazeBatch(maze, 4000, seed=2), probs, 800, gamma=0.98)
    assert within(robots["return"], solve(probs, 0.98, maze=maze).J)


@pytest.mark.parametrize("settings", [MAZES["plain"], MAZES["slippery with walls"]], ids=["plain", "slippery"])
def test_one_robot_agrees_with_solve(settings):
    maze = Maze(**settings, max_steps=10_000)
    probs, returns = random_policy(1, maze.n_states, spread=0.3), []
    choose = np.random.default_rng(0)
    maze.reset(seed=0)
    for _ in range(150):
        (state, _), total, weight, done = maze.reset(), 0.0, 1.0, False
        while not done:
            state, reward, terminated, truncated, _ = maze.step(choose.choice(4, p=probs[state]))
            total, weight, done = total + weight * reward, 0.95 * weight, terminated or truncated
        returns.append(total)
    assert within(returns, solve(probs, 0.95, maze=maze).J)


def test_one_robot_and_the_batch_take_the_same_steps():
    maze, actions = Maze(walls=[5], max_steps=30), np.random.default_rng(0).integers(4, size=200)
    envs, ends = MazeBatch(maze, 1), 0
    state, _ = maze.reset()
    for action in actions:
        assert envs.states.item() == state
        state, *rest, _ = maze.step(action)
        arrived, *others = envs.step(torch.tensor([action]))
        assert arrived.item() == state
        assert [x.item() for x in others] == rest
        if rest[1] or rest[2]:
            ends += 1
            state, _ = maze.reset()
    assert ends >= 3


def test_a_slippery_floor_moves_robots_as_often_as_its_table_says():
    maze = Maze(slip=0.4)
    envs = MazeBatch(maze, 40_000, seed=0)
    envs.states.fill_(5)
    arrived, *_ = envs.step(torch.full((40_000,), DOWN), envs.uniforms(1)[0, 0])
    for there, chance in ((1, 0.1), (9, 0.7), (4, 0.1), (6, 0.1)):
        assert within(arrived == there, chance)


@pytest.mark.parametrize(("limit", "J"), [(50, -11.6628), (100, -15.8052), (200, -17.8886)])
def test_a_step_limit_changes_the_return_of_the_uniform_policy(limit, J):
    robots = walk(MazeBatch(Maze(max_steps=limit), 20_000, seed=limit), UNIFORM, limit)
    assert within(robots["return"], J)


def test_shares_of_long_episodes_of_the_uniform_policy():
    P, _ = plain_maze()
    step, at = (0.25 * P).sum(1), np.eye(16)[0]
    still_walking = [1.0]
    for _ in range(200):
        at = at @ step
        still_walking.append(at[:15].sum())
    assert [round(still_walking[n], 4) for n in (50, 100, 200)] == [0.4416, 0.1624, 0.0220]
    envs = MazeBatch(Maze(max_steps=1000), 20_000, seed=1)  # and the robots agree
    ended = walk(envs, UNIFORM, 1000)["steps"]
    for n in (50, 100, 200):
        assert within(ended > n, still_walking[n])


# ---- the end of an episode -----------------------------------------------------------------------------------------


def test_entering_the_goal_terminates_and_the_step_limit_truncates_never_both():
    for limit, expected in ((5, (False, True)), (6, (True, False)), (7, (True, False))):
        maze = Maze(max_steps=limit)
        envs = MazeBatch(maze, 3)
        maze.reset()
        for t, action in enumerate([DOWN, DOWN, DOWN, RIGHT, RIGHT, RIGHT][:limit]):
            _, reward, *flags, _ = maze.step(action)
            _, rewards, *both = envs.step(torch.full((3,), action))
            last = t == min(limit, 6) - 1
            assert tuple(flags) == (expected if last else (False, False))
            assert all(x.tolist() == [flag] * 3 for x, flag in zip(both, flags))
            assert reward == rewards[0].item() == (1.0 if last and limit > 5 else -0.1)


def test_truncation_comes_exactly_at_the_limit_and_again_after_a_reset():
    envs = MazeBatch(Maze(max_steps=4), 2)
    cuts = [envs.step(torch.tensor([UP, UP]))[3].tolist() for _ in range(12)]
    assert [t for t, cut in enumerate(cuts) if any(cut)] == [3, 7, 11]
    assert all(cuts[t] == [True, True] for t in (3, 7, 11))


def test_the_batch_reports_the_square_of_arrival_and_then_starts_anew():
    envs = MazeBatch(Maze(max_steps=2), 2)
    envs.step(torch.tensor([RIGHT, DOWN]))
    arrived, _, _, truncated = envs.step(torch.tensor([RIGHT, DOWN]))
    assert arrived.tolist() == [2, 8] and truncated.all()  # trap 15: not the start, and not the square before
    assert envs.states.tolist() == [0, 0] and envs.steps.tolist() == [0, 0]
    assert envs.finished_returns.tolist() == pytest.approx([-0.2, -0.2])


def test_a_bump_leaves_the_robot_where_it_is():
    maze = Maze(walls=[1])
    maze.reset()
    for action in (UP, LEFT, RIGHT):
        assert maze.step(action)[:2] == (0, -1.0)


# ---- Gymnasium -----------------------------------------------------------------------------------------------------


@every_maze
def test_gymnasium_accepts_the_maze(settings):
    check_env(Maze(**settings), skip_render_check=True)


def test_the_maze_works_in_a_gymnasium_vector_environment():
    envs = gymnasium.vector.SyncVectorEnv([lambda: Maze(max_steps=3)] * 2)
    assert envs.reset(seed=0)[0].tolist() == [0, 0]
    observations, rewards, *_ = envs.step(np.array([DOWN, UP]))
    assert observations.tolist() == [4, 0] and rewards.tolist() == [-0.1, -1.0]


def test_the_same_seed_slips_the_same_way():
    def journey(seed):
        maze = Maze(slip=0.5)
        maze.reset(seed=seed)
        return [maze.step(DOWN)[0] for _ in range(30)]

    assert journey(7) == journey(7) != journey(8)


def test_text_rendering_shows_robot_goal_and_walls():
    maze = Maze(3, walls=[4], render_mode="ansi")
    maze.reset()
    maze.step(RIGHT)
    assert maze.render() == "S R .\n. # .\n. . G"


def test_a_picture_is_an_array_of_colours():
    maze = Maze(walls=[5], render_mode="rgb_array")
    maze.reset()
    before = maze.render()
    maze.step(DOWN)
    after = maze.render()
    assert before.dtype == np.uint8 and before.shape == after.shape == (160, 160, 3)
    middle = [(40 * (s // 4) + 20, 40 * (s % 4) + 20) for s in range(16)]
    changed = [s for s, place in enumerate(middle) if (before[place] != after[place]).any()]
    assert changed == [0, 4]  # the robot went down one square
    assert tuple(before[middle[5]]) == (59, 66, 82) and tuple(before[middle[15]]) == (0, 158, 115)


def test_a_torch_sample_is_an_action():
    maze = Maze()
    maze.reset()
    assert maze.step(torch.tensor(DOWN))[0] == 4
