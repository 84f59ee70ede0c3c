"""Notebooks 14 and 15: what they read is in data/sweep.json, their fit finds a curve, and directions are gradients."""

import json
import math
from statistics import mean

import nbformat
import numpy as np
import pytest
import torch

import notebooks
from course.desk.sweep import EVERY, FILE, SETTINGS, load_desk, look
from ppo_lesson.language.rlhf import RLHFConfig

PATHS = [path for path in notebooks.all_notebooks() if path.name.startswith(("14_", "15_"))]


@pytest.fixture(scope="module")
def sweep():
    return json.loads(FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def cells():
    return {cell.id: cell for path in PATHS for cell in nbformat.read(path, as_version=4).cells}


def defined(cells, *names, **known):
    """What the named cells define."""
    space = {"np": np, "torch": torch, **known}
    for name in names:
        exec(cells[name].source, space)
    return space


def test_every_setting_is_there_and_nearly_all_with_three_seeds(sweep):
    found = {name: {run["seed"] for run in sweep["runs"] if run["name"] == name} for name in SETTINGS}
    assert all(found.values())
    assert {name for name, seeds in found.items() if seeds != {0, 1, 2}} <= {"beta 0, four epochs"}


def test_every_run_was_looked_at_from_the_start_on(sweep):
    for run in sweep["runs"]:
        at = [look["iteration"] for look in run["looks"]]
        assert at == list(range(0, at[-1] + 1, EVERY)), run["name"]
        assert run["stopped"] or at[-1] == len(run["rows"]["score"])
        assert run["looks"][0]["held"]["kl_ref"] == 0 and len(run["rows"]["gold"]) == len(run["rows"]["score"])


def test_all_runs_show_the_same_eight_prompts_four_in_each_language(sweep):
    prompts = [list(look["samples"]) for run in sweep["runs"] for look in run["looks"]]
    assert all(some == prompts[0] for some in prompts)
    assert [prompt.isascii() for prompt in prompts[0]] == [True] * 4 + [False] * 4


def test_best_of_n_grows_with_n(sweep):
    table = sweep["best of n"]
    assert table["n"] == [1, 2, 4, 8, 16, 32, 64]
    assert table["score"] == sorted(table["score"])
    assert table["kl"] == pytest.approx([math.log(n) - (n - 1) / n for n in table["n"]], abs=1e-3)


@pytest.mark.slow
def test_the_start_of_every_run_is_the_same_policy_here_too(sweep):
    """The look before training, made again: another processor may draw other replies, the mean stays near."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    desk = load_desk()
    mine = look(desk, desk.policy, RLHFConfig())["held"]
    torch.set_num_threads(threads)
    for name, room in (("score", 0.25), ("gold", 0.5), ("right tip", 0.12), ("plain loss", 0.01)):
        stored = mean(run["looks"][0]["held"][name] for run in sweep["runs"])
        assert abs(mine[name] - stored) < room, name


def test_the_fit_finds_a_known_curve(cells):
    fit = defined(cells, "gao-fit-function")["fit"]
    d = np.linspace(0.2, 6, 40)
    (a, b), quality = fit(d, d * (1.5 - 0.7 * np.log(d)), np.log)
    assert (a, b, quality) == pytest.approx((1.5, 0.7, 1.0))
    (a, b), _ = fit(d, d * (1.5 - 0.7 * d), lambda d: d)
    assert (a, b) == pytest.approx((1.5, 0.7))
    noise = np.random.default_rng(0).normal(size=40)
    assert fit(d, noise, np.log)[1] < 0.3, "noise is not explained"


def test_the_directions_are_gradients_of_known_divergences(cells):
    directions = defined(cells, "exact-directions")["directions"]
    p, q = (torch.randn(7, generator=torch.Generator().manual_seed(seed)).double() for seed in (0, 1))
    true, found = directions(p, q)

    def gradient(divergence):
        logits = p.clone().requires_grad_()
        return torch.autograd.grad(divergence(logits.log_softmax(-1), q.log_softmax(-1)), logits)[0]

    there = gradient(lambda p, q: (p.exp() * (p - q)).sum())
    back = gradient(lambda p, q: (q.exp() * (q - p)).sum())
    want = {
        "k1 in the loss": torch.zeros(7),
        "k2 in the loss": there,
        "k3 in the loss": back,
        "k1 in the reward": there,
        "k3 in the reward": there - back,
    }
    assert torch.allclose(true, there) and set(found) == set(want)
    for name, gradient_ in want.items():
        assert torch.allclose(found[name], gradient_.double(), atol=1e-12), name


def test_one_command_and_one_point_made_again_are_shown(cells):
    shown = "".join(output.get("text", "") for output in cells["load"].outputs)
    assert "python -m course sweep" in shown
    again = "".join(output.get("text", "") for output in cells["live-against-stored"].outputs)
    assert "yours" in again and "gold" in again
