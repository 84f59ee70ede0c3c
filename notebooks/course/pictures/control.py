"""CartPole and Pendulum as pictures, and whole episodes side by side.

    picture = draw_cartpole(ax)                                    # once
    picture.update(observation, action)                            # again and again

    control_replay({"before": first, "after": last}, draw_cartpole)     # one Episode each

matplotlib alone: no pygame, no window. An episode is arrays, and `play` records one with a policy. All artists are
animated, for `Panel` and `Replay`. Left out: other environments (give `control_replay` a function like the two here and
it replays those too).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.patches import Circle, FancyBboxPatch

from .panel import Panel
from .replay import Replay
from .style import ESTIMATE, INK, MUTED, NEW, figure, number


@dataclass(frozen=True)
class Episode:
    """observations (T, size), actions (T,) or (T, size), rewards (T,); the observation is the one the action saw."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


@torch.no_grad()
def play(env, policy, *, seed: int, greedy: bool = False) -> Episode:
    """One episode of a plain (not vector) Gymnasium environment. Box actions are limited to the box on their way."""
    box = hasattr(env.action_space, "low")
    observation, _ = env.reset(seed=seed)
    columns, over = [], False
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        while not over:
            distribution = policy(torch.as_tensor(observation, dtype=torch.float32)[None])
            action = (distribution.mode if greedy else distribution.sample())[0].numpy()
            action = action.clip(env.action_space.low, env.action_space.high) if box else int(action)
            arrived, reward, terminated, truncated, _ = env.step(action)
            columns.append((observation, action, reward))
            observation, over = arrived, terminated or truncated
    return Episode(*(np.array(column) for column in zip(*columns)))


class CartPolePicture:
    """A cart on its rail, the pole, and an arrow for the push. Positions in metres."""

    def __init__(self, ax, limit: float = 2.4):
        ax.set(xlim=(-limit - 0.5, limit + 0.5), ylim=(-0.45, 1.35), aspect="equal", yticks=[])
        ax.set(xticks=[-limit, 0, limit], xlabel="position (m)")
        ax.grid(False)
        ax.spines["left"].set_visible(False)
        ax.axhline(-0.13, color=MUTED, linewidth=1.5, zorder=1)
        for x in (-limit, limit):
            ax.axvline(x, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        style = {"boxstyle": "round,pad=0,rounding_size=0.05", "facecolor": NEW, "edgecolor": INK, "linewidth": 1.2}
        self.cart = ax.add_patch(FancyBboxPatch((-0.25, -0.13), 0.5, 0.26, **style, animated=True, zorder=3))
        pole = {"color": ESTIMATE, "linewidth": 6, "solid_capstyle": "round"}
        (self.pole,) = ax.plot([], [], **pole, animated=True, zorder=4)
        (self.axle,) = ax.plot([], [], "o", color=INK, markersize=5, animated=True, zorder=5)
        (self.push,) = ax.plot([], [], color=INK, linewidth=2, marker=">", markersize=7, markevery=[1], animated=True)
        self.ax = ax

    def update(self, observation, action=None):
        """observation: position, speed, angle (radians, 0 is upright), angular speed. action: 0 left, 1 right."""
        x, _, angle, _ = (float(v) for v in observation)
        self.cart.set_x(x - 0.25)
        self.pole.set_data([x, x + np.sin(angle)], [0.13, 0.13 + np.cos(angle)])
        self.axle.set_data([x], [0.13])
        if action is not None:
            side = 1 if int(action) == 1 else -1
            self.push.set_data([x + 0.32 * side, x + 0.6 * side], [0, 0])
            self.push.set_marker(">" if side > 0 else "<")
        return self


class PendulumPicture:
    """A rod on a pivot, 0 is upright, and a bar below for the torque between -2 and 2."""

    def __init__(self, ax):
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.75, 1.25), aspect="equal", xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor=MUTED, linewidth=1, linestyle=":"))
        rod = {"color": NEW, "linewidth": 9, "solid_capstyle": "round"}
        (self.rod,) = ax.plot([], [], **rod, animated=True, zorder=3)
        ax.plot([0], [0], "o", color=INK, markersize=6, animated=True, zorder=4)
        ax.plot([-1, 1], [-1.45, -1.45], color=MUTED, linewidth=1.5)
        ax.plot([0, 0], [-1.52, -1.38], color=MUTED, linewidth=1.5)
        ax.text(0, -1.6, "torque", ha="center", va="top")
        (self.torque,) = ax.plot([], [], color=INK, linewidth=6, solid_capstyle="butt", animated=True, zorder=3)
        self.ax = ax

    def update(self, observation, action=None):
        """observation: cosine and sine of the angle, angular speed. action: one torque; only -2 to 2 takes effect."""
        cosine, sine, _ = (float(v) for v in observation)
        self.rod.set_data([0, -sine], [0, cosine])  # positive angles turn to the left
        if action is not None:
            self.torque.set_data([0, -np.clip(np.ravel(action)[0], -2, 2) / 2], [-1.45, -1.45])
        return self


def draw_cartpole(ax) -> CartPolePicture:
    """A CartPole on `ax`, with `.update(observation, action)`."""
    return CartPolePicture(ax).update((0, 0, 0, 0))


def draw_pendulum(ax) -> PendulumPicture:
    """A Pendulum on `ax`, with `.update(observation, action)`."""
    return PendulumPicture(ax).update((1, 0, 0))


def control_replay(
    episodes: dict[str, Episode], draw_one, *, height: float = 3.2, interval: int = 60, still: int | None = None
) -> Panel:
    """A replay of one or more episodes side by side; an episode that is over stays at its last step and says so.

    episodes: {"name": Episode}. draw_one(ax) -> picture with .update(observation, action). still: the frame shown
    first. The title counts the reward so far.
    """
    fig, axes = figure(len(episodes), width=8.6, height=height)
    parts = []
    for ax, (name, episode) in zip(np.atleast_1d(axes), episodes.items()):
        title = ax.set_title("", fontsize=11, animated=True)
        parts.append((name, episode, draw_one(ax), title, episode.rewards.cumsum()))
    fig.draw_without_rendering()  # the layout leaves room for a title

    def draw(step):
        words = []
        for name, episode, picture, title, total in parts:
            t = min(step, len(total) - 1)
            picture.update(episode.observations[t], episode.actions[t])
            over = ", over" if step >= len(total) - 1 else ""
            words.append(f"{name}: step {t + 1}{over}, reward so far {number(total[t])}")
            title.set_text(words[-1])
        return fig, {"words": "; ".join(words)}

    longest = max(len(episode.rewards) for episode in episodes.values())
    return Replay(longest, draw, "{words}.", interval=interval, still=still)
