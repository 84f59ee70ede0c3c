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

from ppo_lesson.hardware.profile import Machine, Profile, choose  # noqa: E402

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
    assert gpu.main(["--tiny", "--output", str(file)]) == 0
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


class Nothing:
    """As much of a bench as questions that ask nothing need."""

    def __init__(self, profile):
        pass


@pytest.fixture
def short(monkeypatch):
    """The script with steps that a test gives it; returns the list of (question, function)."""
    monkeypatch.setattr(correctness, "Bench", Nothing)
    monkeypatch.setattr(correctness, "QUESTIONS", {})
    monkeypatch.setattr(pipeline, "run", lambda size, seed, profile: iter([("all", {"seconds": 1.0})]))
    monkeypatch.setattr(gpu, "lines", lambda options, left: [("line", lambda: {"iteration": 1.0})])
    return correctness.QUESTIONS


def raises(error):
    def question(*args, **named):
        raise error

    return question


@pytest.mark.slow
def test_a_step_that_fails_is_wrong_and_the_next_ones_run(short, tmp_path, capsys, monkeypatch):
    short["off"] = (lambda bench: {"off": 2.0, "bound": 1.0}, "off")
    short["no library"] = (raises(ModuleNotFoundError("No module named 'peft'")), "off")
    short["broken"] = (raises(RuntimeError("the driver is gone")), "off")
    short["good"] = (lambda bench: {"off": 0.5, "bound": 1.0}, "off")

    def run(size, seed, profile):
        yield "pretraining", {"seconds": 1.0}
        raise torch.cuda.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(pipeline, "run", run)
    file = tmp_path / "x.json"
    assert gpu.main(["--tiny", "--output", str(file)]) == 1
    kept, printed = json.loads(file.read_text()), capsys.readouterr().out
    assert [x["right"] for x in kept["correctness"].values()] == [False, None, False, True]
    assert "WRONG off: off 2, bound 1" in printed and "-     no library: not run: No module named 'peft'" in printed
    assert "WRONG broken: failed: RuntimeError('the driver is gone')" in printed
    assert kept["rlhf, seed 0"]["pretraining"] and "out of memory, tried to" in kept["rlhf, seed 0"]["stopped"]
    assert kept["speed"]["line"] == {"iteration": 1.0}, "what comes behind it was measured all the same"
    assert kept["printed"] == printed.splitlines(), "a reader of the file sees what was on the screen"
    del short["off"], short["broken"]
    monkeypatch.setattr(pipeline, "run", lambda size, seed, profile: iter(()))
    assert gpu.main(["--tiny", "--output", str(file)]) == 0, "what a missing library forbids is not wrong"
    assert json.loads(file.with_stem("x-before").read_text()) == kept, "an earlier run is not lost"


@pytest.mark.slow
def test_a_driver_that_fails_before_all_questions_leaves_the_rest(short, monkeypatch, tmp_path):
    monkeypatch.setattr(correctness, "Bench", raises(RuntimeError("CUDA error")))
    assert gpu.main(["--tiny", "--output", str(tmp_path / "x.json")]) == 1
    kept = json.loads((tmp_path / "x.json").read_text())
    assert kept["correctness"] == {"stopped": "failed: RuntimeError('CUDA error')"} and kept["speed"]["line"]


def test_ctrl_c_leaves_what_was_found(short, tmp_path):
    short["good"] = (lambda bench: {"off": 0.5, "bound": 1.0}, "off")
    short["long"] = (raises(KeyboardInterrupt()), "off")
    assert gpu.main(["--tiny", "--output", str(tmp_path / "x.json")]) == 130
    kept = json.loads((tmp_path / "x.json").read_text())
    assert kept["correctness"]["good"]["right"] and kept["stopped by"] == "Ctrl-C" and not kept["speed"]


