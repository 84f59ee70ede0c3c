"""The maze solved exactly: against published numbers and another method. Robots walk it in test_maze_robots.py."""

import numpy as np
import pytest
import torch
from oracles import DOWN, LEFT, MAZES, RIGHT, iterate_values, plain_maze, random_policy

from ppo_lesson.maze import Maze, exact_policy_gradient, optimal, solve

UNIFORM = torch.full((16, 4), 0.25, dtype=torch.float64)
every_maze = pytest.mark.parametrize("settings", MAZES.values(), ids=MAZES.keys())


# ---- numbers that were computed elsewhere --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gamma", "J", "best"), [(1.0, -255 / 14, 0.5), (0.99, -12.3111781589, 0.4608905489), (0.9, -3.347120, 0.180980)]
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
