"""The language model's benchmarks: their code runs, on a small scale. What they measure is in benchmarks/results."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
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


def test_the_gpu_benchmark_has_trl_beside_it(capsys, monkeypatch):
    """The whole of --tiny: three lines of ours, and TRL's, which has run in a process of its own."""
    pytest.importorskip("trl", "1.12")
    import gpu

    monkeypatch.setattr(gpu, "choose", lambda name, **changes: gpu_profile(**changes))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny"])
    gpu.main()
    head, *ours, trl = capsys.readouterr().out.splitlines()
    assert len(ours) == 3 and all(line.startswith("4 x 8, ") and len(line.split()) >= 8 for line in ours)
    column = slice(head.index("iteration") - 2, head.index("iteration") + len("iteration"))
    assert trl.startswith("4 x 8, TRL 1.12") and float(trl[column]) > 0
    assert all(float(line[column]) > 0 for line in ours)


def test_the_gpu_benchmark_says_why_a_line_is_empty(capsys, monkeypatch):
    import gpu

    def too_large(*args, **named):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "measure_trl", too_large)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--trl", "4", "8"])
    gpu.main()
    assert json.loads(capsys.readouterr().out) == "does not fit"
    assert gpu.row("64 x 128", "does not fit").split() == ["64", "x", "128", "does", "not", "fit"]

    def missing(name):
        raise gpu.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(gpu.importlib.metadata, "version", lambda name: "1.13.0")
    assert "trl 1.13.0 is here" in gpu.trl_apart(4, 8, tiny=True, limit=None)
    monkeypatch.setattr(gpu.importlib.metadata, "version", missing)
    assert "pip install" in gpu.trl_apart(4, 8, tiny=True, limit=None)
    monkeypatch.setattr(gpu.importlib.metadata, "version", lambda name: "1.12.0")
    monkeypatch.setattr(gpu, "__file__", str(ROOT / "benchmarks" / "no_such_file.py"))
    assert gpu.trl_apart(4, 8, tiny=True, limit=None).startswith("failed: ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_half_a_billion_weights_learn_in_the_memory_of_a_t4():
    import gpu

    share = 15 * 2**30 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        found = gpu.measure(gpu.HALF_BILLION, 64, 128, graph=True, lora=16, repeats=1, profile="t4")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 0 < found["GiB"] < 15


def gpu_profile(**changes):
    from ppo_lesson.hardware.profile import choose

    return choose("cpu", **changes)


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
