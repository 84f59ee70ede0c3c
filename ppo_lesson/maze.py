"""The maze: sixteen squares, one robot, and every quantity of reinforcement learning known exactly.

    S . . .      state   the square the robot stands on, 0..15, row by row
    . . . .      action  0 up, 1 down, 2 left, 3 right
    . . . .      reward  +1 for entering the goal, -1 for bumping into a wall (the robot stays), -0.1 for any other step
    . . . G      end     terminated at the goal; truncated after `max_steps` steps

Four ways to look at the same maze: `Maze` is a Gymnasium environment with one robot; `MazeBatch` steps thousands of
robots as tensors; `solve` gives V, Q, A, the visits and J of a policy by one linear solve; `optimal` the best policy.
Left out on purpose: keys, enemies, partial sight. Sixteen squares are enough to see every idea of the course.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import gymnasium
import numpy as np
import torch
from torch import Tensor

from .rollout import fixed_steps
from .validate import integer, number, probabilities, refusal, require, same_shape, seeds_of

ACTIONS = ("up", "down", "left", "right")
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # (row, column) change of each action


class Maze(gymnasium.Env):
    """One robot in a square maze, as a Gymnasium environment.

    size: squares per side, 2 to 32. walls: ids of solid squares inside the maze. slip: probability that the floor, not
    the robot, picks the direction (uniformly among the four). max_steps: an episode still running then is truncated.
    start, goal: square ids (default: top left, bottom right). The three rewards are for one step; entering the goal
    pays `goal_reward` instead of the step reward, a bump pays `bump_reward` instead of it.

    Tables (torch, float64 unless said otherwise), S = size * size squares:
      next_state (S, 4) long and move_reward (S, 4): what a move in a direction does
      transitions (S, 4, S), rewards (S, 4): the same for a chosen action: probabilities, expectations

    Raises ValueError for a size that is not a whole number from 2 to 32, for squares outside the maze, for a slip
    outside [0, 1], for a reward that is not finite, and for walls that cut an open square off from the goal.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        size: int = 4,
        *,
        walls: Iterable[int] = (),
        slip: float = 0.0,
        max_steps: int = 100,
        start: int = 0,
        goal: int | None = None,
        step_reward: float = -0.1,
        bump_reward: float = -1.0,
        goal_reward: float = 1.0,
        render_mode: str | None = None,
    ):
        self.size = integer("size", size, 2, 32)  # the tables grow with size^4; at 32 they take 32 MiB
        self.n_states, self.n_actions = self.size**2, 4
        last = self.n_states - 1
        self.start = integer("start", start, 0, last)
        self.goal = integer("goal", last if goal is None else goal, 0, last)
        require(isinstance(walls, Iterable), ValueError, "maze", "walls", walls)
        self.walls = frozenset(integer("walls", w, 0, last) for w in walls)
        self.slip = number("slip", slip, 0.0, 1.0)
        self.max_steps = integer("max_steps", max_steps, 1)
        self.step_reward, self.bump_reward = number("step_reward", step_reward), number("bump_reward", bump_reward)
        self.goal_reward = number("goal_reward", goal_reward)
        apart = self.start != self.goal and not {self.start, self.goal} & self.walls
        require(apart, ValueError, "maze", "differ", self.start, self.goal, sorted(self.walls))
        require(render_mode in (None, *self.metadata["render_modes"]), ValueError, "maze", "render_mode", render_mode)
        self.render_mode = render_mode
        self.observation_space, self.action_space = map(gymnasium.spaces.Discrete, (self.n_states, self.n_actions))
        self._make_tables()
        self.state, self.steps = self.start, 0

    def _make_tables(self) -> None:
        here, walls = torch.arange(self.n_states), torch.tensor(sorted(self.walls), dtype=torch.long)
        places = torch.stack([here // self.size, here % self.size], -1)[:, None] + torch.tensor(MOVES)  # (S, 4, 2)
        there = places @ torch.tensor([self.size, 1])  # (S, 4)
        bumped = ((places < 0) | (places >= self.size)).any(-1) | torch.isin(there, walls)
        self.next_state = torch.where(bumped, here[:, None], there)
        self.move_reward = torch.full((self.n_states, 4), self.step_reward, dtype=torch.float64)
        self.move_reward[bumped] = self.bump_reward
        self.move_reward[self.next_state == self.goal] = self.goal_reward
        self.terminal = here == self.goal
        self.open = ~self.terminal & ~torch.isin(here, walls)  # squares where a robot acts
        self.next_state[~self.open] = here[~self.open, None]  # the goal keeps its robot, and pays nothing
        self.move_reward[~self.open] = 0.0
        direction = (1 - self.slip) * torch.eye(4).double() + self.slip / 4  # (chosen, executed)
        arrive = torch.nn.functional.one_hot(self.next_state, self.n_states).double()  # (S, executed, S')
        self.transitions = torch.einsum("ad,sdn->san", direction, arrive)
        self.rewards = self.move_reward @ direction.T
        cut_off = (self.open & ~_reaches(self.transitions.mean(1), self.terminal)).nonzero().flatten().tolist()
        require(not cut_off, ValueError, "maze", "cut off", sorted(self.walls), cut_off)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Put the robot on the start square. Returns (observation, info)."""
        super().reset(seed=seed)
        self.state, self.steps = self.start, 0
        return self.state, {}

    def step(self, action: int):
        """Move once. Returns (observation, reward, terminated, truncated, info); never both flags at once."""
        action = action.item() if isinstance(action, Tensor) else action  # what a torch policy samples
        require(type(action) is not bool and self.action_space.contains(action), ValueError, "maze", "action", action)
        if self.slip and self.np_random.random() < self.slip:
            action = self.np_random.integers(4)
        reward = self.move_reward[self.state, action].item()
        self.state, self.steps = self.next_state[self.state, action].item(), self.steps + 1
        terminated = self.state == self.goal
        return self.state, reward, terminated, not terminated and self.steps >= self.max_steps, {}

    def render(self):
        """'ansi': the maze as text. 'rgb_array': the maze as a picture, (height, width, 3) uint8."""
        if self.render_mode == "ansi":
            marks = {self.start: "S", self.goal: "G", **dict.fromkeys(self.walls, "#"), self.state: "R"}
            squares = [marks.get(s, ".") for s in range(self.n_states)]
            return "\n".join(" ".join(squares[r : r + self.size]) for r in range(0, self.n_states, self.size))
        return self._picture() if self.render_mode == "rgb_array" else None

    def _picture(self, side: int = 40) -> np.ndarray:
        """Floor, walls, start, goal and robot, `side` pixels a square: (side * size, side * size, 3) uint8."""
        colours = np.tile(np.uint8([[241, 243, 246]]), (self.n_states, 1))
        colours[list(self.walls)] = (59, 66, 82)
        colours[self.start], colours[self.goal] = (214, 220, 229), (0, 158, 115)
        image = colours.reshape(self.size, self.size, 3).repeat(side, 0).repeat(side, 1)
        image[::side], image[:, ::side] = 255, 255  # lines between the squares
        y, x = np.divmod(self.state, self.size)
        rows, columns = np.ogrid[: side * self.size, : side * self.size]
        image[(rows - (y + 0.5) * side) ** 2 + (columns - (x + 0.5) * side) ** 2 < (0.3 * side) ** 2] = (230, 159, 0)
        return image

    def __repr__(self):
        walls = f", walls={sorted(self.walls)}" if self.walls else ""
        return f"Maze({self.size}{walls}{f', slip={self.slip}' if self.slip else ''})"


class MazeBatch:
    """Many robots in one maze, stepped together: states are a tensor (..., n), one move of all is a few table look-ups.

    seed: an int gives robots of shape (n,); a sequence of K ints gives (K, n), where row k draws its random numbers
    from its own generator, so that it behaves exactly as if it ran alone. A robot that reaches the goal or the step
    limit goes back to the start at once; `step` still tells where it had arrived.
    """

    def __init__(self, maze: Maze, n: int, *, seed: int | Sequence[int] = 0):
        self.maze, self.n = maze, integer("n", n, 1)
        self.seeds, self.seed_numbers = _, seeds = seeds_of(seed)
        self.first_row = maze.n_states * torch.arange(len(seeds)).view(*self.seeds, 1)  # seed k's, in a table
        self.next_state, self.move_reward = maze.next_state.flatten(), maze.move_reward.flatten()
        self.restart(seeds)

    collect = fixed_steps  # envs.collect(policy, steps, critic=None): what a trainer asks of all kinds

    def restart(self, seeds: Sequence[int]) -> Tensor:
        """All robots to the start, all random numbers from the beginning, for one number a seed. Returns the states."""
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]
        return self.reset()

    def reset(self) -> Tensor:
        """All robots to the start. Returns the states (..., n)."""
        self.states = torch.full((*self.seeds, self.n), self.maze.start)
        self.steps, self.returns = torch.zeros_like(self.states), torch.zeros_like(self.states).double()  # so far
        return self.states

    def fingerprint(self) -> str:
        """What must be the same when a run goes on."""
        names = ("start", "goal", "step_reward", "bump_reward", "goal_reward", "max_steps")
        return ", ".join([repr(self.maze), *(f"{name}={getattr(self.maze, name)}" for name in names)])

    def uniforms(self, steps: int, per_step: int = 1) -> Tensor:
        """Fresh random numbers in [0, 1), (steps, per_step, ..., n): the same amount from every seed's generator."""
        draws = [torch.rand(steps, per_step, self.n, generator=g, dtype=torch.float32) for g in self.generators]
        return torch.stack(draws, dim=2).reshape(steps, per_step, *self.seeds, self.n)

    def draws(self, steps: int) -> Tensor:
        """The random numbers that `steps` moves need: one for the policy, one more where the floor is slippery."""
        return self.uniforms(steps, 2 if self.maze.slip else 1)

    def sample(self, thresholds: Tensor, u: Tensor, states: Tensor | None = None) -> Tensor:
        """Actions by inverse CDF: the number of thresholds that `u` passes. thresholds: `action_thresholds(probs)`."""
        rows = (self.states if states is None else states) + self.first_row
        passed = u >= thresholds.index_select(1, rows.flatten()).view(3, *u.shape)
        return passed[0].long() + passed[1] + passed[2]

    def executed(self, actions: Tensor, u: Tensor | None) -> Tensor:
        """The direction really taken: the action, or the floor's choice with probability slip."""
        slip = self.maze.slip
        require(not slip or u is not None, ValueError, "maze", "u_slip")
        return actions if not slip else torch.where(u < slip, (u / slip * 4).long().clamp(max=3), actions)

    def step(self, actions: Tensor, u_slip: Tensor | None = None):
        """Move every robot. actions (..., n) -> (arrived, rewards, terminated, truncated), each (..., n).

        `arrived` is the true next state, before any reset; `self.states` is where each robot stands afterwards.
        """
        lowest, highest = actions.aminmax()
        fits = actions.shape == self.states.shape and lowest >= 0 and highest <= 3
        require(fits, ValueError, "maze", "actions", tuple(self.states.shape), lowest, highest, tuple(actions.shape))
        index = self.states * 4 + self.executed(actions, u_slip)
        arrived, rewards = self.next_state[index], self.move_reward[index]
        self.steps += 1
        self.returns += rewards
        terminated = arrived == self.maze.goal
        truncated = (self.steps >= self.maze.max_steps) & ~terminated
        done = terminated | truncated
        self.finished_returns = self.returns * done  # of the episodes that end with this step, else 0
        self.returns.masked_fill_(done, 0)
        self.states = torch.where(done, self.maze.start, arrived)
        self.steps.masked_fill_(done, 0)
        return arrived, rewards, terminated, truncated


_plain_maze = cache(Maze)  # the one without settings, made once


@dataclass
class Solution:
    """Everything about one policy in one maze, exact. Leading axes (...) are seeds; S squares, 4 actions; float64.

    V (..., S): expected discounted return from each square.   Q (..., S, 4): the same after a given first action.
    A (..., S, 4) = Q - V.   visitation (..., S): expected discounted visits, sum_t gamma^t P(s_t = s), from the start.
    J (...): V at the start.   probs (..., S, 4): the policy.   Goal and solid squares have V = 0 and no visits.
    """

    V: Tensor
    Q: Tensor
    A: Tensor
    visitation: Tensor
    J: Tensor
    probs: Tensor


def solve(probs, gamma: float, *, maze: Maze | None = None) -> Solution:
    """Evaluate a policy exactly: V = (I - gamma P)^-1 r (Sutton and Barto 2018, eq. 4.4), by one linear solve.

    probs: (..., S, 4), rows sum to 1; leading axes are seeds. gamma in [0, 1]. Differentiable in `probs`.
    ValueError if, with gamma 1, the policy never reaches the goal from some square (its value is not finite), or only
    after more than 1e12 steps (rounding would leave nothing of its value).

    >>> round(solve(torch.full((16, 4), 0.25), gamma=1.0).J.item(), 6)   # -255 / 14
    -18.214286
    """
    maze = maze or _plain_maze()
    gamma = number("gamma", gamma, 0.0, 1.0, why="It weighs a reward one step later")
    probs = probabilities("probs", probs, (maze.n_states, 4))
    acting = probs * maze.open[:, None]  # nobody acts on the goal or inside a wall
    P = torch.einsum("...sa,san->...sn", acting, maze.transitions)  # (..., S, S')
    r = (acting * maze.rewards).sum(-1)  # (..., S)
    system = torch.eye(maze.n_states, dtype=P.dtype) - gamma * P
    start = (torch.arange(maze.n_states) == maze.start).to(P)  # one-hot
    solved, singular = torch.linalg.solve_ex(system, torch.stack([r, torch.ones_like(r)], -1))
    V, steps = solved.unbind(-1)  # the same equation with a reward of 1 everywhere counts the steps to the goal
    too_far = maze.open & ~((steps > 0) & (steps < 1e12) & (singular == 0)[..., None])
    if too_far.any():
        stuck = maze.open & ~_reaches(P, maze.terminal)  # (..., S): never arrives; else too late for float64 to tell
        *seed, square = (stuck if stuck.any() else too_far).nonzero()[0].tolist()
        which = f"policy {seed}" if seed else "this policy"
        raise ValueError(refusal("maze", "never" if stuck.any() else "too late", gamma, which, square))
    d = torch.linalg.solve(system.mT, start.expand_as(r))
    Q = (maze.rewards + gamma * torch.einsum("san,...n->...sa", maze.transitions, V)) * maze.open[:, None]
    return Solution(V=V, Q=Q, A=Q - V[..., None], visitation=d * maze.open, J=V[..., maze.start], probs=probs)


def _reaches(P: Tensor, target: Tensor) -> Tensor:
    """(..., S, S') transition matrix, (S,) bool -> (..., S) bool: can the target be reached from each square?"""
    step, reached, before = (P > 0).double(), target.expand(P.shape[:-1]), None
    while before is None or not torch.equal(reached, before):
        before, reached = reached, reached | ((step @ reached.double()[..., None])[..., 0] > 0)
    return reached


def optimal(gamma: float, *, maze: Maze | None = None) -> Solution:
    """The best policy, by policy iteration (Sutton and Barto 2018, sec. 4.3) on exact values; ties are shared equally.

    >>> round(optimal(0.99).J.item(), 10)
    0.4608905489
    """
    maze = maze or _plain_maze()
    solution = solve(torch.full((maze.n_states, 4), 0.25), gamma, maze=maze)
    while True:  # each of finitely many policies is visited at most once
        highest = solution.Q.max(-1, keepdim=True).values
        best = solution.Q >= highest - 1e-9 * highest.abs().max().clamp(min=1)
        if torch.equal(best, solution.probs > 0):
            return solution
        solution = solve(best.double() / best.sum(-1, keepdim=True), gamma, maze=maze)


@torch.no_grad()
def exact_policy_gradient(logits: Tensor, gamma: float, *, maze: Maze | None = None) -> Tensor:
    """dJ / dlogits of the softmax policy, (..., S, 4) -> (..., S, 4), by the policy gradient theorem, without autograd.

    dJ/dlogit[s, a] = visitation(s) * pi(a|s) * A(s, a)   (Sutton et al. 2000, theorem 1, for a softmax table)
    """
    same_shape({"logits": (logits := torch.as_tensor(logits))})
    solution = solve(torch.softmax(logits.double(), -1), gamma, maze=maze)
    return solution.visitation[..., None] * solution.probs * solution.A
