"""The language model's benchmarks: their code runs, on a small scale. What they measure is in benchmarks/results."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))


def test_the_comparison_with_trl_tells_the_truth_about_its_numbers():
    import rlhf_vs_trl

    stored = json.loads(rlhf_vs_trl.RESULT.read_text("utf-8"))
    lines = stored["lines"]
    assert list(lines) == [name for name in rlhf_vs_trl.ALL if name in lines]
    assert set(rlhf_vs_trl.ALL) - set(lines) <= set(rlhf_vs_trl.OLDER)
    text = rlhf_vs_trl.table(lines)
    same, ours = lines["TRL 1.12, micro-batch 32"]["CPU s"], lines["ours, micro-batch 32"]["CPU s"]
    assert f"{same / ours:.1f} of its micro-batch 32" in text
    for name, line in lines.items():
        updates = rlhf_vs_trl.LONG if name in rlhf_vs_trl.LEARNS else rlhf_vs_trl.UPDATES
        assert len(line["scores"]) == len(line["all CPU s"]) == updates


def test_lines_on_older_kernels_are_told_apart_and_stay_out_of_the_others(monkeypatch):
    import benchmark_tables
    import rlhf_vs_trl

    lines = json.loads(rlhf_vs_trl.RESULT.read_text("utf-8"))["lines"]
    without = {name: line for name, line in lines.items() if name not in rlhf_vs_trl.OLDER}
    theirs, ours = rlhf_vs_trl.OLDER
    older = {
        theirs: lines["ours, micro-batch 32"] | {"CPU s": 0.9},
        ours: lines["ours, micro-batch 32"] | {"CPU s": 0.2},
    }
    said = [set(rlhf_vs_trl.table(x).splitlines()) for x in (without, without | older)]
    assert [line for line in sorted(said[1] - said[0]) if line.startswith("AVX2, micro")] == [
        "AVX2, micro-batch 32: ours 4.5 times as fast as TRL 1.12"
    ]
    assert said[0] < said[1], "no other ratio has changed"
    rows = [set(benchmark_tables.rlhf_vs_trl({"lines": x})) for x in (without, without | older)]
    (row,) = rows[1] - rows[0]
    assert rows[0] < rows[1] and row[3] == "≥ 4 times as fast (4.5)"
    monkeypatch.setattr(rlhf_vs_trl.torch.backends.cpu, "get_cpu_capability", lambda: "NEON")
    with pytest.raises(SystemExit, match=r"AVX2, ours.*: torch runs on NEON here"):
        rlhf_vs_trl.one(ours)
