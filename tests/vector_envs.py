"""Small environments whose every answer is known beforehand, for the tests of vector environments."""

import functools

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
# how long each episode is and which flags end it; after the last one comes the first again
EPISODES = [(3, "terminated"), (1, "truncated"), (2, "both"), (1, "terminated"), (1, "both"), (4, "truncated")]


class Script(gymnasium.Env):
    """No two observations of its first 60 episodes are the same: copy, episode and step are written in each.

    kind: "box" shows (copy, episode, step), "ids" one number from `start` on. The reward tells the action too.
    """

    def __init__(self, copy=0, kind="box", start=0, episodes=EPISODES, actions=None):
        self.copy, self.kind, self.start, self.episodes = copy, kind, start, episodes[copy:] + episodes[:copy]
        self.observation_space = Box(-1, 1000, (3,)) if kind == "box" else Discrete(2000, start=start)
        self.action_space = actions or Discrete(3)

    def observe(self):
        if self.kind == "box":
            return np.array([self.copy, self.episode, self.time], dtype=np.float32)
        return self.start + 300 * self.copy + 5 * self.episode + self.time

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = (0 if seed is not None else self.episode + 1), 0
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        length, how = self.episodes[self.episode % len(self.episodes)]
        assert self.time <= length, "a step after the end"
        last, number = self.time == length, float(np.sum(action)) - getattr(self.action_space, "start", 0)
        reward = 1.0 + 10 * self.copy + self.time + 0.25 * number
        return self.observe(), reward, last and how != "truncated", last and how != "terminated", {}


class OneState(gymnasium.Env):
    """Nothing ever changes, each step pays 1, and after `limit` steps somebody stops the clock."""

    observation_space, action_space = Discrete(1), Discrete(2)

    def __init__(self, limit=5):
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return 0, {}

    def step(self, action):
        self.time += 1
        return 0, 1.0, False, self.time == self.limit, {}


class Target(gymnasium.Env):
    """Ten steps; the reward is minus the squared distance of the action from half of what is shown."""

    observation_space, action_space = Box(-100, 100, (2,)), Box(np.float32([-1, -0.5]), np.float32([0.5, 1]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._show(), {}

    def _show(self):
        self.shown = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.shown * np.float32([1, 50]) + np.float32([0, 30])

    def step(self, action):
        self.time += 1
        distance = action - self.shown / 2
        return self._show(), -float(np.square(distance).sum()), False, self.time == 10, {}


LIMITS = np.array([3, 5])


class Answering(gymnasium.vector.VectorEnv):
    """Two clocks that stop at 3 and 5; each step pays 1 + the copy's number. `change` makes another kind of answers."""

    num_envs, single_action_space = 2, Discrete(2)

    def __init__(self, mode=AutoresetMode.NEXT_STEP, ids=False, **change):
        self.metadata = {"autoreset_mode": mode}
        self.mode, self.ids, self.change = mode, ids, change
        self.single_observation_space = Discrete(9) if ids else Box(0, 10, (1,))

    def show(self):
        return self.time.copy() if self.ids else self.time[:, None].astype(np.float32)

    def answer(self, **parts):
        return tuple(self.change.get(name, lambda x: x)(x) for name, x in parts.items())

    def reset(self, *, seed=None, options=None):
        over = (options or {}).get("reset_mask", np.ones(2, dtype=bool))
        assert over.dtype == bool
        self.time = np.zeros(2, dtype=int) if seed is not None else np.where(over, 0, self.time)
        self.over = np.zeros(2, dtype=bool)
        return self.answer(observations=self.show(), info={})

    def step(self, actions):
        self.time = np.where(self.over, 0, self.time + 1)
        rewards = np.where(self.over, 0.0, 1.0 + np.arange(2))
        ended = self.time == LIMITS
        terminated, truncated = ended & [True, False], ended & [False, True]
        info = {"final_obs": list(self.show())}
        if self.mode == AutoresetMode.NEXT_STEP:
            self.over = ended
        elif self.mode == AutoresetMode.SAME_STEP:
            self.time = np.where(ended, 0, self.time)
        return self.answer(
            observations=self.show(), rewards=rewards, terminated=terminated, truncated=truncated, info=info
        )


KINDS = {
    "uint8": lambda x: x.astype(np.uint8),
    "int64": lambda x: x.astype(np.int64),
    "int8": lambda x: x.astype(np.int8),
    "float32": lambda x: x.astype(np.float32),
    "list": lambda x: x.tolist(),
    "list of integers": lambda x: x.astype(int).tolist(),
    "tuple of numpy numbers": tuple,
    "torch bool": torch.from_numpy,
    "torch integers": lambda x: torch.from_numpy(x).int(),
    "torch half": lambda x: torch.from_numpy(x).half(),
    "torch bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
}


class Failing(gymnasium.Wrapper):
    """Does `what` at its `at`-th step, counted over all episodes: raises, or shows or pays something else."""

    def __init__(self, env, at, what):
        super().__init__(env)
        self.at, self.what, self.count = at, what, 0

    def step(self, action):
        self.count += 1
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self.count == self.at:
            if self.what == "raise":
                raise ZeroDivisionError("the floor gave way")
            if self.what == "reward":
                reward = float("inf")
            else:
                observation = np.array([*observation[:-1], np.nan], dtype=np.float32)
                terminated |= self.what == "final"
        return observation, reward, terminated, truncated, info


def copies(make, n, mode=AutoresetMode.NEXT_STEP, **settings):
    """A SyncVectorEnv of make(), n times."""
    return SyncVectorEnv([make] * n, autoreset_mode=mode, **settings)


def scripts(n=3, mode=AutoresetMode.NEXT_STEP, vector=SyncVectorEnv, extra=None, **settings):
    """A vector of `Script`s that differ."""
    return vector([functools.partial(Script, k, **settings) for k in range(n)], autoreset_mode=mode, **(extra or {}))
