"""The maze solved exactly: against published numbers, another method (value iteration), and robots that walk."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from oracles import DOWN, LEFT, RIGHT, UP, iterate_values, plain_maze, random_policy, within

from ppo_lesson.maze import Maze, MazeBatch, action_thresholds, exact_policy_gradient, optimal, solve

UNIFORM = torch.full((16, 4), 0.25, dtype=torch.float64)
MAZES = {
    "plain": {},
    "2x2": {"size": 2},
    "6x6": {"size": 6},
    "walls": {"walls": [5, 6, 9]},
    "slippery": {"slip": 0.2},
    "ice": {"slip": 1.0},
    "slippery with walls": {"size": 5, "walls": [6, 7, 16, 18], "slip": 0.35},
    "goal in the middle": {"goal": 9},
}
every_maze = pytest.mark.parametrize("settings", MAZES.values(), ids=MAZES.keys())


# ---- numbers that were computed elsewhere --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gamma", "J", "best"),
    [(1.0, -255 / 14, 0.5), (0.99, -12.3111781589, 0.4608905489), (0.9, -3.347120, 0.180980)],
)
def test_value_of_the_uniform_and_of_the_best_policy(gamma, J, best):
    tolerance = 1e-6 if gamma == 0.9 else 1e-10  # as many digits as were published
    assert solve(UNIFORM, gamma).J.item() == pytest.approx(J, abs=tolerance)
    assert optimal(gamma).J.item() == pytest.approx(best, abs=tolerance)


def test_value_tables_of_the_uniform_policy():
    at_1 = [
        [-18.214286, -17.114286, -16.092857, -15.707143],
        [-17.114286, -15.735714, -14.157143, -13.121429],
        [-16.092857, -14.157143, -11.278571, -8.2],
        [-15.707143, -13.121429, -8.2, 0],
    ]
    at_99 = [
        [-12.311178, -11.448778, -10.788444, -10.687782],
        [-11.448778, -10.396156, -9.351538, -8.796728],
        [-10.788444, -9.351538, -7.398623, -5.393155],
        [-10.687782, -8.796728, -5.393155, 0],
    ]
    for gamma, expected in ((1.0, at_1), (0.99, at_99)):
        assert np.allclose(solve(UNIFORM, gamma).V.view(4, 4), expected, atol=1e-6)


def test_best_values_count_the_steps_that_are_left():
    rows, columns = np.indices((4, 4))
    steps = 6 - rows - columns
    expected = np.where(steps > 0, 1 - 0.1 * (steps - 1), 0)  # every step but the last costs 0.1, the last pays 1
    assert np.allclose(optimal(1.0).V.view(4, 4), expected, atol=1e-12)


def test_steps_and_bumps_of_the_uniform_policy():
    visits = solve(UNIFORM, 1.0).visitation
    assert visits.sum().item() == pytest.approx(416 / 7, abs=1e-9)
    walls_around = np.array([[2, 1, 1, 2], [1, 0, 0, 1], [1, 0, 0, 1], [2, 1, 1, 2]]).flatten()
    assert (visits.numpy() * walls_around / 4).sum() == pytest.approx(104 / 7, abs=1e-9)


def test_shares_of_long_episodes_of_the_uniform_policy():
    P, _ = plain_maze()
    step, at = (0.25 * P).sum(1), np.eye(16)[0]
    still_walking = [1.0]
    for _ in range(200):
        at = at @ step
        still_walking.append(at[:15].sum())
    assert [round(still_walking[n], 4) for n in (50, 100, 200)] == [0.4416, 0.1624, 0.0220]
    batch = MazeBatch(Maze(max_steps=1000), 20_000, seed=1)  # and the robots agree
    ended = walk(batch, UNIFORM, 1000)["steps"]
    for n in (50, 100, 200):
        assert within(ended > n, still_walking[n])


@pytest.mark.parametrize(("gamma", "norm"), [(1.0, 14.724910), (0.99, 6.873173), (0.9, 1.080493)])
def test_gradient_of_the_uniform_policy(gamma, norm):
    gradient = exact_policy_gradient(torch.zeros(16, 4), gamma)
    assert gradient.norm().item() == pytest.approx(norm, abs=1e-6)
    if gamma == 0.99:
        expected = [-1.249827, 1.249827, -1.249827, 1.249827]
        assert gradient[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("gamma", "cosine"), [(1.0, 1.0), (0.99, 0.9974), (0.9, 0.839)])
def test_dropping_gamma_to_the_t_points_elsewhere(gamma, cosine):
    practice = solve(UNIFORM, 1.0).visitation[:, None] * UNIFORM * solve(UNIFORM, gamma).A  # visits without gamma^t
    exact = exact_policy_gradient(torch.zeros(16, 4), gamma)
    assert torch.cosine_similarity(practice.flatten(), exact.flatten(), 0).item() == pytest.approx(cosine, abs=5e-4)


# ---- another method ------------------------------------------------------------------------------------------------


@every_maze
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
def test_solve_agrees_with_sweeps_of_the_bellman_equation(settings, gamma):
    maze, (P, r) = Maze(**settings), plain_maze(**settings)
    assert np.allclose(maze.transitions[maze.open], P[maze.open]), "the tables follow the rules"
    assert np.allclose(maze.rewards, r)
    probs = random_policy(3, maze.n_states, spread=0.5)
    solution = solve(probs, gamma, maze=maze)
    V = iterate_values(P, r, gamma, probs)
    Q = r + gamma * P @ V
    assert np.allclose(solution.V, V, atol=1e-9)
    assert np.allclose(solution.Q, Q, atol=1e-9)
    assert np.allclose(solution.A, Q - V[:, None], atol=1e-9)
    assert solution.J.item() == pytest.approx(V[0], abs=1e-9)


@every_maze
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_optimal_agrees_with_value_iteration(settings, gamma):
    best = optimal(gamma, maze=Maze(**settings))
    V = iterate_values(*plain_maze(**settings), gamma)
    assert np.allclose(best.V, V, atol=1e-9)
    assert best.A.max().item() <= 1e-9, "no action is better than the best policy"


def test_optimal_shares_ties_equally():
    probs = optimal(0.99).probs
    assert probs[0].tolist() == [0, 0.5, 0, 0.5]  # down and right are equally good
    assert probs[3].tolist() == [0, 1, 0, 0]


def test_optimal_stops_with_rewards_of_any_size():
    def best(x):
        return optimal(0.99, maze=Maze(slip=0.3, goal_reward=x, step_reward=-x / 10, bump_reward=-x)).probs

    assert torch.equal(best(1.0), best(1e8))


@every_maze
def test_visits_are_the_expected_number_of_times_on_each_square(settings):
    maze, (P, _) = Maze(**settings), plain_maze(**settings)
    probs, gamma = random_policy(5, maze.n_states), 0.95
    at, visits = np.eye(maze.n_states)[maze.start], 0
    for t in range(600):
        visits = visits + gamma**t * at * maze.open.numpy()
        at = np.einsum("s,sa,san->n", at, probs, P)
    assert np.allclose(solve(probs, gamma, maze=maze).visitation, visits, atol=1e-10)


@pytest.mark.parametrize("settings", [MAZES["plain"], MAZES["slippery with walls"]], ids=["plain", "slippery"])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_exact_gradient_equals_autograd_and_finite_differences(settings, gamma):
    maze = Maze(**settings)
    logits = torch.tensor(np.random.default_rng(0).normal(size=(maze.n_states, 4)), requires_grad=True)
    exact = exact_policy_gradient(logits, gamma, maze=maze)

    def J(x):
        return solve(torch.softmax(x, -1), gamma, maze=maze).J

    (automatic,) = torch.autograd.grad(J(logits), logits)
    assert torch.allclose(exact, automatic, atol=1e-10)
    P, r = plain_maze(**settings)
    for s, a in [(0, DOWN), (1, LEFT), (maze.n_states - 2, RIGHT)]:
        ends = []
        for h in (1e-4, -1e-4):
            moved = logits.detach().numpy().copy()
            moved[s, a] += h
            probs = np.exp(moved) / np.exp(moved).sum(1, keepdims=True)
            ends.append(iterate_values(P, r, gamma, probs)[0])
        assert exact[s, a].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-6)


def test_solve_is_differentiable():
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    outputs = ("V", "Q", "A", "visitation", "J")

    def f(x):
        solution = solve(torch.softmax(x, -1), 0.95, maze=Maze(2, slip=0.1))
        return tuple(getattr(solution, name) for name in outputs)

    assert torch.autograd.gradcheck(f, logits)


def test_seeds_are_solved_apart():
    probs = torch.tensor(np.stack([random_policy(s) for s in range(6)])).view(2, 3, 16, 4)
    together = solve(probs, 0.99)
    assert together.J.shape == (2, 3) and together.Q.shape == (2, 3, 16, 4)
    for i in range(2):
        for j in range(3):
            alone = solve(probs[i, j], 0.99)
            for name in ("V", "Q", "A", "visitation", "J"):
                assert torch.allclose(getattr(together, name)[i, j], getattr(alone, name), atol=1e-12)
    logits = probs.log()
    gradient = exact_policy_gradient(logits, 0.99)
    assert torch.allclose(gradient[1, 2], exact_policy_gradient(logits[1, 2], 0.99), atol=1e-12)


# ---- robots that walk ----------------------------------------------------------------------------------------------


def walk(batch, probs, steps, gamma=1.0):
    """First episode of every robot: its discounted return, its number of steps, and how it ended."""
    thresholds = action_thresholds(torch.as_tensor(probs))
    total = torch.zeros(batch.n, dtype=torch.float64)
    length, terminated = torch.full((batch.n,), -1), torch.zeros(batch.n, dtype=torch.bool)
    for t in range(steps):
        u = batch.draws(1)[0]
        _, reward, arrived, cut = batch.step(batch.sample(thresholds, u[0]), u[-1])
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
    batch, ends = MazeBatch(maze, 1), 0
    state, _ = maze.reset()
    for action in actions:
        assert batch.states.item() == state
        state, *rest, _ = maze.step(action)
        arrived, *others = batch.step(torch.tensor([action]))
        assert arrived.item() == state
        assert [x.item() for x in others] == rest
        if rest[1] or rest[2]:
            ends += 1
            state, _ = maze.reset()
    assert ends >= 3


def test_a_slippery_floor_moves_robots_as_often_as_its_table_says():
    maze = Maze(slip=0.4)
    batch = MazeBatch(maze, 40_000, seed=0)
    batch.states.fill_(5)
    arrived, *_ = batch.step(torch.full((40_000,), DOWN), batch.uniforms(1)[0, 0])
    for there, chance in ((1, 0.1), (9, 0.7), (4, 0.1), (6, 0.1)):
        assert within(arrived == there, chance)


@pytest.mark.parametrize(("limit", "J"), [(50, -11.6628), (100, -15.8052), (200, -17.8886)])
def test_a_step_limit_changes_the_return_of_the_uniform_policy(limit, J):
    robots = walk(MazeBatch(Maze(max_steps=limit), 20_000, seed=limit), UNIFORM, limit)
    assert within(robots["return"], J)


# ---- the end of an episode -----------------------------------------------------------------------------------------


def test_entering_the_goal_terminates_and_the_step_limit_truncates_never_both():
    for limit, expected in ((5, (False, True)), (6, (True, False)), (7, (True, False))):
        maze = Maze(max_steps=limit)
        batch = MazeBatch(maze, 3)
        maze.reset()
        for t, action in enumerate([DOWN, DOWN, DOWN, RIGHT, RIGHT, RIGHT][:limit]):
            _, reward, *flags, _ = maze.step(action)
            _, rewards, *both = batch.step(torch.full((3,), action))
            last = t == min(limit, 6) - 1
            assert tuple(flags) == (expected if last else (False, False))
            assert all(x.tolist() == [flag] * 3 for x, flag in zip(both, flags))
            assert reward == rewards[0].item() == (1.0 if last and limit > 5 else -0.1)


def test_truncation_comes_exactly_at_the_limit_and_again_after_a_reset():
    batch = MazeBatch(Maze(max_steps=4), 2)
    cuts = [batch.step(torch.tensor([UP, UP]))[3].tolist() for _ in range(12)]
    assert [t for t, cut in enumerate(cuts) if any(cut)] == [3, 7, 11]
    assert all(cuts[t] == [True, True] for t in (3, 7, 11))


def test_the_batch_reports_the_square_of_arrival_and_then_starts_anew():
    batch = MazeBatch(Maze(max_steps=2), 2)
    batch.step(torch.tensor([RIGHT, DOWN]))
    arrived, _, _, truncated = batch.step(torch.tensor([RIGHT, DOWN]))
    assert arrived.tolist() == [2, 8] and truncated.all()  # trap 15: not the start, and not the square before
    assert batch.states.tolist() == [0, 0] and batch.steps.tolist() == [0, 0]
    assert batch.finished_returns.tolist() == pytest.approx([-0.2, -0.2])


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
    assert before.dtype == np.uint8 and before.ndim == 3 and before.shape[2] == 3
    assert before.shape == after.shape and (before != after).any()


def test_a_torch_sample_is_an_action():
    maze = Maze()
    maze.reset()
    assert maze.step(torch.tensor(DOWN))[0] == 4
