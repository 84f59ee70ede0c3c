"""Language models from configurations, folders and other architectures; critics and reward models on their trunks."""

import json
import os

import pytest
import shop
import torch
import transformers
from tiny_language import KINDS, MLP, SMALL, build, from_disk, prompts

from course.desk.tiny import tiny_llama
from ppo_lesson.commands import main as cli
from ppo_lesson.hardware.lora import views
from ppo_lesson.language.models import ScalarModel, load_language_model, without_dropout
from ppo_lesson.language.sampling import generate, positions, token_logps


def test_the_courses_model_is_small_seeded_and_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    model, same, other = tiny_llama(1280), tiny_llama(1280, seed=0), tiny_llama(1280, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert sum(p.numel() for p in model.parameters()) == 455_328
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.eos_token_id != model.config.pad_token_id and not model.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters()))
    assert not torch.equal(next(model.parameters()), next(other.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_back_the_model(kind, tmp_path):
    model, loaded = without_dropout(build(kind)), from_disk(kind, tmp_path)
    ids = torch.arange(2, 12)[None]
    assert not loaded.training and torch.equal(model(ids).logits, loaded(ids).logits)
    assert next(loaded.parameters()).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_off_even_in_training_mode(kind):
    names = {"gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop")}.get(kind, ("attention_dropout",))
    model = build(kind, **dict.fromkeys(names, 0.5))
    ids = torch.arange(2, 12)[None]
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits), "this test needs a model that does drop out"
    without_dropout(model)
    assert not model.training
    model.train()
    assert torch.equal(model(ids).logits, model(ids).logits)


OTHERS = {  # architectures that do something to their logits after the head
    "Gemma2": {"final_logit_softcapping": 2.0, "head_dim": 8},
    "Granite": {"logits_scaling": 4.0},
    "Cohere": {"logit_scale": 0.25},
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_model_does_to_its_logits_is_done_here_too(name, tmp_path):
    config = getattr(transformers, f"{name}Config")(**SMALL | MLP | OTHERS[name])
    torch.manual_seed(2)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    model.save_pretrained(tmp_path)
    model = load_language_model(tmp_path)
    ids, mask = prompts()
    own = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions(mask)).logits.log_softmax(-1)
    own = own[:, -3:-1].gather(-1, ids[:, -2:, None])[..., 0]
    torch.testing.assert_close(token_logps(model, ids[1::2], mask[1::2], 2), own[1::2], atol=1e-5, rtol=0)
    plain = model.get_output_embeddings()(model.base_model(ids, attention_mask=mask.long()).last_hidden_state)
    assert (plain.log_softmax(-1)[:, -3:-1].gather(-1, ids[:, -2:, None])[..., 0] - own).abs().max() > 0.01
    out, logps = generate(
        model, ids, mask, max_new_tokens=4, eos_id=1, pad_id=0, return_logps=True, generator=torch.Generator()
    )
    full = torch.cat([mask, logps != 0], -1)
    again = torch.where(logps != 0, token_logps(model, out, full, 4), 0.0)
    torch.testing.assert_close(again, logps, atol=1e-4, rtol=0)


def test_a_model_with_an_unknown_treatment_of_logits_is_refused(tmp_path, monkeypatch):
    build("llama").save_pretrained(tmp_path)
    forward = transformers.LlamaForCausalLM.forward

    def scaled(self, *arguments, **named):
        out = forward(self, *arguments, **named)
        out.logits = out.logits * 3
        return out

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", scaled)
    with pytest.raises(ValueError, match="LlamaForCausalLM changes its logits"):
        load_language_model(tmp_path)


