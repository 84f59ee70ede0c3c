"""Precomputed sweeps under data/: made by the script they name, with its settings, and one point comes out again."""

import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))


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
