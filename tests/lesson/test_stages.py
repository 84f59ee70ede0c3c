"""The three stages of notebook 16: stored seeds move as it says, one point comes out again, any machine runs them."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from course import __main__ as course
from course.desk import stages, sweep
from ppo_lesson.hardware.hardware import CPU, Hardware
from ppo_lesson.hardware.profile import Machine, Profile, choose
from ppo_lesson.kl import FixedKL
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig, sft
from ppo_lesson.language.text import load_tokenizer, prompt_ids

STORED = json.loads(stages.FILE.read_text("utf-8"))
FEW = stages.Stages(
    SupervisedConfig(steps=2, batch=4, lr=1e-3, warmup=0),
    SupervisedConfig(steps=2, batch=4, lr=1e-3, warmup=0),
    RLHFConfig(iterations=2, batch=4, max_new_tokens=4, kl=FixedKL(0.1)),
    free=1,
)


@pytest.fixture(scope="module")
def material():
    return stages.material(load_tokenizer(stages.shipped("tokenizer")))


@pytest.fixture
def a_few_plain_texts(monkeypatch):
    """Each look reads ten plain texts in the place of 200: most of what a run of FEW took."""
    plain_loss = sweep.plain_loss
    monkeypatch.setattr(sweep, "plain_loss", lambda model, tokenizer: plain_loss(model, tokenizer, count=10))


def few(material, held=4):
    desk, pairs, rankings = material
    return replace(desk, held=desk.held[:held]), pairs[:40], rankings[:40]


def test_the_stored_seeds_move_as_the_notebook_says():
    """In each of three: gold up by 0.3 with a price; without one the score up and gold down."""
    assert STORED["settings"] == stages.described(stages.TINY), "the settings changed: run the command again"
    assert list(STORED["seeds"]) == ["0", "1", "2"] and STORED["command"].endswith("stages --seeds 0 1 2")
    for seed in STORED["seeds"].values():
        priced, free = (seed[name]["looks"] for name in ("beta 0.1", "beta 0"))
        assert priced[-1]["iteration"] == stages.TINY.rlhf.iterations and free[-1]["iteration"] == stages.TINY.free
        (start, high), (same, low) = (([x[0]["held"], x[-1]["held"]]) for x in (priced, free))
        assert start["gold"] == same["gold"] and high["gold"] > start["gold"] + 0.3 > low["gold"] + 0.6
        assert low["score"] > high["score"] > start["score"] + 0.3
        assert low["kl_ref"] > 3 * high["kl_ref"] > 0


@pytest.mark.slow
def test_the_first_two_stages_again_lie_in_the_stored_spread(material):
    run = stages.run(stages.pretrained(), *material, stages.TINY, seed=0)
    made = dict(next(run) for _ in range(2))
    golds = [seed["fine-tuning"]["held"]["after"]["gold"] for seed in STORED["seeds"].values()]
    room = 4 * max(seed["fine-tuning"]["held"]["after"]["gold_sd"] for seed in STORED["seeds"].values()) / 128**0.5
    assert min(golds) - room < made["fine-tuning"]["held"]["after"]["gold"] < max(golds) + room
    for name in ("noisy accuracy", "gold accuracy"):
        known = [seed["reward model"][name] for seed in STORED["seeds"].values()]
        room = 4 * (0.25 / (len(material[2]) // 16)) ** 0.5  # of a share, over as many rankings
        assert min(known) - room < made["reward model"][name] < max(known) + room


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"micro_tokens": 200, "gradient_checkpointing": True}, marks=pytest.mark.slow),
        pytest.param(
            {"lora_rank": 4, "half": torch.bfloat16, "micro_tokens": 200, "gradient_checkpointing": True},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"lora_rank": 4, "half": torch.float16, "loss_scaling": True, "static_decode": True}, marks=pytest.mark.slow
        ),
    ],
    ids=["cpu", "micro-batches", "LoRA in bfloat16", "as on a T4"],
)
def test_all_stages_run_on_every_kind_of_machine(changes, material, a_few_plain_texts):
    if changes.get("lora_rank"):
        pytest.importorskip("peft", reason="LoRA needs peft, of the extra [gpu]")
    profile = choose("cpu", **changes)
    found = dict(stages.run(stages.pretrained(), *few(material), FEW, seed=1, profile=profile))
    assert list(found) == ["fine-tuning", "reward model", "beta 0.1", "beta 0"]
    for name, count in (("beta 0.1", 2), ("beta 0", 1)):
        run = found[name]
        assert run["stopped"] is None and len(run["rows"]["score"]) == count == run["looks"][-1]["iteration"]
        assert run["looks"][0]["held"]["kl_ref"] == pytest.approx(0, abs=0.05 if profile.half else 1e-5)
    assert found["beta 0.1"]["rows"]["beta"] == [0.1, 0.1] and found["beta 0"]["rows"]["beta"] == [0]


def test_the_notebooks_own_calls_are_those_of_the_command(material, a_few_plain_texts):
    """SFT by hand and by `run`: the same weights, so that what is live is what is stored."""
    desk, pairs, rankings = few(material)
    name, found = next(stages.run(stages.pretrained(), desk, pairs, rankings, FEW, seed=0))
    model = stages.pretrained()
    losses = [row["loss"] for row in sft(model, desk.tokenizer, pairs, FEW.sft, seed=0, hardware=CPU)]
    assert name == "fine-tuning" and losses == found["loss"]
    assert stages.before(desk, model, FEW.rlhf, CPU) == found["held"]["after"]


@pytest.mark.slow
def test_the_command_writes_after_every_seed(tmp_path, monkeypatch, capsys, material, a_few_plain_texts):
    monkeypatch.setattr(stages, "FILE", tmp_path / "stages.json")
    monkeypatch.setattr(stages, "TINY", FEW)
    monkeypatch.setattr(stages, "material", lambda tokenizer: few(material))
    assert course.main(["stages", "--seeds", "3", "4"]) == 0
    written = json.loads((tmp_path / "stages.json").read_text("utf-8"))
    assert list(written["seeds"]) == ["3", "4"] and written["settings"] == stages.described(FEW)
    said = capsys.readouterr().out
    assert said.count("loss ") == 4 and "seed 4  beta 0 " in said and said.count("held out: score") == 4
    assert course.main(["stages", "--seeds", "-1"]) == 2
    assert "error: seed must be at least 0; got -1" in capsys.readouterr().err


def test_a_judge_never_sees_what_it_is_asked_about(material):
    known, new = stages.split(material[2])
    assert len(known) + len(new) == len(material[2]) and not {id(r) for r in known} & {id(r) for r in new}


def test_no_stage_knows_a_held_out_problem(material):
    desk, pairs, rankings = material
    texts = [*(p.prompt for p in pairs), *(r.prompt for r in rankings), *desk.prompts]
    cases = [{stages.world.read_prompt(text) for text in some} for some in (desk.held, texts)]
    cells = [{(c.category, c.item, c.problem) for c in some} for some in cases]
    assert len(desk.held) == stages.HELD and not cells[0] & cells[1] and all(map(stages.english, [*texts, *desk.held]))


def test_the_policy_that_began_is_left_alone(material):
    """A judge with an adapter freezes the model it is made of: a copy, then."""
    pytest.importorskip("peft", reason="LoRA needs peft, of the extra [gpu]")
    policy = stages.pretrained()
    before = copy.deepcopy(policy.state_dict())
    stages.new_judge(policy, choose("cpu", lora_rank=4), 0)
    assert policy.state_dict().keys() == before.keys() and all(p.requires_grad for p in policy.parameters())


def test_settings_follow_the_size_and_the_machine():
    t4 = choose("auto", on=Machine("Tesla T4", (7, 5), 15 * 2**30))
    assert stages.chosen(481_056, Profile()) == (stages.TINY, stages.WHY_TINY)
    large, why = stages.chosen(494_032_768, choose("gpu", on=Machine("H200", (9, 0), 139 * 2**30)))
    adapters, why_adapters = stages.chosen(494_032_768, t4)
    assert adapters.sft.lr > large.sft.lr and adapters.rlhf.lr > large.rlhf.lr and "494 million" in why
    assert "all weights" in why and "adapters" in why_adapters and "Nobody has tuned" in why


def test_an_unpriced_run_and_a_look_of_another_machine(material):
    free = stages.unpriced(stages.TINY)
    assert free.kl is None and free.iterations == stages.TINY.free and replace(free, kl=None) == free
    desk, *_ = few(material, held=4)
    model = stages.pretrained()
    facts = sweep.look(replace(desk, policy=model), model, FEW.rlhf, Hardware(choose("cpu", half=torch.bfloat16)))
    assert facts["held"]["score"] == facts["held"]["gold"], "its judge is the truth itself"
    assert len(prompt_ids(desk.tokenizer, desk.held[0])) < 64, "as the notebook's plan of the memory says"