# ---- one number a token ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_critic_begins_at_zero_on_a_trunk_of_its_own(kind):
    model = build(kind)
    critic = ScalarModel.critic(model)
    ids, mask = prompts()
    values = critic(ids, mask, positions(mask))
    assert values.shape == ids.shape and values.dtype == torch.float32 and not values.any()
    values.sum().backward()
    assert critic.head.weight.grad.abs().sum() > 0, "it can learn all the same"
    theirs = {p.data_ptr() for p in model.parameters()}
    assert not theirs & {p.data_ptr() for p in critic.parameters()}
    assert all(p.grad is None for p in model.parameters())
    critic.train()
    assert torch.equal(critic(ids, mask, positions(mask)), values), "no dropout"


def test_a_reward_head_has_variance_one_over_width_plus_one():
    model = tiny_llama(50, width=512, layers=1, heads=4)
    state = torch.get_rng_state()
    reward = ScalarModel.reward(model, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert reward.head.bias is None
    assert reward.head.weight.var().item() == pytest.approx(1 / 513, rel=0.25)  # 512 numbers: 4 standard errors
    assert torch.equal(reward.head.weight, ScalarModel.reward(model, seed=3).head.weight)
    assert not torch.equal(reward.head.weight, ScalarModel.reward(model, seed=4).head.weight)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scalar_model_comes_back_from_its_folder(kind, tmp_path):
    model = ScalarModel.reward(build(kind), seed=1)
    model.mean.fill_(0.3)
    model.std.fill_(2.0)
    model.save(tmp_path)
    loaded = ScalarModel.load(tmp_path)
    ids, mask = prompts()
    with torch.no_grad():
        a, b = model(ids, mask, positions(mask)), loaded(ids, mask, positions(mask))
    assert torch.equal(a, b) and a[mask].std() > 0
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(model.trunk).__name__]
    assert type(transformers.AutoModel.from_pretrained(tmp_path)) is type(model.trunk), "an ordinary folder"
    with torch.no_grad():
        model.mean.zero_()
        model.std.fill_(1.0)
        torch.testing.assert_close(model(ids, mask, positions(mask)), a * 2 + 0.3)


def test_a_trunk_in_bfloat16_still_gives_float32(tmp_path):
    critic = ScalarModel.reward(build("llama").bfloat16())
    ids, mask = prompts()
    assert critic(ids, mask, positions(mask)).dtype == torch.float32


def test_a_folder_without_a_head_is_named(tmp_path):
    build("llama").save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"model has no head.safetensors: it holds \['LlamaForCausalLM'\]"):
        ScalarModel.load(tmp_path / "model")
    with pytest.raises(ValueError, match="holds no model at all"):
        ScalarModel.load(tmp_path / "nothing")


@pytest.mark.skipif(os.name != "posix", reason="rights of this kind are Unix's")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("rank", ["0", "4"])
@pytest.mark.slow
def test_whom_you_let_read_your_new_files_may_read_the_weights(rank, mask, tmp_path, monkeypatch):
    """Safetensors writes them for their owner alone, and a colleague or a server could not load what was trained."""
    if rank != "0":
        pytest.importorskip("peft")
    folder, before = shop.make(tmp_path / "shop"), os.umask(mask)
    monkeypatch.setattr("ppo_lesson.commands.report.plot", lambda *_: [])
    try:
        argv = ["--model", f"{folder / 'model'}", "--steps", "1", "--batch", "4", "--lora-rank", rank]
        for command, data in (("sft", "pairs"), ("reward", "rankings")):
            more = ["--data", f"{folder / data}.jsonl", "--output", f"{tmp_path / 'out' / command}"]
            assert cli.main([command, *argv, *more]) == 0
        assert shop.rlhf(folder, tmp_path / "out" / "rlhf", "--lora-rank", rank) == 0
        if rank != "0":
            (tmp_path / "out" / "adapter").mkdir()
            views(build("llama"), rank=2)[0].save_adapter(tmp_path / "out" / "adapter")
    finally:
        os.umask(before)
    files = list((tmp_path / "out").rglob("*.safetensors"))
    assert {file.parent.name for file in files} >= {"model", "actor", "critic"}
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {oct(0o666 & ~mask)}
