"""Notebook 16: the last list of the course names cells that exist, and the sums that the notebook rests on."""

import re
import shutil
from dataclasses import replace

import nbformat
import pytest
import torch
from transformers import Qwen2Config

import notebooks
from course.desk import stages
from course.exercises.group_advantages import group_advantages
from course.exercises.memory_plan import memory_plan
from course.exercises.optimizer_steps import optimizer_steps
from course.exercises.translate import translate
from ppo_lesson import bridge
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.memory import enough, plan
from ppo_lesson.hardware.profile import Machine, choose
from ppo_lesson.language import advantages
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig

PATH = next(path for path in notebooks.all_notebooks() if path.name.startswith("16_"))
T4 = Machine("Tesla T4", (7, 5), 15 * 2**30)
A = "actor_rollout_ref.actor."


def cells():
    return {cell.id: cell for cell in nbformat.read(PATH, as_version=4).cells}


def test_every_verdict_names_a_cell_that_exists():
    """The strengths and weaknesses of PPO: each row has a verdict, and points to cells of the course."""
    ids = {path.name[:2]: {c.id for c in nbformat.read(path, as_version=4).cells} for path in notebooks.all_notebooks()}
    tables = [cells()[f"verdicts-{which}"].source for which in ("first", "second", "third")]
    rows = [line for table in tables for line in table.splitlines()[2:]]
    assert len(rows) == 12
    for row in rows:
        claim, verdict, where = (part.strip() for part in row.strip("|").split("|"))
        assert re.match(r"true|false|depends|half|it does", verdict), claim
        named = re.findall(r"`(\d\d)#([\w-]+)`", where)
        assert named, claim
        for notebook, id in named:
            assert id in ids.get(notebook, {id}), f"{notebook}#{id}"  # a notebook that is not written yet is let pass


def test_no_number_of_a_gpu_is_invented():
    """Until benchmarks/results/gpu.json exists the notebook says so, and its estimates are called estimates."""
    said = "".join(output.get("text", "") for output in cells()["measured"].outputs)
    exists = (notebooks.ROOT / "benchmarks" / "results" / "gpu.json").exists()
    assert ("Not measured yet" in said) != exists and ("measured on:" in said) == exists
    budget = "".join(output.get("text", "") for output in cells()["budget-t4"].outputs)
    assert "estimate, not a measurement" in budget and "planner" in budget
    for stage in ("SFT", "reward model", "PPO"):
        assert re.search(rf"T4, {stage} .* minutes \(estimate\)", budget), stage


@pytest.mark.parametrize(
    "sizes", [(64, 1, 16, 2, 1, 4), (10, 2, 4, 1, 2, 2), (1024, 8, 256, 3, 8, 16), (16, 1, 16, 1, 1, 1)]
)
def test_the_exercise_counts_as_the_bridge_does(sizes):
    names = ("train_batch_size", "n", "ppo_mini_batch_size", "ppo_epochs", "gpus", "ppo_micro_batch_size_per_gpu")
    found = bridge.optimizer_steps(*sizes)
    assert optimizer_steps(dict(zip(names, sizes))) == (found["steps"], found["micro_batches"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_ratio": 0.3},
        {"clip_ratio_low": None, "clip_ratio": 0.1, "clip_ratio_high": 0.3},
        {"n": 4},
        {"clip_ratio_low": 0.1, "clip_ratio": 0.3, "clip_ratio_high": None},
        {"use_kl_loss": True, "kl_loss_coef": 0.04},
        {"use_kl_in_reward": True, "kl_coef": 0.02},
    ],
)
def test_the_exercise_translates_as_the_bridge_does(changes):
    where = {
        "n": "actor_rollout_ref.rollout.n",
        "use_kl_in_reward": "algorithm.use_kl_in_reward",
        "kl_coef": "algorithm.kl_ctrl.kl_coef",
    }
    keys = {
        "train_batch_size": 1024,
        "n": 1,
        "ppo_mini_batch_size": 256,
        "clip_ratio": 0.2,
        "clip_ratio_low": 0.2,
        "clip_ratio_high": 0.2,
        "use_kl_in_reward": False,
        "kl_coef": 0.001,
        "use_kl_loss": False,
        "kl_loss_coef": 0.001,
    } | changes
    config, _ = bridge.from_verl({where.get(name, A + name): value for name, value in changes.items()})
    ours = translate(keys)
    assert (ours["batch"], ours["minibatches"]) == (config.batch, config.minibatches)
    assert (ours["eps"], ours["eps_high"]) == (config.eps, config.eps if config.eps_high is None else config.eps_high)
    assert ours["beta"] == (0.0 if config.kl is None else config.kl.beta) and ours["kl_loss"] == config.kl_loss


