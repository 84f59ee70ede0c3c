"""data/ablation.json: made by the script it names, with its settings, and one cell of it comes out again."""

import json
import statistics
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ablation  # noqa: E402

STORED = json.loads(ablation.FILE.read_text("utf-8"))


def test_the_file_is_what_the_script_would_write():
    assert (ROOT / STORED["command"].split()[-1]).is_file()
    assert STORED["settings"] == json.loads(json.dumps(ablation.settings())), "the settings changed: run it again"
    assert list(STORED["rows"]) == list(ablation.CHANGES)
    assert len(STORED["rows"]) >= 9 and all(len(values) >= 16 for values in STORED["rows"].values())
    assert all(8 <= x <= 500 for values in STORED["rows"].values() for x in values), "returns that CartPole can give"


def test_no_seed_was_used_for_tuning():
    assert min(ablation.SEEDS) >= 100


@pytest.mark.slow
def test_one_cell_comes_out_again():
    """The cheapest row, three of its seeds: inside the spread that is stored."""
    name = "10 epochs instead of 20"
    again, stored = ablation.measure(name, range(100, 103)), STORED["rows"][name]
    spread = statistics.stdev(stored)
    assert abs(statistics.mean(again) - statistics.mean(stored)) < 3 * spread / 3**0.5
    assert all(min(stored) - 2 * spread < x < max(stored) + 2 * spread for x in again)


@pytest.mark.parametrize("name", [name for name, change in ablation.CHANGES.items() if change and change != "limit"])
@pytest.mark.slow
def test_every_change_changes_something(name, monkeypatch):
    """Two iterations with long steps do not end alike, so no row is the full recipe under another name."""
    short = {"iterations": 2, "steps": 8, "epochs": 20 if "epochs" in name else 3, "lr": 0.1}
    monkeypatch.setattr(ablation, "RECIPE", ablation.replace(ablation.RECIPE, **short))
    monkeypatch.setattr(ablation, "evaluate", lambda *_, **__: ablation.torch.zeros(1))
    runs = []
    monkeypatch.setattr(ablation, "ppo", lambda *args, **more: runs.append(args) or ablation.trainer.ppo(*args, **more))
    for each in ("full recipe", name):
        ablation.measure(each, [100])
    full, changed = (args[1].net.weights[-1] for args in runs)
    assert not full.equal(changed)


def test_limit_is_the_end():
    env = ablation.LimitIsTheEnd(ablation.gymnasium.make_vec("Pendulum-v1", 2, max_episode_steps=3))
    env.reset(seed=0)
    flags = [env.step(env.action_space.sample())[2:4] for _ in range(3)]
    assert [bool(t.any()) for t, _ in flags] == [False, False, True]
    assert not any(t.any() for _, t in flags)
