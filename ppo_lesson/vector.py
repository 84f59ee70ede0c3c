"""Experience from a Gymnasium vector environment: what `MazeBatch` and `fixed_steps` are to the maze.

Three ways in which such environments start anew (`gymnasium.vector.AutoresetMode`) lead to the same `Rollout`: the
true final observation in `next_observations`, `terminated` and `truncated` apart, and no step that nobody took.
"""

from weakref import WeakValueDictionary

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .rollout import Rollout
from .validate import DRAWS, finite, integer, refusal, refusing, require

COPIES = SyncVectorEnv | AsyncVectorEnv
PLAIN = int | float | str | list | tuple | dict | np.ndarray  # settings that say what they are
HOLDERS = WeakValueDictionary()  # id of an environment -> the VectorBatch that began it anew last


@torch.no_grad()
def vector_steps(envs, policy, steps: int, critic=None) -> Rollout:
    """`steps` steps of every environment, from where it stands. Fields (n, T, ...); `mask` may have holes."""
    columns, held = [], HOLDERS.get(id(envs.env.unwrapped)) is envs and envs.stands() == envs.left
    require(held, RuntimeError, "environment", "begun anew")
    for _ in range(integer("steps", steps, 1)):
        actions = envs.choose(policy)
        columns.append({"observations": envs.observations, "actions": actions.numpy()} | envs.step(actions))
    envs.left = envs.stands()
    require(any(c["mask"].any() for c in columns), ValueError, "environment", "only resets", steps)
    columns = {name: torch.from_numpy(np.stack([c[name] for c in columns], 1)) for name in columns[0]}
    for name in ("rewards", "observations", "next_observations"):
        columns[name] = _as_it_computes(policy, name, columns[name])
    logp = policy(columns["observations"]).log_prob(columns["actions"])
    if critic is not None:
        columns |= {"values": critic(columns["observations"]), "next_values": critic(columns["next_observations"])}
    return Rollout(logp=logp, **columns)


