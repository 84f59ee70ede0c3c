"""Experience from a Gymnasium vector environment: what `MazeBatch` and `fixed_steps` are to the maze.

Three ways in which such environments start anew (`gymnasium.vector.AutoresetMode`) lead to the same `Rollout`: the
true final observation in `next_observations`, `terminated` and `truncated` apart, and no step that nobody took.
"""

from contextlib import contextmanager

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from torch import Tensor

from . import validate
from .rollout import Rollout


class VectorBatch:
    """A vector environment and where it stands: observations (n, ...), returns so far (n,), who starts anew next.

    env: `gymnasium.vector.VectorEnv`, observations Box (any shape) or Discrete, actions Discrete or Box of one axis.
    Box actions are limited to the box on their way into the environment; the rollout keeps what the policy chose.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv, *, seed: int = 0):
        if not isinstance(env, gymnasium.vector.VectorEnv):
            remedy = "gymnasium.make_vec('CartPole-v1', num_envs=8), or SyncVectorEnv([lambda: your_env] * 8)"
            raise TypeError(f"env must be a Gymnasium vector environment, {remedy}; got {type(env).__name__}")
        self.env, self.n, self.seeds = env, env.num_envs, ()
        self.seed_numbers = [validate.integer("seed", seed, 0)]
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        _check_spaces(self.observation_space, self.action_space)
        try:
            self.mode = AutoresetMode(env.metadata.get("autoreset_mode"))
        except ValueError:
            raise ValueError(
                f"env.metadata['autoreset_mode'] must be an AutoresetMode, so that the true final observation can be "
                f"found; got {env.metadata.get('autoreset_mode')!r}. Set it to what env.step really does"
            ) from None
        self.restart(self.seed_numbers)

    def restart(self, seeds) -> None:
        """All environments and all random numbers from the beginning, for a sequence of one seed."""
        self.generators = [torch.Generator().manual_seed(seeds[0])]
        observations, _ = self._call(self.env.reset, "observations, info", seed=seeds[0])
        self.observations = self._observed("reset", "observations", observations)
        self.returns = np.zeros(self.n)
        self.resetting = np.zeros(self.n, dtype=bool)  # NEXT_STEP: these ignore the next action and begin an episode

    @contextmanager
    def own_random_numbers(self):
        """Let `distribution.sample()`, which knows no generator, draw from this batch's own."""
        outside = torch.random.get_rng_state()
        torch.random.set_rng_state(self.generators[0].get_state())
        try:
            yield
        finally:
            self.generators[0].set_state(torch.random.get_rng_state())
            torch.random.set_rng_state(outside)

    def choose(self, policy, *, greedy: bool = False) -> Tensor:
        """The policy's actions for all environments, where they stand; its most likely ones if greedy."""
        distribution = policy(_as_it_computes(policy, torch.from_numpy(self.observations)))
        actions = distribution.mode if greedy else distribution.sample()
        space, discrete = self.action_space, isinstance(self.action_space, Discrete)
        fits = actions.shape == (self.n, *space.shape) and actions.is_floating_point() != discrete
        if not fits or (discrete and distribution.support.upper_bound + 1 != space.n):
            raise ValueError(
                f"policy must choose among the actions of {space}, one for each of {self.n} environments; got "
                f"{type(distribution).__name__}, which gave {actions.dtype} {tuple(actions.shape)}"
            )
        return actions

    def collect(self, policy, steps: int, critic=None) -> Rollout:
        """`steps` steps of every environment, from where it stands."""
        return vector_steps(self, policy, steps, critic)

    def fingerprint(self) -> str:
        """What must be the same when a run goes on."""
        spec = self.env.spec
        given = {} if spec is None else {k: v for k, v in spec.kwargs.items() if isinstance(v, int | float | str)}
        env = f"{self.n} x {spec.id if spec else type(self.env).__name__}, {self.mode.name} {given or ''}"
        return env + f", observations {self.observation_space}, actions {self.action_space}"

    def step(self, actions: Tensor) -> dict[str, np.ndarray]:
        """One step of all environments, in the words of `Rollout`; `self.observations` is what they show afterwards.

        actions: (n,) or (n, size). Flags are never both set; `mask` is false where an environment only started anew.
        """
        answer = "observations, rewards, terminated, truncated, info"
        observed, rewards, terminated, truncated, info = self._call(self.env.step, answer, self._into_the_box(actions))
        observed, rewards = self._observed("step", "observations", observed), self._rewards(rewards)
        terminated, truncated = self._flags("terminated", terminated), self._flags("truncated", truncated)
        mask = ~self.resetting
        terminated, truncated = terminated & mask, truncated & ~terminated & mask
        ended = terminated | truncated
        arrived = observed
        if self.mode == AutoresetMode.NEXT_STEP:
            self.resetting = ended
        elif ended.any():
            if self.mode == AutoresetMode.SAME_STEP:
                arrived = self._final_observations(observed, info, ended)
            else:
                reset_mask = {"reset_mask": ended.copy()}
                again, _ = self._call(self.env.reset, "observations, info", options=reset_mask)
                observed = self._observed("reset", "observations", again)
        self.observations = observed
        self.returns += rewards * mask
        finished = self.returns * ended
        self.returns[ended] = 0.0
        return {
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "mask": mask,
            "next_observations": arrived,
            "episode_returns": finished,
        }

    def _into_the_box(self, actions: Tensor) -> np.ndarray:
        space = self.action_space
        if isinstance(space, Discrete):
            return (actions.numpy() + space.start).astype(space.dtype, copy=False)
        return actions.numpy().clip(space.low, space.high).astype(space.dtype, copy=False)

    def _final_observations(self, observed: np.ndarray, info: dict, ended: np.ndarray) -> np.ndarray:
        """SAME_STEP: `observed` shows new episodes already; the true ends are in info["final_obs"]."""
        if "final_obs" not in info:
            raise ValueError(
                "env.metadata['autoreset_mode'] is SAME_STEP, but info has no 'final_obs' in a step that ended an "
                "episode; without the true final observation a truncated episode cannot be valued. "
                "DictInfoToList hides it: leave that wrapper out"
            )
        arrived, these = observed.copy(), np.flatnonzero(ended)
        arrived[these] = self._observed("step", "final_obs", [info["final_obs"][i] for i in these], these)
        return arrived

    def _array(self, function: str, name: str, x, rows=None) -> np.ndarray:
        """A copy (environments reuse their arrays) of what `function` gave, refused unless real and finite numbers.

        rows: whose they are, if not those of all environments. The first axis must have one entry for each of them.
        """
        space = self.observation_space.shape if name in ("observations", "final_obs") else ()
        wanted = (self.n if rows is None else len(rows), *space)
        given, shape = f"the environment's {function}() gave {name}", f"shape {wanted}, one entry for each environment"
        try:
            if isinstance(x, Tensor):
                x = (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().numpy()  # numpy knows no bfloat16
            x = np.array(x)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{given} that make no array: {error}. They must have {shape}") from None
        if x.dtype.kind not in "biuf":
            raise ValueError(f"{given} of dtype {x.dtype}; they must be real numbers, {shape}. Convert in {function}")
        if x.shape != wanted:
            remedy = f"Mend {function}, or the step of the single environments"
            if x.shape == (*wanted, 1):
                remedy = f"Return {name}[..., 0]; of a single environment, a plain number"
            raise ValueError(f"{given} of shape {x.shape}; they must have {shape}. {remedy}")
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            row, *rest = np.argwhere(~np.isfinite(x))[0].tolist()
            raise ValueError(
                f"the environment gave non-finite {name}: {x[(row, *rest)]} in environment "
                f"{row if rows is None else rows[row]}{f' at {rest}' if rest else ''}. Mend it, or wrap it so that it "
                f"ends an episode before that"
            )
        return x

    def _rewards(self, x) -> np.ndarray:
        """(n,) float64, whatever kind of real numbers the environment counts in."""
        return self._array("step", "rewards", x).astype(np.float64, copy=False)

    def _flags(self, name: str, x) -> np.ndarray:
        """(n,) bool: 0 and 1 are taken for what they say; anything else would be taken for a number somewhere."""
        x = self._array("step", name, x)
        if x.dtype == bool:
            return x
        if not ((x == 0) | (x == 1)).all():
            i = np.flatnonzero((x != 0) & (x != 1))[0]
            raise ValueError(
                f"the environment's step() gave {name} = {x[i]} in environment {i}; it must be True or False, or 1 or "
                f"0. Return {name} as bool, for example step_count >= limit"
            )
        return x.astype(bool)

    def _observed(self, function: str, name: str, x, rows=None) -> np.ndarray:
        """(n, ...) floating point numbers; for a Discrete space ids from 0, int64."""
        x = self._array(function, name, x, rows)
        if not isinstance(self.observation_space, Discrete):
            return x if x.dtype.kind == "f" else x.astype(np.float32)
        ids = x.astype(np.int64)
        if (ids != x).any():
            i = np.flatnonzero(ids != x)[0]
            raise ValueError(
                f"the environment's {function}() gave {name} = {x[i]} in environment {i if rows is None else rows[i]}; "
                f"{self.observation_space} has whole numbers. Return ids, or make the space a Box"
            )
        return ids - self.observation_space.start

    def _call(self, function, answer: str, *args, **kwargs) -> tuple:
        """What the environment answers, a tuple named `answer`; if it fails, its error with where it happened."""
        try:
            given = function(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(f"the environment failed in {function.__name__}(): {error!r}") from error
        if not isinstance(given, tuple | list) or len(given) != answer.count(",") + 1:
            what = f"{len(given)} things" if isinstance(given, tuple | list) else type(given).__name__
            raise ValueError(
                f"the environment's {function.__name__}() must return ({answer}), as Gymnasium's do; got {what}. An "
                f"environment of the old gym needs a wrapper"
            )
        return given


def _as_it_computes(policy, x: Tensor) -> Tensor:
    """Real numbers in the dtype of the policy's parameters: many environments show float64, networks have float32."""
    return x.to(next(policy.parameters()).dtype) if x.is_floating_point() else x


def _check_spaces(observations, actions) -> None:
    if not isinstance(observations, Box | Discrete):
        raise TypeError(
            f"observations must be Box or Discrete; got {observations}. Flatten them with "
            f"gymnasium.wrappers.FlattenObservation"
        )
    if not (isinstance(actions, Discrete) or (isinstance(actions, Box) and len(actions.shape) == 1)):
        raise TypeError(f"actions must be Discrete, or Box with one axis; got {actions}. Wrap the environment")


@torch.no_grad()
def vector_steps(batch: VectorBatch, policy, steps: int, critic=None) -> Rollout:
    """`steps` steps of every environment, from where it stands. Fields (n, T, ...); `mask` may have holes."""
    columns = []
    with batch.own_random_numbers():
        for _ in range(validate.integer("steps", steps, 1)):
            observed = batch.observations
            actions = batch.choose(policy)
            columns.append({"observations": observed, "actions": actions.numpy()} | batch.step(actions))
    columns = {name: torch.from_numpy(np.stack([c[name] for c in columns], 1)) for name in columns[0]}
    for name in ("rewards", "observations", "next_observations"):
        columns[name] = _as_it_computes(policy, columns[name])
    logp = policy(columns["observations"]).log_prob(columns["actions"])
    if critic is None:
        return Rollout(logp=logp, **columns)
    values, next_values = critic(columns["observations"]), critic(columns["next_observations"])
    return Rollout(logp=logp, values=values, next_values=next_values, **columns)


@torch.no_grad()
def evaluate(env, policy, *, episodes: int, seed: int, greedy: bool = False) -> Tensor:
    """Returns of `episodes` complete episodes, (episodes,), undiscounted and unscaled; the policy does not learn.

    env: a vector environment; each of its n copies plays the same number of episodes, so that short ones are not
    counted more often than long ones; not one that a run in progress uses, for it begins anew here. episodes: a
    multiple of n. greedy: take the distribution's mode, do not sample.
    """
    batch = VectorBatch(env, seed=seed)
    each, rest = divmod(validate.integer("episodes", episodes, 1), batch.n)
    if rest:
        raise ValueError(f"episodes must be a multiple of the {batch.n} environments; got {episodes}")
    returns = [[] for _ in range(batch.n)]
    with batch.own_random_numbers():
        while min(map(len, returns)) < each:
            step = batch.step(batch.choose(policy, greedy=greedy))
            for i in np.flatnonzero(step["terminated"] | step["truncated"]):
                returns[i].append(step["episode_returns"][i])
    return torch.tensor([x[:each] for x in returns]).flatten()
