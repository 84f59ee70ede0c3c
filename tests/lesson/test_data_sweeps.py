"""Precomputed sweeps under data/: made by the script they name, with its settings, and one point comes out again."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from course.desk import sweep
from ppo_lesson.language.rlhf import RLHFConfig

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))


@pytest.mark.slow
def test_trust_region():
    """Clip with a KL stop at step size 0.03: 16 of the 64 seeds again, inside the spread that is stored."""
    import trust_region

    stored = json.loads(trust_region.FILE.read_text("utf-8"))
    assert (ROOT / stored["command"].split()[-1]).is_file()
    settings = {**trust_region.SETTINGS, "gamma": trust_region.GAMMA, "methods": trust_region.METHODS, "seeds": 64}
    assert stored["settings"] == settings, "the settings changed: run the command again"
    rows = {(row["method"], row["lr"]): row for row in stored["rows"]}
    assert set(rows) == {(m, lr) for m in trust_region.METHODS for lr in trust_region.RATES}
    assert all(len(row[name]) == 64 for row in rows.values() for name in ("J", "kl", "fall"))

    old = {name: torch.tensor(rows["clip + stop", 0.03][name]) for name in ("J", "kl", "fall")}
    new = {name: torch.tensor(x) for name, x in trust_region.measure("clip + stop", 0.03, range(16)).items()}
    low, high = old["kl"].quantile(torch.tensor([0.1, 0.9]))
    assert low < new["kl"].median() < high
    assert abs((new["J"] > 0.2).double().mean() - (old["J"] > 0.2).double().mean()) < 0.25
    assert abs((new["fall"] > 5).double().mean() - (old["fall"] > 5).double().mean()) < 0.25


def gain(run):
    """Of held-out gold, in standard deviations of the replies before training."""
    first, last = run["looks"][0]["held"], run["looks"][-1]["held"]
    return (last["gold"] - first["gold"]) / first["gold_sd"]


def fall(run):
    """From the highest held-out gold to the last."""
    golds = [look["held"]["gold"] for look in run["looks"]]
    return max(golds) - golds[-1]


def at_the_end(name):
    return lambda run: run["looks"][-1]["held"][name]


ASKED = [  # of each seed of these settings: what is measured, and whether that will do
    (
        "beta 0.1",
        ("held-out gold up, in standard deviations", gain, lambda x: x >= 0.55),
        ("rude replies", at_the_end("rude"), lambda x: x <= 0.03),
        ("KL to the reference, nats", at_the_end("kl_ref"), lambda x: 2 <= x <= 6),
        ("seconds of the processor", lambda run: sum(run["rows"]["seconds"]), lambda x: x <= 60),
    ),
    (
        "beta 0",
        ("score in the last five iterations", lambda r: sum(r["rows"]["score"][-5:]) / 5, lambda x: x >= 1.4),
        ("held-out gold below its peak", fall, lambda x: x >= 2.0),
    ),
    ("ptx", ("loss on plain text", at_the_end("plain loss"), lambda x: x < 0.8)),
]


@pytest.mark.slow
def test_the_sweep_of_rlhf():
    """Every setting with its seeds; the targets are met; two iterations of one run again are those that are stored."""
    stored = json.loads(sweep.FILE.read_text("utf-8"))
    settings = {name: {key: repr(x) for key, x in change.items()} for name, change in sweep.SETTINGS.items()}
    assert stored["settings"] == settings, "the settings changed: run the command again"
    seeds = {name: {run["seed"] for run in stored["runs"] if run["name"] == name} for name in settings}
    assert all(seeds[name] == {0, 1, 2} for name in settings if name.startswith("beta") and "," not in name)
    assert all(seeds.values()) and seeds["ptx"] == {0, 1, 2}, seeds
    for name, *targets in ASKED:
        for words, measure, met in targets:
            found = [measure(run) for run in stored["runs"] if run["name"] == name]
            assert found and all(met(x) for x in found), (name, words, found)

    old = next(run for run in stored["runs"] if (run["name"], run["seed"]) == ("beta 0.1", 0))
    rows = sweep.train(sweep.load_desk(), replace(RLHFConfig(seed=0), **sweep.SETTINGS["beta 0.1"]))
    first, *two = (next(rows) for _ in range(3))
    assert abs(first["held"]["gold"] - old["looks"][0]["held"]["gold"]) < 0.05, "the same replies, but for rounding"
    for i, row in enumerate(two):
        assert abs(row["score"] - old["rows"]["score"][i]) < 0.1 and abs(row["gold"] - old["rows"]["gold"][i]) < 0.2
        assert abs(row["approx_kl"] - old["rows"]["approx_kl"][i]) < 0.2 * old["rows"]["approx_kl"][i] + 1e-4


@pytest.mark.slow
def test_the_sweep_of_the_family():
    """Every entry with 16 seeds and today's settings; one run again lies inside the stored spread."""
    import ppo_family as family

    stored = json.loads(family.FILE.read_text("utf-8"))
    settings = {"common": family.COMMON, "smaller": family.SMALLER, "runs": family.RUNS, "seeds": 16}
    assert stored["settings"] == json.loads(json.dumps(settings)), "the settings changed: run the command again"
    assert list(stored["runs"]) == list(family.RUNS)
    assert all(len(run[column]) == 16 for run in stored["runs"].values() for column in run)
    others = torch.tensor(stored["runs"]["grpo"]["score"]).mean(1)
    mine = sum(row["score"] for row in family.train("grpo", 3)) / family.COMMON["iterations"]
    assert abs(mine - others.mean()) < 5 * others.std()  # other processors round otherwise
