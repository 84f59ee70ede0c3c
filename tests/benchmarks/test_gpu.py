"""The GPU script: all of it with small models, and that each of its questions can be answered with no."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu  # noqa: E402
from on_gpu import correctness, pipeline, speed  # noqa: E402

from ppo_lesson.hardware.profile import Profile, choose  # noqa: E402

GRAPH = Profile(static_decode=True)


@pytest.fixture(scope="module")
def bench():
    return correctness.Bench(GRAPH)


def right(name, bench):
    question, number = correctness.QUESTIONS[name]
    found = question(bench)
    return found[number] <= found["bound"]


@pytest.mark.slow
def test_the_whole_script_runs_with_small_models_and_writes_after_every_step(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert gpu.main(["--tiny", "--output", str(file), "--minutes", "30"]) == 0
    kept = json.loads(file.read_text())
    assert list(kept["correctness"]) == list(correctness.QUESTIONS)
    assert all(found["right"] for found in kept["correctness"].values())
    stages = kept["rlhf, seed 0"]
    assert list(stages) == ["pretraining", "fine-tuning", "reward model", "beta 0.1", "beta 0"]
    for beta in (0, 0.1):
        run = stages[f"beta {beta:g}"]
        assert run["rows"]["beta"] == [beta] * pipeline.SMALL.iterations and {"score", "gold"} <= run["rows"].keys()
        assert run["looks"][0]["held"]["kl_ref"] == 0 and run["looks"][-1]["iteration"] == pipeline.SMALL.iterations
        assert all(look["samples"] for look in run["looks"])
    ours = [found for name, found in kept["speed"].items() if "TRL" not in name]
    assert len(ours) == 4 and all(found["iteration"] > found["decoding"] > 0 for found in ours)
    assert all(found["planned GiB"] > 0 for found in ours[:3])
    printed = capsys.readouterr().out
    assert printed.count("\nright ") + printed.startswith("right ") == 6 and "WRONG" not in printed


def test_a_cut_leaves_what_was_found(tmp_path, monkeypatch, capsys):
    def found():
        yield "first", {"off": 2.0, "bound": 1.0, "right": False}
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(correctness, "ask", found)
    assert gpu.main(["--tiny", "--output", str(tmp_path / "x.json")]) == 1
    kept = json.loads((tmp_path / "x.json").read_text())
    assert kept["correctness"]["first"]["off"] == 2.0
    assert "WRONG first: off 2, bound 1" in capsys.readouterr().out


def test_what_does_not_fit_into_the_time_is_left_out(monkeypatch):
    monkeypatch.setattr(correctness, "ask", lambda: iter(()))
    monkeypatch.setattr(pipeline, "run", lambda size, seed: iter([("all", {"seed": seed, "seconds": size.seconds})]))
    monkeypatch.setattr(gpu, "lines", lambda options: [("line", dict)])
    monkeypatch.setattr(speed, "trl_apart", lambda *args, **named: {})
    options = type("Options", (), {"tiny": False, "limit": None})
    done = list(gpu.steps(options, lambda: 230.0))
    assert [part for part, *_ in done] == ["rlhf, seed 0", *["speed"] * 3, "rlhf, seed 1", "rlhf, seed 2"]
    assert done[0][2]["seconds"] == 230.0, "and what nearly fits gets what is left"
    assert {part for part, *_ in gpu.steps(options, lambda: 100.0)} == {"speed"}, "what is short still fits"
    assert not list(gpu.steps(options, lambda: 0.0))


# ---- each question can be answered with no ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_graph_that_draws_other_tokens_is_noticed(bench, monkeypatch):
    real = correctness.Decoder.__call__

    def shifted(self, model, ids, mask, *, uniforms, **named):
        return real(self, model, ids, mask, uniforms=uniforms.roll(1, -1), **named)

    monkeypatch.setattr(correctness.Decoder, "__call__", shifted)
    assert not right("graph decode, float32", bench)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["graph decode, half", "log-probs"])
def test_log_probs_of_the_next_column_are_noticed(name, bench, monkeypatch):
    real = correctness.token_logps
    monkeypatch.setattr(correctness, "token_logps", lambda *args: real(*args).roll(1, -1))
    assert not right(name, bench)


@pytest.mark.slow
def test_an_adapter_that_is_frozen_is_noticed(bench, monkeypatch):
    real = correctness.roles

    def frozen(*args, **named):
        made = real(*args, **named)
        next(iter(made[1].parameters())).requires_grad_(False)
        return made

    monkeypatch.setattr(correctness, "roles", frozen)
    assert not right("LoRA adapters", bench)


@pytest.mark.slow
def test_a_float16_run_that_leaves_every_step_out_is_noticed(bench, monkeypatch):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(Profile, "scaler", lambda self: scaler("cpu", init_scale=2.0**126, backoff_factor=0.9))
    assert not right("float16", bench)


@pytest.mark.slow
def test_a_run_that_begins_anew_is_noticed(bench, monkeypatch):
    real = correctness.rlhf
    monkeypatch.setattr(correctness, "rlhf", lambda *args, resume=None, **named: real(*args, **named))
    assert not right("killed and resumed", bench)


# ---- speed -----------------------------------------------------------------------------------------------------------


def on_the_cpu(name="cpu", on=None, **changes):
    return choose("cpu", **changes)


@pytest.mark.slow
def test_a_line_counts_its_tokens_and_seconds(monkeypatch):
    monkeypatch.setattr(speed, "choose", on_the_cpu)
    found = speed.measure(speed.TINY, 4, 8, graph=True, lora=2, repeats=1)
    assert 0 < found["decoding"] < found["iteration"] and found["utilisation"] is None
    assert 8 <= found["tokens/s"] * found["decoding"] <= 4 * 8 + 1e-6
    assert found["iteration"] == pytest.approx(found["decoding"] + found["scoring"] + found["updating"])


def test_without_a_gpu_the_script_says_so(capsys):
    if not torch.cuda.is_available():
        assert gpu.main([]) == 0 and "needs a CUDA GPU" in capsys.readouterr().out
        with pytest.raises(SystemExit):
            gpu.main(["--tiny", "--profile", "t4"])
        assert "there is none here" in capsys.readouterr().err


def test_trl_stands_beside_it(monkeypatch):
    pytest.importorskip("trl", "1.12")
    found = speed.trl_apart(4, 8, tiny=True, limit=None)
    assert found["iteration"] > 0


def test_a_line_says_why_it_is_empty(capsys, monkeypatch):
    def too_large(*args, **named):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(speed, "measure_trl", too_large)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--tiny", "--trl", "4", "8"])
    speed.main()
    assert json.loads(capsys.readouterr().out) == "does not fit"
    assert speed.row("64 x 128", "does not fit").split() == ["64", "x", "128", "does", "not", "fit"]

    def missing(name):
        raise speed.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(speed.importlib.metadata, "version", lambda name: "1.13.0")
    assert "trl 1.13.0 is here" in speed.trl_apart(4, 8, tiny=True, limit=None)
    monkeypatch.setattr(speed.importlib.metadata, "version", missing)
    assert "pip install" in speed.trl_apart(4, 8, tiny=True, limit=None)
    monkeypatch.setattr(speed.importlib.metadata, "version", lambda name: "1.12.0")
    monkeypatch.setattr(speed, "__file__", str(ROOT / "benchmarks" / "no_such_file.py"))
    assert speed.trl_apart(4, 8, tiny=True, limit=None).startswith("failed: ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_half_a_billion_weights_learn_in_the_memory_of_a_t4():
    speed.limit_memory(15)
    try:
        found = speed.measure(speed.HALF_BILLION, 64, 128, graph=True, lora=16, repeats=1, profile="t4")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 0 < found["GiB"] < 15


def test_the_model_is_as_large_as_its_file_says():
    size, desk = pipeline.Size(), pipeline.load_desk()
    large = pipeline.tiny_llama(len(desk.tokenizer), width=size.width, layers=size.layers, heads=size.heads)
    counts = [sum(p.numel() for p in model.parameters()) for model in (large, desk.policy)]
    assert round(counts[0], -7) == 30_000_000 and round(counts[0] / counts[1], -1) == 70


@pytest.mark.slow
def test_the_pipeline_keeps_to_its_seconds():
    """A clock that has run out leaves one step, or one iteration, of each stage, so that there is something to show."""
    found = dict(pipeline.run(replace(pipeline.SMALL, seconds=0.0)))
    assert all(found[stage]["steps"] == 1 for stage in ("pretraining", "fine-tuning", "reward model"))
    for beta in ("beta 0.1", "beta 0"):
        assert len(found[beta]["rows"]["score"]) == 1 and [x["iteration"] for x in found[beta]["looks"]] == [0, 1]
