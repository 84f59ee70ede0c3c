"""Pictures of control tasks, the dashboard and the forest plot: they draw what they are given, and refuse nonsense."""

import gymnasium
import numpy as np
import pytest
import torch

from course.pictures import figure
from course.pictures.control import Episode, control_replay, draw_cartpole, draw_pendulum, play
from course.pictures.dashboard import DIALS, curves, dashboard, dashboard_alt
from course.pictures.of_loop import Difference, difference, differences, forest, poles
from course.pictures.style import NEGATIVE, POSITIVE, render
from ppo_lesson.maze import Maze
from ppo_lesson.policies import GaussianPolicy, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo


def rows_of(n=6, **numbers):
    """A history of n rows with the six numbers of the dashboard."""
    plain = {d.name: 0.5 for d in DIALS} | numbers
    return [{"env_steps": 100 * (i + 1)} | {k: v(i) if callable(v) else v for k, v in plain.items()} for i in range(n)]


# ---- control -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name, policy", [("CartPole-v1", MLPPolicy(4, 2)), ("Pendulum-v1", GaussianPolicy(3, 1, log_std=1.5))]
)
def test_play_records_one_whole_episode(name, policy):
    env = gymnasium.make(name)
    before = torch.random.get_rng_state()
    first, again = play(env, policy, seed=3), play(env, policy, seed=3)
    other = play(env, policy, seed=4)
    assert torch.equal(before, torch.random.get_rng_state()), "the notebook's own random numbers stay as they are"
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(again).values()))
    assert not np.array_equal(first.observations[0], other.observations[0])
    assert len(first.observations) == len(first.actions) == len(first.rewards)
    assert np.array_equal(first.observations[0], env.reset(seed=3)[0])
    if name == "Pendulum-v1":
        assert len(first.rewards) == 200 and first.actions.min() == -2 and first.actions.max() == 2
    else:
        assert set(first.actions) == {0, 1} and first.rewards.sum() == len(first.rewards) < 200


def test_the_pole_stands_where_the_numbers_say():
    _, ax = figure()
    picture = draw_cartpole(ax).update((1.5, 0, 0.2, 0), 1)
    (x0, x1), (y0, y1) = picture.pole.get_data()
    assert (x0, y0) == (1.5, 0.13) and np.isclose(np.arctan2(x1 - x0, y1 - y0), 0.2)
    assert picture.push.get_xdata()[1] > 1.5 and picture.update((1.5, 0, 0.2, 0), 0).push.get_xdata()[1] < 1.5


def test_the_pendulum_hangs_where_the_numbers_say():
    """As Gymnasium draws it: upright at angle 0, a positive angle to the left, a positive torque turns to the left."""
    _, ax = figure()
    angle = 0.7
    picture = draw_pendulum(ax).update((np.cos(angle), np.sin(angle), 0), np.array([1.0]))
    assert np.isclose(picture.rod.get_xdata()[1], -np.sin(angle)) and picture.rod.get_ydata()[1] > 0
    assert picture.torque.get_xdata()[1] == -0.5
    assert picture.update((1, 0, 0), np.array([9.0])).torque.get_xdata()[1] == -1


def test_a_replay_of_two_episodes_of_different_length():
    def episode(n):
        return Episode(np.linspace(0, 0.2, 4 * n).reshape(n, 4), np.arange(n) % 2, np.ones(n))

    replay = control_replay({"short": episode(3), "long": episode(8)}, draw_cartpole, still=2)
    assert replay.alt.startswith("short: step 3, over, reward so far 3.00; long: step 3, reward so far 3.00")
    early = replay.png
    assert replay.set(step=7).alt.startswith("short: step 3, over, reward so far 3.00; long: step 8, over")
    assert replay.png != early and replay.set(step=2).sweep() == {"step": 3}


# ---- dashboard ---------------------------------------------------------------


def test_curves_of_one_seed_of_many_and_of_lists_of_histories():
    x, one = curves(rows_of(3, entropy=lambda i: float(i)), "entropy")
    assert x.tolist() == [100, 200, 300] and one.tolist() == [[0, 1, 2]]
    tensors = rows_of(3, entropy=lambda i: torch.tensor([i, 10.0]))
    assert curves(tensors, "entropy")[1].tolist() == [[0, 1, 2], [10, 10, 10]]
    assert curves([rows_of(3), rows_of(3, entropy=1.0)], "entropy")[1].tolist() == [[0.5] * 3, [1.0] * 3]
    with pytest.raises(ValueError, match="no row has 'reward'; the first has env_steps"):
        curves(rows_of(), "reward")
    with pytest.raises(ValueError, match=r"equally many rows; got \[3, 4\]"):
        curves([rows_of(3), rows_of(4)], "entropy")


def test_a_number_that_some_rows_do_not_have_is_a_gap():
    rows = rows_of(4)
    del rows[1]["return_mean"], rows[3]["return_mean"]
    assert np.isnan(curves(rows, "return_mean")[1]).tolist() == [[False, True, False, True]]
    fig, _ = dashboard({"run": rows})
    assert fig.axes[0].lines[0].get_xdata().tolist() == [100, 300]
    assert "mean return of an episode 0.500" in dashboard_alt({"run": rows})


