"""The language model's benchmarks: their code runs, on a small scale. What they measure is in benchmarks/results."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))


def test_the_comparison_with_trl_tells_the_truth_about_its_numbers():
    import rlhf_vs_trl

    stored = json.loads(rlhf_vs_trl.RESULT.read_text("utf-8"))
    lines = stored["lines"]
    assert list(lines) == [*rlhf_vs_trl.LINES, *rlhf_vs_trl.LEARNS]
    text = rlhf_vs_trl.table(lines)
    same, ours = lines["TRL 1.12, micro-batch 32"]["CPU s"], lines["ours, micro-batch 32"]["CPU s"]
    assert f"{same / ours:.1f} of its micro-batch 32" in text
    for name, line in lines.items():
        updates = rlhf_vs_trl.LONG if name in rlhf_vs_trl.LEARNS else rlhf_vs_trl.UPDATES
        assert len(line["scores"]) == len(line["all CPU s"]) == updates