def test_a_file_is_written_after_every_step_and_never_half(short, tmp_path, monkeypatch):
    file, seen = tmp_path / "x.json", []
    short["first"] = (lambda bench: {"off": 0.5, "bound": 1.0}, "off")
    short["second"] = (lambda bench: seen.append(json.loads(file.read_text())) or {"off": 0.5, "bound": 1.0}, "off")
    assert gpu.main(["--tiny", "--output", str(file)]) == 0
    assert list(seen[0]["correctness"]) == ["first"] and list(tmp_path.iterdir()) == [file]
    monkeypatch.setattr(Path, "write_text", raises(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        gpu.write(file, {})
    assert json.loads(file.read_text())["correctness"]["second"]


def test_a_run_as_on_a_t4_has_a_file_of_its_own(monkeypatch):
    monkeypatch.setattr(gpu, "machine", lambda: Machine("NVIDIA H200", (9, 0), 139 * 2**30))
    assert gpu.options_of([]).output == gpu.RESULT and gpu.options_of([]).minutes == 9
    assert gpu.options_of(["--profile", "t4", "--limit", "15"]).output.name == "gpu-t4.json"
    for words in (["--limit", "0"], ["--limit", "-1"], ["--minutes", "0"], ["--minutes", "nan"]):
        with pytest.raises(SystemExit):
            gpu.options_of(words)


def test_what_is_asked_for_is_what_all_steps_compute_in(monkeypatch):
    asked = []
    here = Machine("NVIDIA H200", (9, 0), 139 * 2**30)
    monkeypatch.setattr(gpu, "machine", lambda: here)
    monkeypatch.setattr(
        gpu, "choose", lambda name, on=None, **named: asked.append(choose(name, here, **named)) or asked[-1]
    )
    monkeypatch.setattr(correctness, "ask", lambda profile, left: iter(()))
    monkeypatch.setattr(pipeline, "run", lambda size, seed, profile: iter(()))
    monkeypatch.setattr(gpu, "lines", lambda options, left: [])
    list(gpu.steps(gpu.options_of(["--profile", "t4"]), lambda: 999.0))
    assert {profile.half for profile in asked} == {torch.float16} and all(not profile.lora_rank for profile in asked)


@pytest.mark.slow
def test_what_does_not_fit_into_the_time_is_named_and_not_run(monkeypatch):
    monkeypatch.setattr(correctness, "ask", lambda profile, left: iter(()))
    monkeypatch.setattr(pipeline, "run", lambda size, **named: iter([("all", named | {"seconds": size.seconds})]))
    monkeypatch.setattr(gpu, "lines", lambda options, left: [("first", dict), ("second", dict)])
    options = type("Options", (), {"tiny": False, "limit": None, "profile": "auto"})
    done = list(gpu.steps(options, lambda: 230.0))
    assert [part for part, *_ in done] == ["rlhf, seed 0", "speed", "speed", "rlhf, seed 1", "rlhf, seed 2"]
    assert done[0][2]["seconds"] == 230.0, "and what nearly fits gets what is left"
    assert all(found == {} for part, _, found in gpu.steps(options, lambda: 100.0) if part == "speed")
    rest = [found for part, _, found in gpu.steps(options, lambda: 100.0) if part != "speed"]
    assert rest == ["not run: it takes 216 s, and 100 s are left"] * 3
    assert all(found.startswith("not run") for *_, found in gpu.steps(options, lambda: 0.0))
    clock = iter([100.0] + [40.0] * 9)  # the first line takes 60 s
    found = [found for part, _, found in gpu._speed(options, lambda: next(clock))]
    assert found == [{}, "not run: 40 s are left"], "a line that would end too late is not begun"
    monkeypatch.undo()
    monkeypatch.setattr(correctness, "Bench", Nothing)
    assert {x["right"] for _, x in correctness.ask(GRAPH, lambda: 0.0)} == {None}


def test_goals_stand_beside_what_was_measured_and_nowhere_else():
    options = type("Options", (), {"profile": "auto"})
    found = {"tokens/s": 120_000.0, "iteration": 2.6, "GiB": 20.0, "planned GiB": 22.0}
    kept = {"hardware": {"gpu": "NVIDIA H200"}, "speed": {"256 x 256, graph, all weights": found}}
    assert [line.split()[0] for line in gpu.goals(kept, options)] == ["kept", "kept", "MISSED", "kept"]
    found["planned GiB"] = 16.0
    assert gpu.goals(kept, options)[0] == "MISSED plan of the memory, farthest off: -20% (goal 15 %)"
    kept["hardware"]["gpu"] = "NVIDIA A10"
    assert len(gpu.goals(kept, options)) == 1, "the other goals are an H200's"
    kept["speed"] = {"256 x 256, graph, all weights": "does not fit"}
    assert gpu.goals(kept, options) == []
    options.profile, kept["speed"] = "t4", {"64 x 128, graph, LoRA 16": {"GiB": 9.0, "planned GiB": 9.0}}
    assert gpu.goals(kept, options)[1] == "kept   64 x 128 as on a T4, GiB: 9.0 (goal 15)"


@pytest.mark.parametrize(
    ("gpu_name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla T4", 65e12),
        ("NVIDIA L40", None),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA A1000", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("", None),
    ],
)
def test_utilisation_is_of_this_gpus_peak_or_left_empty(gpu_name, peak):
    assert speed.peak_of(gpu_name) == peak


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
        next(p for p in made[1].parameters() if p.requires_grad).register_hook(torch.zeros_like)
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


def test_without_a_gpu_the_script_says_why_and_fails(capsys, monkeypatch):
    monkeypatch.setattr(
        gpu, "machine", lambda: Machine(missing="torch cannot use this GPU (driver too old). Update it")
    )
    for words in ([], ["--tiny", "--profile", "t4"], ["--tiny", "--limit", "15"]):
        with pytest.raises(SystemExit) as stopped:
            gpu.main(words)
        assert stopped.value.code == 2, "nothing ran, so nothing is right"
        said = capsys.readouterr().err
        assert "needs a CUDA GPU" in said and "driver too old" in said


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
    assert speed.trl_apart(4, 8, tiny=True, limit=None, seconds=0.0).startswith("cut: not done after 0 s")
    assert speed.or_why(raises(ModuleNotFoundError("no peft"))) == "not run: no peft"
    assert speed.or_why(raises(RuntimeError("CUDA error"))) == "failed: RuntimeError('CUDA error')"
    assert len(speed.header()) == len(speed.row("x", {"utilisation": 0.4})), "the titles stand over their columns"


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