def test_bands_stand_where_they_are_said_to_be():
    fig, _ = dashboard({"run": rows_of()}, healthy={"return_mean": (0.2, 0.7), "entropy": None})
    by_title = {ax.get_title(): ax for ax in fig.axes}
    for title, band in (("mean return of an episode", (0.2, 0.7)), ("clip fraction", (0.0, 0.3))):
        (tint,) = by_title[title].patches[:1]
        assert np.allclose((tint.get_y(), tint.get_y() + tint.get_height()), band)
    (tint,) = by_title["KL of an update"].patches[:1]  # no lower bound: from the bottom of the axis
    assert tint.get_y() == by_title["KL of an update"].get_ylim()[0]
    assert [ax.get_title() for ax in fig.axes] == [d.title for d in DIALS]


@pytest.mark.slow
def test_two_runs_of_many_seeds_and_an_update():
    runs = {"healthy": rows_of(entropy=torch.rand(5)), "patient": rows_of(ratio_error=0.3)}
    fig, update = dashboard(runs)
    before = np.asarray(render(fig, 50))
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["healthy", "patient", "healthy band"]
    update({"healthy": rows_of(9), "patient": rows_of(9, entropy=0.1)})
    assert (np.asarray(render(fig, 50)) != before).any() and fig.axes[0].get_xlim() == (0, 900)
    alt = dashboard_alt(runs)
    assert "patient: mean return of an episode 0.500" in alt and "first step 0.300" in alt
    with pytest.raises(ValueError, match="at most 3 runs; got 4"):
        dashboard(dict.fromkeys("abcd", rows_of()))


def test_a_dashboard_of_a_real_run_in_the_maze():
    policy, critic = TabularPolicy(seeds=(3,)), TabularCritic(seeds=(3,))
    rows = list(ppo(Maze(), policy, critic, PPOConfig(iterations=3), seed=range(3)))
    fig, _ = dashboard({"maze": rows})
    assert fig.axes[5].lines[0].get_ydata().tolist() == [0, 0, 0], "the ratio is exactly 1 at first"


# ---- forest ------------------------------------------------------------------


def test_difference_is_welchs_and_names_a_verdict():
    g = np.random.default_rng(0)
    samples = [difference(g.normal(1, 2, 16), g.normal(0, 1, 16)) for _ in range(2000)]
    assert abs(np.mean([d.mean for d in samples]) - 1) < 0.05
    assert abs(np.std([d.mean for d in samples]) - np.sqrt(4 / 16 + 1 / 16)) < 0.03
    assert abs(np.mean([d.error for d in samples]) - np.sqrt(5 / 16)) < 0.03
    assert [Difference(m, 1.0).verdict for m in (-3, -1.5, 0, 1.5, 3)] == ["worse", *["unclear"] * 3, "better"]
    with pytest.raises(ValueError, match="at least two seeds; got 1 and 3"):
        difference([1.0], [1.0, 2.0, 3.0])


def test_forest_draws_rows_in_order_with_their_verdicts():
    rows = differences({"good": [9.0, 9.1, 9.2], "bad": [1.0, 1.1, 1.2]}, [5.0, 5.1, 5.2])
    _, ax = figure(width=6, height=2)
    update = forest(ax, rows)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["good", "bad"]
    assert ax.yaxis_inverted(), "the first on top"
    bars = ax.lines[1:3]  # after the line at 0
    assert [bar.get_color() for bar in bars] == [POSITIVE, NEGATIVE]
    assert np.allclose(bars[0].get_xdata(), [4 - 2 * rows["good"].error, 4 + 2 * rows["good"].error])
    texts = [t.get_text() for t in ax.texts]
    assert texts == ["+4 ± 0", "−4 ± 0"]
    update({"good": Difference(-4.0, 0.1), "bad": Difference(0.0, 1.0)})
    assert bars[0].get_color() == NEGATIVE and ax.texts[1].get_text() == "+0 ± 2"


# ---- eight poles -----------------------------------------------------------------------------------------------------


def test_poles_are_drawn_where_the_numbers_say():
    draw = poles([1000, 2000, 3000])
    nan = float("nan")
    fig, numbers = draw([[20.0, nan], [nan, 60.0], [100.0, 80.0]], [[0.1, 0.01], [0.0, 0.01], [0.1, 0.1]])
    left, right = fig.axes
    assert numbers == {"R": 90.0, "KL": pytest.approx(0.055)}
    assert left.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert left.lines[0].get_ydata().tolist() == [10, 40, 90], "a missing return is the one before, at first 0"
    assert [s[:, 1].tolist() for s in right.collections[0].get_segments()] == [[0.1, 1e-6, 0.1], [0.01, 0.01, 0.1]]
    before = np.asarray(render(fig)).copy()
    draw([[20.0, 20.0], [25.0, 22.0], [30.0, 21.0]], [[0.001, 0.001]] * 3)
    assert (np.asarray(render(fig)) != before).any()
    with pytest.raises(ValueError, match="one row a seed"):
        draw([[1.0, 2.0]], [[0.1, 0.1]])
