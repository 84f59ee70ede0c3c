"""python -m ppo_lesson rlhf with adapters, and in several processes."""

import os
import subprocess
import sys

import pytest
import shop
import torch
from transformers import AutoModelForCausalLM

from ppo_lesson.commands import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_adapters_come_back_as_an_ordinary_model(folder, tmp_path, capsys):
    pytest.importorskip("peft")
    assert shop.rlhf(folder, tmp_path, "--lora-rank", "2") == 0
    assert "LoRA of rank 2" in capsys.readouterr().out
    before, after = weights(folder / "model"), weights(tmp_path / "actor")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and changed and not any("embed" in name or "norm" in name for name in changed)


def test_two_processes_leave_what_one_leaves(folder, tmp_path):
    pytest.importorskip("accelerate")
    if sys.platform == "win32":
        pytest.skip("torchrun needs libuv on Windows, which PyTorch's builds lack")
    assert shop.rlhf(folder, tmp_path / "one", "--batch", "8") == 0
    where = ["--model", folder / "model", "--prompts", folder / "prompts.jsonl", "--output", tmp_path / "two"]
    words = ["rlhf", *where, "--reward", f"{folder / 'my_reward.py'}:score", *shop.SHORT, "--batch", "8"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*torchrun, "-m", "ppo_lesson", *map(str, words)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout and done.stdout.count("profile cpu") == 1, "one of them talks"
    one, two = weights(tmp_path / "one" / "actor"), weights(tmp_path / "two" / "actor")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert not all(torch.equal(x, y) for x, y in zip(one.values(), weights(folder / "model").values()))
    assert len((tmp_path / "two" / "metrics.jsonl").read_text("utf-8").splitlines()) == 4


def test_only_rlhf_runs_in_several_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(train.processes, "start", lambda: train.processes.Processes(0, 2))
    with pytest.raises(ValueError, match="sft trains in one process; 2 were started"):
        train.run("sft", {"output": str(tmp_path)})
