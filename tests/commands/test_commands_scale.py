"""python -m ppo_lesson sft, reward and rlhf with adapters, in half precision, in several processes, and too large."""

import json
import os
import subprocess
import sys

import pytest
import shop
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ppo_lesson.commands import main as cli
from ppo_lesson.commands import report, train
from ppo_lesson.commands.run_folder import saved
from ppo_lesson.hardware.profile import GIB, Machine
from ppo_lesson.language import reward
from ppo_lesson.language import supervised as training
from ppo_lesson.language.data import read_rankings
from ppo_lesson.language.models import ScalarModel, load_language_model
from ppo_lesson.language.sampling import token_logps
from ppo_lesson.language.text import load_tokenizer

DATA = {"sft": "pairs.jsonl", "reward": "rankings.jsonl"}
supervised = pytest.mark.parametrize("command", DATA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def supervise(command, folder, output, *more):
    """`python -m ppo_lesson sft` or `reward`, in this process: its exit status."""
    where = ["--model", f"{folder / 'model'}", "--data", f"{folder / DATA[command]}", "--output", f"{output}"]
    return cli.main([command, *where, "--steps", "30", "--batch", "8", "--lr", "0.01", *more])


def learned(command, output, rank=0):
    """Is the run's summary that of a model which has learned its data? Adapters leave a random head as it is."""
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    before, after = summary["before"], summary["after"]
    return after["loss"] < (0.75 if rank else 0.5) * before["loss"] if command == "sft" else after["accuracy"] > 0.8


@pytest.mark.slow
def test_adapters_come_back_as_an_ordinary_model(folder, tmp_path, capsys):
    pytest.importorskip("peft")
    assert shop.rlhf(folder, tmp_path, "--lora-rank", "2") == 0
    assert "LoRA of rank 2" in capsys.readouterr().out
    before, after = weights(folder / "model"), weights(tmp_path / "actor")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and changed and not any("embed" in name or "norm" in name for name in changed)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
def test_two_processes_leave_what_one_leaves(command, folder, tmp_path):
    pytest.importorskip("accelerate")
    if sys.platform == "win32":
        pytest.skip("torchrun needs libuv on Windows, which PyTorch's builds lack")
    if command == "rlhf":
        assert shop.rlhf(folder, tmp_path / "one", "--batch", "8") == 0
        more = ["--prompts", folder / "prompts.jsonl", "--reward", f"{folder / 'my_reward.py'}:score", *shop.SHORT]
    else:
        more = ["--data", folder / DATA[command], "--steps", "4", "--lr", "1e-3"]
        assert supervise(command, folder, tmp_path / "one", "--steps", "4", "--lr", "1e-3") == 0
    words = [command, "--model", folder / "model", "--output", tmp_path / "two", *more, "--batch", "8"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*torchrun, "-m", "ppo_lesson", *map(str, words)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout and done.stdout.count("profile cpu") == 1, "one of them talks"
    made = "actor" if command == "rlhf" else "model"
    one, two = (load_file(tmp_path / name / made / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    before = {name.removeprefix("model."): x for name, x in weights(folder / "model").items()}
    assert not all(torch.equal(x, before[name.removeprefix("model.")]) for name, x in one.items())
    assert len((tmp_path / "two" / "metrics.jsonl").read_text("utf-8").splitlines()) == 4


@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
def test_a_batch_smaller_than_the_processes_is_refused(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train.processes, "start", lambda: train.processes.Processes(0, 9))
    begin = shop.rlhf if command == "rlhf" else lambda *x: supervise(command, *x)
    assert begin(folder, tmp_path) == 2 and not (tmp_path / "run.json").exists()


@pytest.mark.parametrize("command", [*(pytest.param(x, marks=pytest.mark.slow) for x in ("sft", "reward")), "rlhf"])
def test_a_gpu_that_is_too_small_is_refused_with_what_fits(command, folder, tmp_path, monkeypatch, capsys):
    """By the planner, before any weight is on the GPU, with its numbers and the nearest settings."""
    real = train.machine.choose
    monkeypatch.setattr(train.machine, "choose", lambda name, **more: real("cpu", memory=2**16, **more))
    begin = shop.rlhf if command == "rlhf" else lambda *x: supervise(command, *x)
    assert begin(folder, tmp_path) == 2
    message = capsys.readouterr().err
    assert "error: this run needs" in message and "at the peak (weights" in message and "0 MiB are there" in message
    assert "It fits with" in message or "Nothing tried here fits: take a smaller model" in message
    assert not (tmp_path / "run.json").exists() and "Traceback" not in message


# ---- sft and reward --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@supervised
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rank", [0, 4])
def test_half_precision_from_data_to_a_folder(command, half, rank, folder, tmp_path, monkeypatch, capsys):
    if rank:
        pytest.importorskip("peft")
    assert supervise(command, folder, tmp_path / "exact", "--steps", "1") == 0
    real, scaled = train.machine.choose, half == torch.float16
    monkeypatch.setattr(
        train.machine, "choose", lambda name, **more: real("cpu", half=half, loss_scaling=scaled, **more)
    )
    capsys.readouterr()
    output = tmp_path / "half"
    assert supervise(command, folder, output, "--lora-rank", f"{rank}") == 0
    said = capsys.readouterr().out
    assert f"computes in {str(half)[6:]} matrices" in said and ("losses scaled" in said) == scaled
    assert learned(command, output, rank), "as well as the same run does in float32 (test_commands)"
    files = [path / "metrics.jsonl" for path in (tmp_path / "exact", output)]
    exact, first = (json.loads(file.read_text("utf-8").splitlines()[0]) for file in files)
    assert 0 < abs(first["loss"] - exact["loss"]) < 0.02, "it computed in half precision"
    assert ("skipped" in first) == scaled
    before = weights(folder / "model")
    after = weights(output / "model") if command == "sft" else ScalarModel.load(output / "model").trunk.state_dict()
    after = {name.removeprefix("model."): x for name, x in after.items()}
    assert any(not torch.equal(x, after[name.removeprefix("model.")]) for name, x in before.items() if "mlp" in name)


def test_fine_tuning_with_adapters_leaves_the_model_that_was_trained(folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("peft")
    trained, save = [], train._save
    monkeypatch.setattr(train, "_save", lambda model, *more: (trained.append(model), save(model, *more)))
    assert supervise("sft", folder, tmp_path, "--lora-rank", "4") == 0
    said = capsys.readouterr().out
    assert "trains LoRA of rank 4\n" in said and "micro-batches of" not in said and learned("sft", tmp_path, 4)
    before, after = weights(folder / "model"), weights(tmp_path / "model")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and changed and not any("embed" in name or "norm" in name for name in changed)
    ids = torch.arange(2, 42).view(4, 10)
    ours, theirs, first = (
        token_logps(model, ids, torch.ones_like(ids), 9).detach()
        for model in (trained[0], load_language_model(tmp_path / "model"), load_language_model(folder / "model"))
    )
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
    assert (ours - first).abs().max() > 0.1


@pytest.mark.slow
def test_a_reward_model_with_adapters_comes_back_whole(folder, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    trained, normalize = [], reward.normalize
    monkeypatch.setattr(reward, "normalize", lambda model, *more: (trained.append(model), normalize(model, *more)))
    assert supervise("reward", folder, tmp_path / "r", "--lora-rank", "4") == 0 and learned("reward", tmp_path / "r")
    assert sum(p.numel() for p in trained[0].parameters()) < 0.5 * sum(
        x.numel() for x in weights(folder / "model").values()
    )
    rankings, tokenizer = read_rankings(folder / "rankings.jsonl"), load_tokenizer(folder / "model")
    ours, theirs = (
        torch.cat(reward.score_rankings(model, tokenizer, rankings))
        for model in (trained[0], ScalarModel.load(tmp_path / "r" / "model"))
    )
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
    judge = f"{tmp_path / 'r' / 'model'}"
    where = ["--model", f"{folder / 'model'}", "--prompts", f"{folder / 'prompts.jsonl'}", "--reward", judge]
    assert cli.main(["rlhf", *where, "--output", f"{tmp_path / 'rlhf'}", *shop.SHORT]) == 0


@pytest.mark.slow
@supervised
def test_a_run_with_adapters_goes_on_where_it_was(command, folder, tmp_path, monkeypatch):
    """Stopped by an error in the middle, once."""
    pytest.importorskip("peft")
    monkeypatch.setattr(report, "plot", lambda *_: [])
    more = ("--lora-rank", "4", "--checkpoint-every", "4")
    assert supervise(command, folder, tmp_path / "whole", *more) == 0
    real, step = training._shuffled, []
    monkeypatch.setattr(training, "_shuffled", lambda *x: 1 / 0 if x[2] == 10 and not step else real(*x))
    with pytest.raises(ZeroDivisionError):
        supervise(command, folder, tmp_path / "part", *more)
    assert saved(tmp_path / "part") == 8
    step.append("it works again")
    assert supervise(command, folder, tmp_path / "part", *more, "--resume") == 0
    one, two = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "part"))
    assert one == two


def test_adapters_wider_than_the_model_are_refused(folder, tmp_path, capsys):
    """A slip of the finger must not ask for all memory there is."""
    pytest.importorskip("peft")
    assert shop.rlhf(folder, tmp_path, "--lora-rank", "1000000") == 2
    message = capsys.readouterr().err
    assert "lora_rank must be at least 1 and at most" in message and "got 1000000" in message


# ---- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--profile", "gpu"), "profile 'gpu' needs a CUDA GPU, and there is none here; take 'cpu' or 'auto'"),
        (("--profile", "t4"), "profile 't4' needs a CUDA GPU"),
        (("--lora-rank", "-1"), "--lora-rank must be at least 0; got -1"),
        (("--lora-rank", "4"), "LoRA needs peft: pip install"),
    ],
    ids=str,
)
def test_what_this_machine_cannot_do_is_said_in_one_message(
    command, more, words, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not installed
    begin = shop.rlhf if command == "rlhf" else lambda *x: supervise(command, *x)
    assert begin(folder, tmp_path, *more) == 2
    message = capsys.readouterr().err
    assert f"error: {words}" in message and "Traceback" not in message
    assert not (tmp_path / "run.json").exists(), "and nothing was begun"


@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
def test_too_little_memory_is_explained(command, folder, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(
        {"sft": train.supervised, "reward": train.reward, "rlhf": train.rlhf}[command],
        {"sft": "sft", "reward": "train_reward", "rlhf": "rlhf"}[command],
        full,
    )
    begin = shop.rlhf if command == "rlhf" else lambda *x: supervise(command, *x)
    assert begin(folder, tmp_path) == 2
    message = capsys.readouterr().err
    assert "error: out of memory: CUDA out of memory. Compute less at a time, --set micro_batch=4; or" in message
    assert "a smaller --batch, or --lora-rank 16" in message


def test_on_a_gpu_micro_batch_is_obeyed_and_adapters_learn_faster(folder, monkeypatch):
    """micro_tokens would take micro_batch's place, and the advice to lower it would be none."""
    monkeypatch.setattr(train.machine, "machine", lambda: Machine("Tesla T4", (7, 5), 15 * GIB))
    given = {"profile": None, "lora_rank": None, "set": None}
    assert train._profile(given).micro_tokens == 4096 and train._profile(given).lora_rank == 16
    assert train._profile(given | {"set": ["micro_batch=4"]}).micro_tokens is None
    assert train._profile(given | {"lora_rank": 0}).lora_rank == 0
    given |= dict.fromkeys(("steps", "batch", "lr", "checkpoint_every"))
    model, rates = load_language_model(folder / "model"), []
    for small in (train.options.SMALL, 1):
        monkeypatch.setattr(train.options, "SMALL", small)
        profiles = (train._profile(given), train._profile(given | {"lora_rank": 0}))
        rates += [train._supervised(given, model, 99, profile).lr for profile in profiles]
    assert rates == [1e-3, 1e-3, 1e-4, 1e-5]
