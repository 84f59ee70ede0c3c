"""The other implementations that benchmarks/classic.py trains beside ours, each as one function (env_id, steps, seed).

    cleanrl_settings     one loop in plain torch with the settings of CleanRL's ppo.py (fe8d8a0, 2026-04-20)
    sb3_ppo              Stable-Baselines3 PPO, library defaults
    sbx_ppo              SBX PPO, the same in JAX, library defaults
    sb3_ppo_normalized   the same behind VecNormalize (observations and rewards)
    trpo_normalized      sb3-contrib TRPO, library defaults, behind VecNormalize

The loop follows CleanRL's settings and its way of working: one policy and one critic forward a step, truncation taken
for termination, advantages whitened in each mini-batch, diagnostics of every mini-batch. Its text is our own, and it
writes no log files. Left out: everything that none of the three benchmarked tasks needs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter, process_time

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from torch import nn
from torch.distributions import Categorical


@dataclass
class Trained:
    """A finished training. act(observations (N, D), greedy) -> N actions; seconds: CPU time of the training alone."""

    act: Callable[[np.ndarray, bool], np.ndarray]
    steps: int
    seconds: float
    clock: float
    episode_returns: list[float]  # of the training episodes in the order they ended, not normalised
    floor: Callable[[], float] | None = None  # does the bare products of matrices of this training: CPU seconds


class Timer:
    """CPU seconds of this process, and seconds of the clock, since it was made."""

    def __init__(self):
        self.start = process_time(), perf_counter()

    def read(self) -> dict:
        return {"seconds": process_time() - self.start[0], "clock": perf_counter() - self.start[1]}


CLEANRL = {
    "envs": 4,
    "steps": 128,
    "epochs": 4,
    "minibatches": 4,
    "lr": 2.5e-4,
    "anneal": True,
    "gamma": 0.99,
    "lam": 0.95,
    "clip": 0.2,
    "value_clip": 0.2,
    "entropy_coef": 0.01,
    "value_coef": 0.5,
    "max_grad_norm": 0.5,
    "adam_eps": 1e-5,
    "whiten": "each mini-batch",
    "network": "separate 64-64 tanh, orthogonal",
}


def cleanrl_settings(env_id: str, total_steps: int, seed: int) -> Trained:
    """PPO for one vector observation and discrete actions, with the settings `CLEANRL`."""
    timer, c = Timer(), CLEANRL
    torch.manual_seed(seed)
    make = partial(_recorded, env_id)
    envs = SyncVectorEnv([make] * c["envs"], autoreset_mode=AutoresetMode.SAME_STEP)
    width, choices = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    actor, critic = _network(width, choices, gain=0.01), _network(width, 1, gain=1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=c["lr"], eps=c["adam_eps"])
    observed, episode_returns = torch.as_tensor(envs.reset(seed=seed)[0]), []
    iterations = total_steps // (c["envs"] * c["steps"])
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = c["lr"] * (1 - iteration / iterations)
        rollout, observed = _collect(envs, actor, critic, observed, episode_returns)
        with torch.no_grad():
            last = critic(observed).flatten()
        columns = _with_advantages(rollout, last)
        for _ in range(c["epochs"]):
            for index in torch.randperm(c["envs"] * c["steps"]).chunk(c["minibatches"]):
                _minibatch(actor, critic, parameters, optimizer, [x[index] for x in columns])
    envs.close()

    @torch.no_grad()
    def act(observations, greedy):
        choice = Categorical(logits=actor(torch.as_tensor(observations)))
        return (choice.probs.argmax(-1) if greedy else choice.sample()).numpy()

    return Trained(act, iterations * c["envs"] * c["steps"], **timer.read(), episode_returns=episode_returns)


def _recorded(env_id):
    return RecordEpisodeStatistics(gymnasium.make(env_id))


def _network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)]
    for layer, scale in zip(layers, (2**0.5, 2**0.5, gain)):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


@torch.no_grad()
def _collect(envs, actor, critic, observed, episode_returns):
    """One rollout: observations, actions, logp, values, rewards, ended, each (T, N, ...); and what is seen next."""
    T, N = CLEANRL["steps"], envs.num_envs
    observations, actions = torch.zeros(T, N, observed.shape[-1]), torch.zeros(T, N, dtype=torch.long)
    logp, values, rewards, ended = (torch.zeros(T, N) for _ in range(4))
    for t in range(T):
        observations[t] = observed
        choice = Categorical(logits=actor(observed))
        actions[t] = choice.sample()
        logp[t] = choice.log_prob(actions[t])
        values[t] = critic(observed).flatten()
        seen, reward, terminated, truncated, info = envs.step(actions[t].numpy())
        rewards[t] = torch.as_tensor(reward)
        ended[t] = torch.as_tensor(terminated | truncated)
        observed = torch.as_tensor(seen)
        if "final_info" in info:
            episode = info["final_info"]["episode"]
            episode_returns += episode["r"][episode["_r"]].tolist()
    return (observations, actions, logp, values, rewards, ended), observed


def _with_advantages(rollout, last) -> list[torch.Tensor]:
    """Add generalised advantages and value targets; one long list of T * N steps in each column."""
    observations, actions, logp, values, rewards, ended = rollout
    gamma, lam = CLEANRL["gamma"], CLEANRL["lam"]
    advantages, following, trace = torch.zeros_like(rewards), last, torch.zeros_like(last)
    for t in reversed(range(len(rewards))):
        goes_on = 1 - ended[t]
        delta = rewards[t] + gamma * following * goes_on - values[t]
        advantages[t] = trace = delta + gamma * lam * goes_on * trace
        following = values[t]
    return [x.flatten(0, 1) for x in (observations, actions, logp, values, advantages, advantages + values)]


def _minibatch(actor, critic, parameters, optimizer, part) -> dict:
    """One gradient step; returns the diagnostics that CleanRL logs."""
    observations, actions, logp_old, values_old, advantages, targets = part
    eps, span = CLEANRL["clip"], CLEANRL["value_clip"]
    choice = Categorical(logits=actor(observations))
    log_ratio = choice.log_prob(actions) - logp_old
    ratio = log_ratio.exp()
    with torch.no_grad():
        kl = (ratio - 1 - log_ratio).mean().item()
        clipped = ((ratio - 1).abs() > eps).float().mean().item()
    weights = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy_loss = torch.max(-weights * ratio, -weights * ratio.clamp(1 - eps, 1 + eps)).mean()
    values = critic(observations).flatten()
    near = values_old + (values - values_old).clamp(-span, span)
    critic_loss = torch.max((values - targets) ** 2, (near - targets) ** 2).mean() / 2
    spread = choice.entropy().mean()
    loss = policy_loss + CLEANRL["value_coef"] * critic_loss - CLEANRL["entropy_coef"] * spread
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, CLEANRL["max_grad_norm"])
    optimizer.step()
    return {"approx_kl": kl, "clip_fraction": clipped}


SB3 = {
    "n_steps": 2048,
    "batch_size": 64,
    "n_epochs": 10,
    "learning_rate": 3e-4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "clip_range_vf": None,
    "normalize_advantage": True,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "target_kl": None,
}
TRPO = {
    "n_steps": 2048,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "cg_max_steps": 15,
    "cg_damping": 0.1,
    "line_search_shrinking_factor": 0.8,
    "line_search_max_iter": 10,
    "n_critic_updates": 10,
    "normalize_advantage": True,
    "target_kl": 0.01,
    "sub_sampling_factor": 1,
}
NORMALIZE = {"norm_obs": True, "norm_reward": True, "clip_obs": 10.0, "clip_reward": 10.0, "gamma": 0.99}


def sb3_ppo(env_id: str, total_steps: int, seed: int) -> Trained:
    """Stable-Baselines3 PPO, one environment, library defaults."""
    from stable_baselines3 import PPO

    return _library(PPO, SB3, env_id, total_steps, seed)


def sbx_ppo(env_id: str, total_steps: int, seed: int) -> Trained:
    """SBX PPO, one environment, library defaults; what JAX compiles is counted, for each model compiles anew."""
    from sbx import PPO

    return _library(PPO, SB3, env_id, total_steps, seed)


def sb3_ppo_normalized(env_id: str, total_steps: int, seed: int) -> Trained:
    """Stable-Baselines3 PPO behind VecNormalize."""
    from stable_baselines3 import PPO

    return _library(PPO, SB3, env_id, total_steps, seed, NORMALIZE)


def trpo_normalized(env_id: str, total_steps: int, seed: int) -> Trained:
    """sb3-contrib TRPO behind VecNormalize."""
    from sb3_contrib import TRPO as Method

    return _library(Method, TRPO, env_id, total_steps, seed, NORMALIZE)


def _library(method, settings, env_id, total_steps, seed, normalize=None) -> Trained:
    """Train a Stable-Baselines3 method on one environment. Its statistics stand still when `act` is asked."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    _check_defaults(method, settings)
    timer = Timer()
    env = make_vec_env(env_id, n_envs=1, seed=seed)  # with a Monitor inside: it writes down the raw returns
    if normalize:
        _check_defaults(VecNormalize, normalize)
        env = VecNormalize(env)
    model = method("MlpPolicy", env, seed=seed, device="cpu").learn(total_steps)
    used = timer.read()
    episode_returns = env.env_method("get_episode_rewards")[0]

    def act(observations, greedy):
        seen = env.normalize_obs(observations) if normalize else observations
        return model.predict(seen, deterministic=greedy)[0]

    return Trained(act, model.num_timesteps, **used, episode_returns=list(episode_returns))


def _check_defaults(called, settings):
    """ValueError if the installed library has other defaults than those that the table prints."""
    known = inspect.signature(called).parameters
    other = {name: known[name].default for name, value in settings.items() if known[name].default != value}
    if other:
        raise ValueError(f"the defaults of this {called.__name__} differ from those in benchmarks/peers.py: {other}")
