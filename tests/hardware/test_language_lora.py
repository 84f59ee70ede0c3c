"""One base model as actor, reference and critic: both adapters learn, the base never does, and files are ordinary."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny_language import EOS, KINDS, PAD, Letters, build, prompts, with_cache_called
from transformers import AutoModelForCausalLM

from ppo_lesson.hardware.decode import Decoder
from ppo_lesson.hardware.hardware import CPU
from ppo_lesson.hardware.profile import checkpoint_gradients
from ppo_lesson.language import rlhf
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.sampling import full_mask, generate, token_logps, token_values

peft = pytest.importorskip("peft", reason="LoRA needs peft, of the extra [gpu]")
from ppo_lesson.hardware.lora import views  # noqa: E402

CONFIG = RLHFConfig(
    iterations=3, batch=8, minibatches=2, micro_batch=4, max_new_tokens=6, lr=1e-2, critic_lr=1e-2, warmup=0
)


def letters(kind="llama", **changes):
    return without_dropout(build(kind, vocab_size=8, eos_token_id=0, pad_token_id=0, **changes))


def sample(kind):
    """ids, attention mask and T of four replies."""
    ids, mask = prompts()
    g = torch.Generator().manual_seed(1)
    real = torch.arange(5) < torch.tensor([5, 2, 4, 1])[:, None]
    return torch.cat([ids, torch.randint(2, 40, (4, 5), generator=g)], -1), full_mask(mask, real), 5


def train(config=CONFIG, hardware=CPU, model=None, **more):
    model = letters() if model is None else model
    actor, critic, reference = views(model, rank=4)
    critic = None if config.advantages == "group" else critic
    rows = list(
        rlhf.rlhf(
            config,
            Models(actor, critic, reference, lambda p, r: len(r)),
            ["ab", "c", "gfe"],
            tokenizer=Letters(8),
            hardware=hardware,
            **more,
        )
    )
    return model, actor, critic, rows


@pytest.mark.parametrize("kind", KINDS)
def test_all_three_are_the_base_model_at_first(kind):
    base = without_dropout(build(kind))
    actor, critic, reference = views(copy.deepcopy(base), rank=4)
    x = sample(kind)
    expected = token_logps(base, *x)
    assert torch.equal(token_logps(actor, *x), expected) and torch.equal(token_logps(reference, *x), expected)
    assert torch.equal(token_values(critic, *x), torch.zeros(4, 5))
    assert len(list(reference.parameters())) == 0
    names = {len(list(actor.parameters())), len(list(critic.parameters())) - 1}
    assert names == {len(actor.own)} and not set(map(id, actor.own)) & set(map(id, critic.trunk.own))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [False, True], ids=["plain", "computed twice"])
def test_trap_26_both_adapters_get_gradients(kind, again):
    model = without_dropout(build(kind))
    actor, critic, reference = views(model, rank=4)
    with torch.no_grad():
        critic.head.weight.normal_()
        for p in [*actor.own, *critic.trunk.own]:
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    if again:
        checkpoint_gradients(model)
        actor.train()
        critic.train()
    x = sample(kind)
    for _ in range(2):  # as `update` does it: the actor back before the critic forward
        token_logps(actor, *x).sum().backward()
        token_values(critic, *x).sum().backward()
        with torch.no_grad():
            token_logps(reference, *x)
    for p in [*actor.own, *critic.trunk.own, critic.head.weight]:
        assert p.grad is not None and p.grad.abs().max() > 1e-6
    assert all(p.grad is None for n, p in model.named_parameters() if ".lora_" not in n)

    once = [p.grad / 2 for p in actor.own]
    actor.eval()  # where nothing is computed twice
    for p in actor.own:
        p.grad = None
    token_logps(actor, *x).sum().backward()
    for p, expected in zip(actor.own, once):
        torch.testing.assert_close(p.grad, expected, atol=1e-5, rtol=1e-4)


def test_a_critic_forward_before_the_actors_backward_still_leaves_it_its_gradients():
    actor, critic, _ = views(without_dropout(build("llama")), rank=4)
    x = sample("llama")
    loss = token_logps(actor, *x).sum()
    token_values(critic, *x).sum().backward()
    loss.backward()
    assert all(p.grad is not None for p in actor.own) and any(p.grad.abs().max() > 1e-6 for p in actor.own)


def test_rlhf_moves_both_adapters_and_nothing_else():
    base = letters()
    model, actor, critic, rows = train(model=copy.deepcopy(base))
    assert rows[0]["kl_ref"] == 0.0 and rows[0]["ratio_error"] < 1e-5 and abs(rows[-1]["kl_ref"]) > 1e-4
    fresh = views(letters(), rank=4)
    for now, before in zip([*actor.own, *critic.trunk.own], [*fresh[0].own, *fresh[1].trunk.own]):
        assert not torch.equal(now, before)
    assert not torch.equal(critic.head.weight, fresh[1].head.weight)
    plain = {n.replace(".base_layer.", "."): p for n, p in model.named_parameters() if ".lora_" not in n}
    for name, p in base.named_parameters():
        assert torch.equal(plain[name], p), name


@pytest.mark.slow
def test_reward_rises():
    config = replace(CONFIG, iterations=25, batch=32, micro_batch=32, kl=None)
    _, _, _, rows = train(config)
    assert rows[-1]["score"] > (rows[0]["score"] + 6) / 2 and all(math.isfinite(r["value_loss"]) for r in rows)


def test_groups_need_no_critic_adapter():
    model = letters()
    actor, critic, reference = views(model, rank=2, critic=False)
    assert critic is None and not any(".critic." in n for n, _ in model.named_parameters())
    config = replace(CONFIG, advantages="group", replies=4, critic_lr=rlhf.RLHFConfig().critic_lr)
    run = rlhf.rlhf(config, Models(actor, None, reference, lambda p, r: len(r)), ["ab"], tokenizer=Letters(8))
    assert len(list(run)) == 3


def test_a_killed_run_goes_on(tmp_path):
    config = replace(CONFIG, checkpoint_every=1)
    _, expected, critic, _ = train(config)

    class Killed(Exception):
        pass

    model = letters()
    actor, half, reference = views(model, rank=4)
    run = rlhf.rlhf(
        config,
        Models(actor, half, reference, lambda p, r: len(r)),
        ["ab", "c", "gfe"],
        tokenizer=Letters(8),
        resume=tmp_path / "run",
    )
    next(run)
    next(run)
    run.close()
    _, ours, ours_critic, rows = train(config, resume=tmp_path / "run")
    assert len(rows) == 3 and (tmp_path / "run").stat().st_size < 120_000, "adapters only"
    for a, b in zip([*ours.own, *ours_critic.trunk.own], [*expected.own, *critic.trunk.own]):
        assert torch.equal(a, b)


@pytest.mark.parametrize("tied", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_ordinary(tmp_path, kind, tied):
    base = letters(kind, tie_word_embeddings=tied)
    base.save_pretrained(tmp_path / "base")
    _, actor, critic, _ = train(model=base)
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    x = (ids, torch.ones_like(ids, dtype=torch.bool), 4)
    expected, values = token_logps(actor, *x).detach(), token_values(critic, *x).detach()

    actor.save_pretrained(tmp_path / "merged")
    merged = without_dropout(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    torch.testing.assert_close(token_logps(merged, *x), expected, atol=1e-5, rtol=0)
    plain = without_dropout(AutoModelForCausalLM.from_pretrained(tmp_path / "base"))
    assert (token_logps(plain, *x) - expected).abs().max() > 1e-3

    actor.save_adapter(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    torch.testing.assert_close(token_logps(again.base_model.model, *x), expected, atol=1e-5, rtol=0)

    critic.save(tmp_path / "critic")
    torch.testing.assert_close(token_values(ScalarModel.load(tmp_path / "critic"), *x), values, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_view_and_a_graph_call_the_cache_what_the_model_calls_it(kind, name):
    (ids, mask), model = prompts(), without_dropout(build(kind))
    actor, *_ = views(model, rank=4)
    uniforms = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = {"max_new_tokens": 6, "eos_id": EOS, "pad_id": PAD, "uniforms": uniforms}
    expected = generate(actor, ids, mask, **given)
    with_cache_called(name, model)
    assert torch.equal(generate(actor, ids, mask, **given), expected)
    assert torch.equal(Decoder(prompt=ids.shape[1])(actor, ids, mask, **given), expected)


def test_sampling_and_the_merged_copy():
    _, actor, _, _ = train()
    ids, mask = torch.tensor([[1, 2], [3, 4]]), torch.ones(2, 2, dtype=torch.bool)
    u = torch.rand(2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    about = {"max_new_tokens": 9, "eos_id": EOS, "pad_id": PAD, "uniforms": u, "return_logps": True}
    expected, logps = generate(actor, ids, mask, **about)
    for decode in (Decoder(prompt=3), Decoder(prompt=3, half=torch.float32)):
        ours, ours_logps = decode(actor, ids, mask, **about)
        assert torch.equal(ours, expected)
        torch.testing.assert_close(ours_logps, logps, atol=1e-4, rtol=0)
    assert not any("lora" in n for n, _ in decode.twin.named_parameters())


def test_adapters_are_float32_on_a_half_model():
    model = letters().to(torch.bfloat16)
    actor, critic, reference = views(model, rank=4)
    assert {p.dtype for p in [*actor.own, *critic.trunk.own]} == {torch.float32}
    x = torch.tensor([[1, 2, 3, 4]]), torch.ones(1, 4, dtype=torch.bool), 2
    assert torch.equal(token_logps(actor, *x), token_logps(reference, *x))
    token_logps(actor, *x).sum().backward()
    assert all(p.grad is not None for p in actor.own)


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModuleNotFoundError, match=r"\[gpu\]"):
        views(letters(), rank=4)
