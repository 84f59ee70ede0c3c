"""The language model's benchmarks: their code runs, on a small scale. What they measure is in benchmarks/results."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))


def test_the_gpu_benchmark_runs_with_a_small_model_and_counts_its_tokens(capsys, monkeypatch):
    import gpu

    monkeypatch.setattr(gpu, "choose", lambda name, **changes: gpu_profile(**changes))
    found = gpu.measure(gpu.TINY, 4, 8, graph=True, lora=2, repeats=1)
    assert 0 < found["decoding"] < found["iteration"] and found["utilisation"] is None
    assert 8 <= found["tokens/s"] * found["decoding"] <= 4 * 8 + 1e-6
    assert found["iteration"] == pytest.approx(found["decoding"] + found["scoring"] + found["updating"])
    if not torch.cuda.is_available():
        monkeypatch.setattr(sys, "argv", ["gpu.py"])
        gpu.main()
        assert "needs a CUDA GPU" in capsys.readouterr().out


def gpu_profile(**changes):
    from ppo_lesson.language.scale import choose

    return choose("cpu", **changes)


def test_the_comparison_with_trl_tells_the_truth_about_its_numbers():
    import rlhf_vs_trl

    stored = json.loads(rlhf_vs_trl.RESULT.read_text("utf-8"))
    lines = stored["lines"]
    assert list(lines) == list(rlhf_vs_trl.LINES)
    text = rlhf_vs_trl.table(lines)
    same, ours = lines["TRL 1.12, micro-batch 32"]["CPU s"], lines["ours, micro-batch 32"]["CPU s"]
    assert f"{same / ours:.1f} of its micro-batch 32" in text
    assert all(len(line["scores"]) == len(line["all CPU s"]) == rlhf_vs_trl.UPDATES for line in lines.values())
