"""What the maze and the curves show: sizes, colours and numbers that can be read back from the drawing."""

import numpy as np
import pytest
import torch

from course.pictures import action_map, bars, cloud, distribution_bars, draw_maze, fan, figure, maze_image
from course.pictures.maze_figures import LIFT
from course.pictures.style import render
from ppo_lesson.maze import Maze, optimal, solve


def area(corners) -> float:
    x, y = np.asarray(corners).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def draw(maze=None, **what):
    fig, ax = figure(width=4, height=4)
    return fig, draw_maze(ax, maze or Maze(), **what)


def pixels(fig) -> np.ndarray:
    return np.asarray(render(fig, dpi=100)).astype(int)


# ---- the maze ----------------------------------------------------------------


def test_the_area_of_an_arrow_is_its_probability():
    probs = torch.softmax(torch.randn(16, 4), -1)
    _, picture = draw(probs=probs)
    areas = np.array([area(path.vertices[:-1]) for path in picture.arrows.get_paths()]).reshape(15, 4)
    assert np.allclose(areas / areas.sum(1, keepdims=True), probs[:15], atol=1e-6)  # the goal has no arrows
    assert np.allclose(areas.sum(1), areas.sum(1)[0])


def test_an_arrow_points_where_the_move_leads():
    maze = Maze()
    _, picture = draw(probs=np.full((16, 4), 0.25))
    square = 5
    start = np.array([square % 4, square // 4])
    for action, path in enumerate(picture.arrows.get_paths()[4 * square : 4 * square + 4]):
        tip = max(path.vertices, key=lambda v: np.abs(v - start).sum()) - start
        arrived = maze.next_state[square, action].item()
        there = np.array([arrived % 4, arrived // 4]) - [square % 4, square // 4]
        assert np.allclose(tip / np.abs(tip).sum(), there, atol=1e-9)


def test_higher_values_are_brighter_and_numbers_stand_out():
    values = np.linspace(-18, 0.9, 16)
    _, picture = draw(values=values)
    light = picture.tiles.get_facecolors()[:15, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(light) > 0).all()
    ink = picture.numbers.get_facecolors()[:15, :3] @ [0.299, 0.587, 0.114]
    assert np.abs(light - ink).min() > 0.3


def test_update_changes_what_is_named_and_keeps_the_rest():
    fig, picture = draw(values=np.arange(16.0), probs=np.full((16, 4), 0.25), robot=0, path=[0, 1], vmin=0, vmax=16)
    before = pixels(fig)
    picture.update(robot=6)
    moved = pixels(fig)
    assert (before != moved).any() and np.array_equal(picture.values, np.arange(16.0))
    x, y = picture.trace.get_data()
    assert list(x) == [0, 1] and np.allclose(y, LIFT[1])
    picture.update(path=[])
    assert len(picture.trace.get_xdata()) == 0
    fresh, _ = draw(values=np.arange(16.0), probs=np.full((16, 4), 0.25), robot=6, path=[], vmin=0, vmax=16)
    assert np.array_equal(pixels(fig), pixels(fresh))


def test_tensors_and_arrays_give_the_same_picture():
    solution = solve(torch.full((16, 4), 0.25, requires_grad=True), 0.9)
    a, _ = draw(values=solution.V, probs=solution.probs)
    b, _ = draw(values=solution.V.detach().numpy(), probs=solution.probs.tolist())
    assert np.array_equal(pixels(a), pixels(b))


def test_every_artist_can_be_blitted():
    _, picture = draw(Maze(5, walls=[6, 7]), values=np.arange(25), probs=np.full((25, 4), 0.25), robot=0)
    assert all(artist.get_animated() for artist in picture.artists)
    drawn = {*picture.ax.patches, *picture.ax.collections, *picture.ax.lines, *picture.ax.texts}
    assert drawn == set(picture.artists)


@pytest.mark.parametrize("size", range(2, 11))
def test_every_size_can_be_drawn(size):
    maze = Maze(size, walls=[size + 1] if size > 2 else [])
    solution = optimal(0.95, maze=maze)
    fig, picture = draw(maze, values=solution.V, probs=solution.probs, robot=maze.goal, colorbar="V value")
    assert len(fig.axes) == 2 and np.isfinite(picture.points)
    assert len(picture.arrows.get_paths()) == 4 * (size**2 - len(maze.walls) - 1)
    numbers = len(picture.numbers.get_paths())
    assert numbers == (size**2 - len(maze.walls) if size <= 6 else 0)  # 4 inches: then the squares are too small


def test_start_goal_and_walls_differ_in_more_than_colour():
    _, picture = draw(Maze(4, walls=[5], start=3, goal=12))
    letters = {text.get_text(): text.get_position() for text in picture.ax.texts}
    assert set(letters) == {"S", "G"}
    assert np.allclose(np.round(letters["S"]), (3, 0)) and np.allclose(np.round(letters["G"]), (0, 3))
    assert [p.get_hatch() for p in picture.ax.patches if p.get_hatch()] == ["////"]


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"values must have shape \(16,\) for this maze; got \(4, 4\)"):
        draw(values=np.zeros((4, 4)))
    _, picture = draw()
    with pytest.raises(ValueError, match=r"probs must have shape \(16, 4\) for this maze; got \(9, 4\)"):
        picture.update(probs=np.zeros((9, 4)))


def test_the_maze_as_an_array_of_colours():
    first, second = (maze_image(Maze(), robot=square) for square in (0, 3))
    assert first.shape == second.shape == (480, 480, 3) and first.dtype == np.uint8 and (first != second).any()


# ---- curves ------------------------------------------------------------------


def test_a_fan_shows_every_seed_the_median_and_the_band():
    curves = np.arange(11)[:, None] + np.zeros((11, 5))  # seeds at 0, 1, ..., 10
    _, ax = figure()
    update = fan(ax, range(5), curves, label="eleven seeds")
    median, band, seeds = ax.lines[0], ax.patches[0], ax.collections[0]
    assert set(median.get_ydata()) == {5} and len(seeds.get_segments()) == 11
    assert (band.get_xy()[:, 1].min(), band.get_xy()[:, 1].max()) == (1, 9)
    low, high = ax.get_ylim()
    assert low < 0 and high > 10
    update(torch.ones(3, 5))
    assert set(median.get_ydata()) == {1} and len(seeds.get_segments()) == 3 and ax.get_ylim() == (low, high)
    with pytest.raises(ValueError, match=r"curves must have shape \(seeds, 5\).*got \(5,\)"):
        update(np.ones(5))


def test_a_cloud_shows_the_samples_their_mean_and_the_truth():
    _, ax = figure(xlim=(-3, 3), ylim=(-3, 3))
    update = cloud(ax, [[1, 0], [0, 1]], [0.5, 0.4], label="gradients")
    mean, truth = ax.texts
    assert tuple(mean.xy) == (0.5, 0.5) and tuple(truth.xy) == (0.5, 0.4)
    update(torch.tensor([[2.0, 2.0]]))
    assert tuple(mean.xy) == (2, 2) and tuple(truth.xy) == (0.5, 0.4)
    update([[2.0, 2.0]], exact=[1, 1])
    assert tuple(truth.xy) == (1, 1)
    assert [line.get_label() for line in ax.lines] == ["gradients", "mean of the gradients", "exact"]
    with pytest.raises(ValueError, match=r"points must have shape \(n, 2\) and exact \(2,\); got \(3,\) and \(2,\)"):
        cloud(ax, [1, 2, 3], [0, 0])


def test_bars_carry_their_numbers():
    _, ax = figure()
    update = bars(ax, ["none", "constant", "value"], [1800, 24, -9.3])
    assert [text.get_text() for text in ax.texts] == ["1800", "24.0", "−9.30"]
    assert ax.get_xlim()[0] < -9.3 and ax.get_xlim()[1] > 1800
    update([1, 2, 3])
    assert [box.get_width() for box in ax.patches] == [1, 2, 3] and ax.texts[2].get_text() == "3.00"
    _, ax = figure()
    bars(ax, ["a", "b"], [0.02, 500], log=True)
    assert ax.get_xscale() == "log" and ax.get_xlim() == (0.01, 10000)


def test_the_probabilities_of_two_policies_stand_side_by_side():
    _, ax = figure()
    distribution_bars(ax, [0.1, 0.2, 0.3, 0.4], meaning="#56B4E9", place=-0.2, width=0.38, label="old")
    update = distribution_bars(ax, [0.25] * 4, place=0.2, width=0.38, label="new")
    update(torch.tensor([0.0, 0.0, 0.5, 0.5]))
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.20", "0.30", "0.40", "0.00", "0.00", "0.50", "0.50"]
    assert [box.get_height() for box in ax.patches[4:]] == [0, 0, 0.5, 0.5]
    assert ax.patches[0].get_hatch() and not ax.patches[4].get_hatch()  # old and new differ without colour
    left, right = ax.patches[0], ax.patches[4]
    assert left.get_x() + left.get_width() <= right.get_x()


def test_numbers_on_actions_have_at_most_four_characters_and_hundredths_below_one(monkeypatch):
    said, outline = [], action_map.text_path
    monkeypatch.setattr(action_map, "text_path", lambda text: said.append(text) or outline(text))
    numbers = torch.zeros(16, 4).double()
    numbers[0] = torch.tensor([0.95, -0.9, 0.996, -0.004])  # 0.95 in one decimal would read 0.9, beside a .94
    ax = figure()[1]
    action_map.draw_actions(ax, Maze(), numbers)
    assert said[:4] == ["+.95", "−.90", "+1.0", "0"] and max(map(len, said)) <= 4