class VectorBatch:
    """A vector environment and where it stands: observations (n, ...), returns so far (n,), who starts anew next.

    env: `gymnasium.vector.VectorEnv`, observations Box (any shape) or Discrete, actions Discrete or Box of one axis.
    Box actions are limited to the box on their way into the environment; the rollout keeps what the policy chose.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv, *, seed: int = 0):
        require(isinstance(env, gymnasium.vector.VectorEnv), TypeError, "environment", "no vector", type(env).__name__)
        self.env, self.n, self.seeds, self.sound = env, env.num_envs, (), set()  # copies that write nothing over
        self.seed_numbers = [integer("seed", seed, 0, 2**63 - 1)]
        ones = {id(one.unwrapped) for one in env.unwrapped.envs} if isinstance(env.unwrapped, SyncVectorEnv) else ()
        require(len(ones) in (0, self.n), ValueError, "environment", "one object", len(ones), self.n)
        self.observation_space = shown = env.single_observation_space
        self.action_space = actions = env.single_action_space
        require(isinstance(shown, Box | Discrete), TypeError, "environment", "observations", shown)
        fits = isinstance(actions, Discrete) or (isinstance(actions, Box) and len(actions.shape) == 1)
        require(fits, TypeError, "environment", "actions", actions)
        choice = isinstance(actions, Discrete) or (actions.low < actions.high).all()  # a probe may have one action
        require(choice, ValueError, "environment", "no choice", actions)
        mode = env.metadata.get("autoreset_mode")
        with refusing(ValueError, ValueError, "environment", "no mode", mode):
            self.mode = AutoresetMode(mode)
        self.restart(self.seed_numbers)

    def restart(self, seeds) -> None:
        """All environments and all random numbers from the beginning, for a sequence of one seed."""
        seed, self.generators = seeds[0], [torch.Generator().manual_seed(seeds[0])]
        if self.n > 1 and isinstance(self.env.unwrapped, COPIES):  # they would take seed, seed + 1 and so on
            seed = [seed, *np.random.SeedSequence(seed).generate_state(self.n - 1).tolist()]
        observations, _ = self._call(self.env.reset, "observations, info", seed=seed)
        self.observations = self._observed("reset", "observations", observations)
        self.returns, self.resetting = np.zeros(self.n), np.zeros(self.n, bool)  # NEXT_STEP: who begins anew
        HOLDERS[id(self.env.unwrapped)], self.left = self, self.stands()

    def stands(self) -> list[bytes]:
        """What the environment remembers of each copy: a reset or step of somebody else changes it."""
        own = vars(self.env.unwrapped).values()
        return [x.tobytes() for x in own if isinstance(x, np.ndarray) and self.n in x.shape]

    def check_forgets(self) -> None:
        """ValueError if the environment remembers what no checkpoint holds: a wrapper, or another try, shows it."""
        layers = [self.env]
        while hasattr(layers[-1], "env"):
            layers.append(layers[-1].env)
        for name in ("obs_rms", "return_rms"):
            inside = hasattr(layers[-1], "call") and any(layers[-1].call("has_wrapper_attr", name))
            require(not (inside or any(name in vars(x) for x in layers)), ValueError, "environment", "statistics", name)
        require(self.tried() == self.told, ValueError, "environment", "remembers")

    def tried(self) -> str:
        """What 16 steps of drawn actions from one seed show and pay; all begins anew before and after them."""
        self.restart([0])
        space, sums = self.action_space, np.zeros(3)
        space.seed(0)
        for _ in range(16):
            shown = np.abs(self.observations).reshape(self.n, -1).sum(-1)
            actions = np.stack([space.sample() for _ in range(self.n)]).astype(np.float64)
            step = self.step(torch.from_numpy(actions - getattr(space, "start", 0)))
            numbers = shown, step["rewards"], step["terminated"] + 2 * step["truncated"]
            sums += [np.arange(1, self.n + 1) * step["mask"] @ x for x in numbers]  # which copy it was counts
        self.restart(self.seed_numbers)
        return "shown {:.5g}, rewards {:.5g}, ends {:g}".format(*sums)

    def shown(self, policy) -> Tensor:
        """What all environments show now, (n, ...), as the policy takes it."""
        return _as_it_computes(policy, "observations", torch.from_numpy(self.observations))

    def choose(self, policy, *, greedy: bool = False) -> Tensor:
        """The policy's actions for all environments, where they stand; its most likely ones if greedy."""
        distribution = policy(self.shown(policy))
        kind, space, discrete = type(distribution).__name__, self.action_space, isinstance(self.action_space, Discrete)
        with refusing(Exception, ValueError, "network", "no action", kind), OwnNumbers(self.generators[0]):
            actions = distribution.mode if greedy else distribution.sample()
            known = not discrete or getattr(distribution.support, "upper_bound", -1) + 1 == space.n
            finite("actions", actions)
        actions = actions.float() if actions.dtype == torch.bfloat16 else actions  # numpy knows no bfloat16
        fits = known and actions.shape == (self.n, *space.shape) and actions.is_floating_point() != discrete
        require(fits, ValueError, "network", "actions", space, self.n, kind, actions.dtype, tuple(actions.shape))
        return actions

    collect = vector_steps  # envs.collect(policy, steps, critic=None): what a trainer asks of all kinds

    def fingerprint(self) -> str:
        """What must be the same when a run goes on."""
        spec, inner = self.env.spec, self.env.unwrapped
        name, made = (spec.id, [spec.kwargs]) if spec else (type(self.env).__name__, [])  # how all was made
        if isinstance(inner, COPIES):  # of what? a new one says it, and what wraps it, such as a time limit
            layer = one = inner.env_fns[0]()
            name = spec.id if spec else str(one)
            while layer is not one.unwrapped:
                made, layer = [*made, vars(layer)], layer.env
            made.append(layer.spec.kwargs if layer.spec else vars(layer))
            one.close()
        given = [{k: v for k, v in x.items() if isinstance(v, PLAIN) and " at 0x" not in repr(v)} for x in made]
        self.told = self.tried()  # what names do not tell: functions, tables, wrappers around all, the other copies
        env = f"{self.n} x {name}, {self.mode.name} {given or ''}, observations {self.observation_space}"
        return f"{env}, actions {self.action_space}, tried: {self.told}"

    def step(self, actions: Tensor) -> dict[str, np.ndarray]:
        """One step of all environments, in the words of `Rollout`; `self.observations` is what they show afterwards.

        actions: (n,) or (n, size). Flags are never both set; `mask` is false where an environment only started anew.
        """
        answer = "observations, rewards, terminated, truncated, info"
        given, rewards, terminated, truncated, info = self._call(self.env.step, answer, self._into_the_box(actions))
        observed = self._observed("step", "observations", given)
        rewards = self._array("step", "rewards", rewards).astype(np.float64, copy=False)
        terminated, truncated = self._flags("terminated", terminated), self._flags("truncated", truncated)
        mask = ~self.resetting
        terminated, truncated = terminated & mask, truncated & ~terminated & mask
        ended, arrived = terminated | truncated, observed
        if self.mode == AutoresetMode.NEXT_STEP:
            self.resetting = ended
        elif ended.any():
            if self.mode == AutoresetMode.SAME_STEP:  # these show new episodes already; `info` has the true ends
                shown = observed + getattr(self.observation_space, "start", 0)
                with refusing((TypeError, LookupError), ValueError, "environment", "no final"):
                    ends = [info["final_obs"][i] if end else shown[i] for i, end in enumerate(ended)]
                arrived = self._observed("step", "final_obs", ends).astype(observed.dtype, copy=False)
                same = ended & (arrived == observed).reshape(self.n, -1).all(-1)  # chance, or written over
                for i in {*np.flatnonzero(same).tolist()} - self.sound:
                    require(not self._writes_over(i, ends[i], given[i]), ValueError, "environment", "overwritten")
                    self.sound.add(i)
            else:
                again, _ = self._call(self.env.reset, "observations, info", options={"reset_mask": ended.copy()})
                observed = self._observed("reset", "observations", again)
        self.observations = observed
        returns = self.returns + rewards * mask
        self.returns = returns * ~ended
        flags = {"terminated": terminated, "truncated": truncated, "mask": mask}
        return flags | {"rewards": rewards, "next_observations": arrived, "episode_returns": returns * ended}

    def _writes_over(self, i: int, end, start) -> bool:
        """Whether an episode's end lies where the next one's start was written. Of copies a new one tells it."""
        if isinstance(self.env.unwrapped, COPIES):
            with self.env.unwrapped.env_fns[i]() as one:
                one.reset()
                end, start = one.step(one.action_space.sample())[0], one.reset()[0]
        return np.may_share_memory(end, start)

    def _into_the_box(self, actions: Tensor) -> np.ndarray:
        space = self.action_space
        if isinstance(space, Discrete):
            return (actions.numpy() + space.start).astype(space.dtype, copy=False)
        actions = actions.numpy().clip(space.low, space.high)
        whole = space.dtype.kind in "biu"  # to the nearest: cut off, most would be 0 (and in bool all 1)
        return (np.rint(actions) if whole else actions).astype(space.dtype, copy=False)

    def _array(self, function: str, name: str, x) -> np.ndarray:
        """A copy (environments reuse their arrays) of what `function` gave, refused unless real and finite numbers."""
        wanted = (self.n, *(self.observation_space.shape if name in ("observations", "final_obs") else ()))
        given, shape = f"the environment's {function}() gave {name}", f"shape {wanted}, one entry for each environment"
        try:
            if isinstance(x, Tensor):
                x = (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().numpy()  # numpy knows no bfloat16
            x = np.array(x.tolist() if np.ma.is_masked(x) else x)  # None, refused below, is what a mask hides
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(refusal("environment", "no array", given, error, shape)) from None
        require(x.dtype.kind in "biuf", ValueError, "environment", "no numbers", given, x.dtype, shape, function)
        last = f"Return {name}[..., 0]; of a single environment, a plain number"
        remedy = last if x.shape == (*wanted, 1) else f"Mend {function}, or the step of the single environments"
        require(x.shape == wanted, ValueError, "environment", "shape", given, x.shape, shape, remedy)
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            row, *at = np.argwhere(~np.isfinite(x))[0].tolist()
            raise ValueError(refusal("environment", "not finite", name, x[(row, *at)], row, f" at {at}" if at else ""))
        return x

    def _flags(self, name: str, x) -> np.ndarray:
        """(n,) bool: 0 and 1 are taken for what they say; anything else would be taken for a number somewhere."""
        x = self._array("step", name, x)
        i = ((x != 0) & (x != 1)).argmax()  # the first that is neither, if one is
        require(x[i] in (0, 1), ValueError, "environment", "no flag", name, x[i], i)
        return x.astype(bool)

    def _observed(self, function: str, name: str, x) -> np.ndarray:
        """(n, ...) floating point numbers; for a Discrete space ids from 0, int64."""
        x = self._array(function, name, x)
        if not isinstance(self.observation_space, Discrete):
            known = np.float64 if x.dtype.itemsize > 8 else np.promote_types(x.dtype, np.float32)  # others: not torch's
            return x.astype(known, copy=False)
        ids = x.astype(np.int64)
        i = (ids != x).argmax()
        require(ids[i] == x[i], ValueError, "environment", "no id", function, name, x[i], i, self.observation_space)
        return ids - self.observation_space.start

    def _call(self, function, answer: str, *args, **kwargs) -> tuple:
        """What the environment answers, a tuple named `answer`; if it fails, its error with where it happened."""
        try:
            given = function(*args, **kwargs)
        except Exception as error:
            how = "failed in a process" if isinstance(self.env.unwrapped, AsyncVectorEnv) else "failed"
            raise RuntimeError(refusal("environment", how, function.__name__, error)) from error
        if not isinstance(given, tuple | list) or len(given) != answer.count(",") + 1:
            what = f"{len(given)} things" if isinstance(given, tuple | list) else type(given).__name__
            raise ValueError(refusal("environment", "answer", function.__name__, answer, what))
        return given


def _as_it_computes(policy, name: str, x: Tensor) -> Tensor:
    """Real numbers in the dtype of the policy's parameters: many environments show float64, networks have float32."""
    dtype = next((p.dtype for p in policy.parameters()), x.dtype) if x.is_floating_point() else x.dtype
    x = x.to(torch.promote_types(dtype, torch.float32) if name == "rewards" else dtype)  # a half would round them
    finite(name, x)
    return x


def check_steady(policy) -> None:
    """Refuse what is no module, or answers one observation differently from call to call."""
    require(isinstance(policy, nn.Module), TypeError, "network", "no module", "policy", type(policy).__name__)
    names = [type(part).__name__ for part in policy.modules() if part.training]
    fickle = [name for name in names if name.startswith("BatchNorm") or "Dropout" in name]
    require(not fickle, ValueError, "network", "fickle", ", ".join(dict.fromkeys(fickle)))


class OwnNumbers(TorchFunctionMode):
    """What torch draws inside comes from `generator`; the program's own numbers and other threads are left alone."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.generator = generator

    def __torch_function__(self, function, types, args=(), kwargs=None):
        own = {"generator": self.generator} if function.__name__ in DRAWS else {}
        return function(*args, **own | (kwargs or {}))


@torch.no_grad()
def evaluate(env, policy, *, episodes: int, seed: int, greedy=False, max_episode_steps=100_000) -> Tensor:
    """Returns of `episodes` complete episodes, (episodes,), undiscounted and unscaled; the policy does not learn.

    env: a vector environment; each of its n copies plays the same number of episodes, so that short ones are not
    counted more often than long ones; not one that a run in progress uses, for it begins anew here. episodes: a
    multiple of n. seed: another one than in training, whose first episodes it would begin with. greedy: take the
    distribution's mode, do not sample. RuntimeError if an episode is longer than max_episode_steps.
    """
    check_steady(policy)
    envs, limit = VectorBatch(env, seed=seed), integer("max_episode_steps", max_episode_steps, 1)
    each, rest = divmod(integer("episodes", episodes, 1), envs.n)
    require(rest == 0, ValueError, "environment", "episodes", envs.n, episodes)
    policy(envs.shown(policy)[:1])  # one of many seeds refuses this: the environments would be shared out among them
    returns, running, ended = [[] for _ in range(envs.n)], np.zeros(envs.n, dtype=int), np.zeros(envs.n, dtype=bool)
    while min(map(len, returns)) < each:
        step = envs.step(envs.choose(policy, greedy=greedy))
        running, ended = running * ~ended + step["mask"], step["terminated"] | step["truncated"]
        for i in np.flatnonzero(ended):
            returns[i].append(step["episode_returns"][i])
        require(running.max() <= limit, RuntimeError, "environment", "endless", running.argmax(), limit)
    return torch.tensor([x[:each] for x in returns]).flatten()