def test_the_exercise_is_the_trainers_group_advantage():
    scores, ids = torch.randn(12, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4
    torch.testing.assert_close(group_advantages(scores, ids), advantages.group_advantages(scores, ids))


def test_the_exercise_is_the_planners_sum():
    config = Qwen2Config(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        vocab_size=500,
        tie_word_embeddings=True,
    )
    layer = [(64, 64), (32, 64), (32, 64), (64, 64), (128, 64), (128, 64), (64, 128)]
    others = 500 * 64 + 64 + 2 * (64 + 32 + 32 + 2 * 64)  # embedding; last norm; biases of q, k, v; two norms a layer
    profile = choose("gpu", on=Machine("a GPU", (8, 0), 2**36), lora_rank=8, static_decode=False)
    found = plan(config, profile, RLHFConfig(), prompt=16)
    base, adapters = memory_plan(layer * 2, others, 8)
    assert (base + 2 * adapters // 8, adapters * 3 // 4) == (found.weights, found.gradients + found.optimizer)


@pytest.mark.slow
def test_half_a_billion_weights_fit_a_t4_with_lora_alone():
    config = Qwen2Config(
        hidden_size=896,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        vocab_size=151_936,
        tie_word_embeddings=True,
    )
    run = RLHFConfig(batch=64, max_new_tokens=64)
    assert plan(config, choose("auto", on=T4), run, prompt=64).peak < T4.memory
    assert plan(config, choose("auto", on=T4, lora_rank=0), run, prompt=64).peak > T4.memory
    settings, _ = stages.chosen(494_032_768, choose("auto", on=T4))
    for stage, about in (
        (settings.sft, {"prompt": 64, "reply": 64}),
        (settings.reward, {"prompt": 128, "together": 4}),
        (settings.rlhf, {"prompt": 64, "reward": config}),
    ):
        assert enough(config, choose("auto", on=T4), stage, **about).peak < T4.memory / 2
        with pytest.raises(ValueError, match=r"needs .* GiB at the peak .* 1\.00 GiB are there\. (It fits|Nothing)"):
            enough(config, choose("auto", on=replace(T4, memory=2**30)), stage, **about)


STAGES = ("load-model", "chosen", "budget", "sft-stage", "reward-stage", "four-roles", "ppo-stage", "stored-stages")
STAGES += ("stages-figure", "stages-panel", "stages-dials", "stages-reports", "rules", "settings", "train-function")
FEW = stages.Stages(
    SupervisedConfig(steps=2, batch=8, lr=1e-3, warmup=0),
    SupervisedConfig(steps=2, batch=4, lr=1e-3, warmup=0),
    RLHFConfig(iterations=2, batch=8, max_new_tokens=8),
    free=2,
)


@pytest.mark.slow
def test_the_stages_take_any_model_by_its_folder_with_adapters_too(tmp_path, monkeypatch, capsys):
    """The notebook's own cells with a folder in MODEL, computing as a T4 does: float16, LoRA, scaled losses."""
    pytest.importorskip("peft")
    for name in ("pretrained", "tokenizer"):
        shutil.copytree(stages.shipped(name), tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(stages, "HELD", 8)
    monkeypatch.setattr(stages, "chosen", lambda size, profile: (FEW, "few steps are enough to see that it runs"))
    found, names = cells(), {}
    for name in ("imports", "imports-language", "drawing"):
        exec(found[name].source, names)
    t4 = choose("auto", on=T4)
    names["profile"] = choose(
        "cpu", **{k: getattr(t4, k) for k in ("half", "loss_scaling", "lora_rank", "micro_tokens")}
    )
    names["hardware"] = Hardware(names["profile"])
    for name in STAGES:
        source = found[name].source
        exec(source.replace("MODEL = None", f"MODEL = {str(tmp_path)!r}") if name == "load-model" else source, names)
    said = capsys.readouterr().out
    assert not names["tiny"] and "why: few steps" in said and "three models, one start" in said
    assert "here, SFT:" in said and "held out: score" in said and "The small model's seeds" in said
    assert [look["iteration"] for look in names["looks"]["β = 0"]] == [0, 2]
    rows, after = names["train"](0, iterations=1, kl=None)
    assert len(rows) == 1 and len(after.texts) == 8


@pytest.mark.slow
def test_a_gpu_that_is_too_small_is_refused_in_the_notebook(monkeypatch):
    """By the cell that plans, with the planner's numbers and the nearest settings that fit."""
    names = {"enough": enough, "profile": choose("gpu", on=Machine("a small GPU", (8, 0), 3 * 2**30)), "stages": FEW}
    config = Qwen2Config(hidden_size=896, intermediate_size=4864, num_attention_heads=14, num_key_value_heads=2)
    names["base"] = type("Model", (), {"config": config})
    with pytest.raises(
        ValueError, match=r"this run needs .* at the peak .* and 3\.00 GiB are there\. (It fits with|Noth)"
    ):
        exec(cells()["budget"].source, names)
