"""Several processes take the same steps as one with the same batch: weights, rows, controllers, checkpoints."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_processes import SETTINGS, SHORT, SUPERVISED, fine_tune, train

from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.processes import ALONE, Processes, start
from ppo_lesson.language.microbatch import micro_batches
from ppo_lesson.language.supervised import SupervisedConfig

pytest.importorskip("accelerate", reason="several processes need accelerate, of the extra [gpu]")
pytestmark = pytest.mark.slow  # each starts Python twice
HERE = Path(__file__).parent.parent


def launched(count, folder, *program, **more):
    """`program` in `count` processes, which talk by gloo on this machine. more: environment variables."""
    environment = {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "OMP_NUM_THREADS": "1"}
    environment = os.environ | environment | more
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    return subprocess.run(
        [*torchrun, *map(str, program), str(folder)], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every setting, in one process and in two: two folders, and the rows of one."""
    one, several = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("several")
    torch.set_num_threads(1)
    rows = {name: train(name, one) for name in SETTINGS} | {name: fine_tune(name, one) for name in SUPERVISED}
    done = launched(2, several, HERE / "two_processes.py")
    assert done.returncode == 0, done.stderr[-3000:]
    return one, several, rows


def test_the_processes_part_before_the_interpreter_ends(runs):
    """Gloo's threads must not outlive it: a process of several sometimes aborted after its work was done."""
    assert [(runs[1] / f"alive.{rank}").read_text() for rank in range(2)] == ["False", "False"]


@pytest.mark.parametrize("name", [*SETTINGS, *SUPERVISED])
def test_the_number_of_processes_changes_no_update(runs, name):
    one, several, *_ = runs
    expected, ours = (load_file(folder / f"{name}.safetensors") for folder in (one, several))
    assert expected.keys() == ours.keys()
    for key, x in expected.items():
        torch.testing.assert_close(ours[key], x, atol=1e-5, rtol=0, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", SETTINGS)
def test_all_processes_see_the_rows_of_one(runs, name):
    _, several, rows = runs
    for rank in range(2):
        ours = json.loads((several / f"{name}.{rank}.json").read_text())
        assert len(ours) == 3
        for a, b in zip(ours, rows[name]):
            assert [x[1] for x in a["replies"]] == [x[1] for x in b["replies"]], "all see the whole batch"
            numbers = {k: v for k, v in b.items() if k not in ("replies", "seconds")}
            assert {k: a[k] for k in numbers} == pytest.approx(numbers, abs=2e-5, rel=1e-4)
    if name == "ziegler":
        assert len({row["beta"] for row in rows[name]}) == 3


@pytest.mark.parametrize("name", SUPERVISED)
def test_all_processes_see_the_steps_of_one(runs, name):
    _, several, rows = runs
    for rank in range(2):
        ours = json.loads((several / f"{name}.{rank}.json").read_text())
        assert len(ours) == 3
        for a, b in zip(ours, rows[name]):
            assert a == pytest.approx(b, abs=2e-5, rel=1e-4)


def test_only_the_first_writes_a_checkpoint(runs):
    _, several, *_ = runs
    assert sorted(p.name for p in several.glob("*.run")) == sorted(f"{name}.run" for name in [*SETTINGS, *SUPERVISED])
    assert load_file(several / "ppo.run")["actor.lm_head.weight"].shape == (8, 16)


def test_a_batch_is_split_without_loss_and_dealt_evenly():
    for size in (1, 2, 3, 7):
        all_of_us = [Processes(rank, size) for rank in range(size)]
        rows = torch.arange(10)
        assert torch.equal(torch.cat([rows[p.part(10)] for p in all_of_us]), rows)
        dealt = [p.deal(rows) for p in all_of_us]
        assert sorted(torch.cat(dealt).tolist()) == rows.tolist() and max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize(
    "how", [{"rows": 1, "tokens": 30}, {"rows": 1}, {"rows": 3}, {"rows": 7}, {"rows": 20}], ids=str
)
def test_pieces_hold_every_row_once_and_no_more_than_said(how):
    g = torch.Generator().manual_seed(0)
    prompts, replies = torch.randint(1, 6, (20,), generator=g), torch.randint(1, 9, (20,), generator=g)
    attention = torch.cat([torch.arange(5) >= 5 - prompts[:, None], torch.arange(8) < replies[:, None]], -1)
    found, costs = [], []
    for some, ids, mask, T in micro_batches(attention.long(), attention, attention[:, 5:], torch.arange(20), **how):
        assert ids.shape == mask.shape and mask.any(0).all() and T == replies[some].max()
        assert torch.equal(mask.sum(-1), (prompts + replies)[some])
        found, costs = found + some.tolist(), [*costs, len(some) * int(mask.sum(-1).max())]  # as moved to the left
    assert sorted(found) == list(range(20))
    if "tokens" in how:
        assert max(costs) <= 30 and len(costs) < 15
    else:  # as few pieces as with so many rows each, and the largest is no larger than then
        plain = (prompts + replies).sort().values.split(how["rows"])
        assert len(costs) <= len(plain) and max(costs) <= max(len(some) * int(some.max()) for some in plain)


def test_what_cannot_be_shared_is_refused():
    config = replace(SHORT, batch=8, minibatches=4)
    Processes(0, 2).check(config)
    with pytest.raises(ValueError, match=r"3 processes share mini-batches of 2 replies"):
        Processes(0, 3).check(config)
    Processes(0, 5).check(SupervisedConfig(batch=5))
    with pytest.raises(ValueError, match=r"6 processes share mini-batches of 5 replies"):
        Processes(0, 6).check(SupervisedConfig(batch=5))
    with pytest.raises(ValueError, match=r"ptx_batch=1"):
        Processes(0, 2).check(replace(config, ptx_coef=1.0, ptx_batch=1))
    late = type("Late", (Processes,), {"largest": lambda self, x, device: 5.0})(1, 2)
    late.agree(5, "run")
    with pytest.raises(ValueError, match=r"process 1 finds 3 iterations in run, another one 5"):
        late.agree(3, "run")


def test_alone_means_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert start() is ALONE and ALONE.first and ALONE.part(5) == slice(0, 5)
    assert not Hardware(processes=ALONE).together  # and so nothing below is asked: see test_hardware


@pytest.mark.parametrize("name", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_who_asks_for_one_model_over_several_processes_is_told_where_to_go(monkeypatch, name):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match=rf"{name} .*without --use_fsdp.*export verl"):
        start()


def test_several_processes_without_accelerate_are_told_what_to_install(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModuleNotFoundError, match=r"\[gpu\]"):
        start()
