"""Two processes that share a model take the steps of one that has all of it, and each holds about half."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import shop
import torch
from safetensors.torch import load_file
from sharded_processes import RUNS, SHORT, models, train, weights
from test_language_processes import HERE, launched
from transformers import AutoModel, AutoModelForCausalLM

from ppo_lesson.language import processes as team
from ppo_lesson.language.decode import decoder
from ppo_lesson.language.experience import pieces
from ppo_lesson.language.lora import views
from ppo_lesson.language.processes import ALONE, Processes
from ppo_lesson.language.scale import CPU
from ppo_lesson.language.sharding import gather, shard, whole

pytest.importorskip("accelerate", reason="several processes need accelerate, of the extra [gpu]")
TWO = Processes(0, 2, "cpu", sharded=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every run, in one process and shared by two: two folders, and the rows of one."""
    one, several = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("several")
    torch.set_num_threads(1)
    expected, rows = {}, {}
    for name in RUNS:
        actor, critic, _, rows[name] = train(name, one)
        expected[name] = weights(actor, critic)
    done = launched(2, several, HERE / "sharded_processes.py", ACCELERATE_USE_FSDP="true")
    assert done.returncode == 0, done.stderr[-3000:]
    return one, several, expected, rows


def told(folder, name, rank):
    return json.loads((folder / f"{name}.{rank}.json").read_text())


def without_keys(name, x):
    """GPT-2's biases but those of the keys, whose gradient is 0 and leaves Adam nothing but rounding to go by."""
    return x[torch.arange(len(x)) // 16 != 1] if name.endswith("c_attn.bias") else x


@pytest.mark.parametrize("name", RUNS)
def test_two_that_share_a_model_leave_the_weights_of_one(runs, name):
    _, several, expected, _ = runs
    ours = load_file(several / f"{name}.safetensors")
    assert ours.keys() == expected[name].keys()
    for key, x in expected[name].items():
        x, y = without_keys(key, x), without_keys(key, ours[key])
        torch.testing.assert_close(y, x, atol=1e-5, rtol=0, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", RUNS)
def test_both_see_the_rows_of_one(runs, name):
    _, several, _, rows = runs
    for rank in range(2):
        ours = told(several, name, rank)["rows"]
        assert len(ours) == 3
        for a, b in zip(ours, rows[name]):
            assert [x[1] for x in a["replies"]] == [x[1] for x in b["replies"]], "all see the whole batch"
            numbers = {k: v for k, v in b.items() if k not in ("replies", "seconds")}
            assert {k: a[k] for k in numbers} == pytest.approx(numbers, abs=2e-5, rel=1e-4)
            assert a["grad_norm"] > SHORT.max_grad_norm, "or the norm of all is not needed"


def test_each_holds_about_half_of_every_layer(runs):
    _, several, *_ = runs
    held = [told(several, "ppo", rank)["parts"] for rank in range(2)]
    cut = [(n, *parts) for (n, a), (_, b) in zip(*held) for parts in [(a, b)] if parts != (n, n)]
    assert len(cut) == 2 * 3 * 9, "actor and reference, three layers of nine matrices and vectors"
    assert all(a + b == n and a - b <= 16 for n, a, b in cut)
    assert {n.split(".")[1] for n in told(several, "ppo", 0)["cut"]} == {"layers"}


def test_the_checkpoint_is_that_of_one_process(runs):
    one, several, *_ = runs
    expected, ours = (load_file(folder / "ppo.run") for folder in (one, several))
    assert ours.keys() == expected.keys()
    for key, x in expected.items():
        torch.testing.assert_close(ours[key], x, atol=1e-5, rtol=0, msg=lambda m, key=key: f"{key}: {m}")


def test_a_killed_run_goes_on_as_if_nothing_had_been(runs):
    _, several, *_ = runs
    straight, again = (load_file(folder / "ppo.safetensors") for folder in (several, several / "again"))
    assert all(torch.equal(again[key], x) for key, x in straight.items())
    rows, resumed = (told(folder, "ppo", 1)["rows"] for folder in (several, several / "again"))
    assert "replies" not in resumed[0] and resumed[1:] == rows[1:], "the first row comes from the file"


def test_what_cannot_be_sharded_is_refused():
    config = replace(SHORT, batch=16, minibatches=4)
    TWO.check(config, CPU)
    with pytest.raises(ValueError, match=r"batch=12 must be a multiple of 8"):
        TWO.check(replace(config, batch=12))
    replace(TWO, sharded=False).check(replace(config, batch=12))
    with pytest.raises(ValueError, match=r"float16"):
        TWO.check(config, replace(CPU, loss_scaling=True))
    sliding = SimpleNamespace(layer_types=["sliding_attention"])
    actor = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: sliding))
    with pytest.raises(ValueError, match=r"\['sliding_attention'\] can sample: leave --use_fsdp out"):
        decoder(actor, [("a", [1])], CPU, TWO)


def test_adapters_and_models_without_a_list_of_layers_are_refused():
    actor, _, model = models("ppo")
    del actor.model.layers[2]
    with pytest.raises(ValueError, match=r"LlamaModel has no list of 3 layers"):
        shard(actor, TWO)
    pytest.importorskip("peft")
    for view in views(model, rank=2):
        with pytest.raises(ValueError, match=r"LoRA is not sharded"):
            shard(view, TWO)


def test_all_make_as_many_pieces(monkeypatch):
    monkeypatch.setattr(Processes, "largest", lambda self, x, device=None: max(x, 5))
    lengths = torch.tensor([1, 2, 3, 4, 5, 6])
    attention = torch.arange(6) < lengths[:, None]
    mask, every = attention[:, 1:], torch.arange(6)
    how = {"rows": 3, "processes": TWO, "own": True}
    found = [some.tolist() for some, *_ in pieces(attention.long(), attention, mask, every, **how)]
    assert len(found) == 5 and sorted(i for some in found for i in some) == every.tolist() and all(found)
    assert len([*pieces(attention.long(), attention, mask, every, **how | {"processes": ALONE})]) == 2


def test_alone_nothing_is_cut(monkeypatch):
    actor, critic, _ = models("ppo")
    assert shard(actor, ALONE) is actor and shard(None, TWO) is None
    assert whole(critic, ALONE) is critic and whole(None, TWO) is None
    assert torch.equal(gather({"x": torch.ones(2)}, TWO)["x"], torch.ones(2)) and gather({}, Processes(1, 2)) is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert team.start() is ALONE


def test_the_command_shares_a_model_and_leaves_that_of_one_process(tmp_path):
    folder = shop.make(tmp_path)
    assert shop.rlhf(folder, tmp_path / "one") == 0
    where = ["--model", folder / "model", "--prompts", folder / "prompts.jsonl", "--output", tmp_path / "two"]
    words = ["rlhf", *where, "--reward", f"{folder / 'my_reward.py'}:score", *shop.SHORT]
    # accelerate launch --use_fsdp says both; with the second, transformers 4 gives weights to the first process only
    said = {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = launched(2, "--seed=0", "-m", "ppo_lesson", *words, **said)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes, which share one model" in done.stdout and done.stdout.count("profile cpu") == 1
    for kind, load in (("actor", AutoModelForCausalLM), ("critic", AutoModel)):
        one, two = (load.from_pretrained(tmp_path / run / kind).state_dict() for run in ("one", "two"))
        assert one.keys() == two.keys()
        for key, x in one.items():
            torch.testing.assert_close(two[key], x, atol=1e-5, rtol=0, msg=lambda m, key=key: f"{key}: {m}")
    configs = [(tmp_path / run / "critic" / "config.json").read_text() for run in ("one", "two")]
    assert configs[0] == configs[1], "no name of a class that only lives while models are shared"
    summaries = [json.loads((tmp_path / run / "summary.json").read_text("utf-8")) for run in ("one", "two")]
    assert summaries[0]["samples"] == summaries[1]["samples"] and summaries[1]["rows"] == 4
