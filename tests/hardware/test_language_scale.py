"""Profiles, precision, memory plans and hub failures. What needs CUDA is decided here from facts, and not run."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_language import Letters, build
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.memory import Counter, enough, fit, plan
from ppo_lesson.hardware.profile import GIB, Machine, Profile, banner, choose, roles
from ppo_lesson.language import data, reward, rlhf, supervised
from ppo_lesson.language.loading import load_or_explain
from ppo_lesson.language.models import Models, ScalarModel, load_language_model
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig
from ppo_lesson.language.text import load_tokenizer

T4 = Machine("Tesla T4", (7, 5), 15 * GIB)
H200 = Machine("NVIDIA H200", (9, 0), 139 * GIB)
SHORT = RLHFConfig(iterations=3, batch=8, minibatches=2, micro_batch=4, max_new_tokens=6, lr=1e-3, critic_lr=1e-3)


def lora():
    return pytest.importorskip("peft", reason="LoRA needs peft, of the extra [gpu]")


def letters(**changes):
    return build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0, **changes)


def run(profile, config=SHORT, reward=lambda prompt, reply: len(reply)):
    actor, critic, reference = roles(letters(), profile)
    rows = list(
        rlhf.rlhf(
            config,
            Models(actor, critic, reference, reward),
            ["ab", "c"],
            tokenizer=Letters(8),
            hardware=Hardware(profile),
        )
    )
    return rows, actor, critic


# ---- profiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "name", "half"),
    [(Machine(), "cpu", None), (T4, "t4", torch.float16), (H200, "gpu", torch.bfloat16)]
    + [(Machine("A100", (8, 0), 40 * GIB), "gpu", torch.bfloat16), (Machine("V100", (7, 0)), "t4", torch.float16)],
    ids=str,
)
def test_the_capability_chooses(on, name, half):
    profile = choose("auto", on)
    assert (profile.name, profile.half, profile.loss_scaling) == (name, half, half == torch.float16)
    assert (profile.device == "cuda") == (on.gpu is not None) == profile.static_decode
    text = banner(profile)
    assert profile.why in text and ("Change runtime type > T4 GPU" in text) == (name == "cpu")
    if on.gpu:
        assert on.gpu in text and ".".join(map(str, on.capability)) in text
        assert ("float16 matrices, losses scaled" in text) == (name == "t4")
    assert ("LoRA of rank 16" in text) == (name == "t4")


def test_a_t4_that_claims_bfloat16_is_not_believed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    about = type("Properties", (), {"name": "Tesla T4", "major": 7, "minor": 5, "total_memory": 15 * GIB})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    assert choose().half == torch.float16 and choose().memory == 15 * GIB


OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"


@pytest.mark.parametrize(
    ("error", "smi", "says"),
    [
        (
            RuntimeError(OLD),
            "/usr/bin/nvidia-smi",
            "driver on your system is too old (found version 11040)). Update its",
        ),
        (AssertionError("Torch not compiled with CUDA enabled"), "/usr/bin/nvidia-smi", "not compiled with CUDA"),
        (AssertionError("Torch not compiled with CUDA enabled"), None, None),
        (RuntimeError("Found no NVIDIA driver on your system. Please check"), "/usr/bin/nvidia-smi", None),
    ],
    ids=["old driver", "torch without CUDA", "no GPU", "no driver"],
)
def test_a_gpu_that_torch_cannot_use_is_not_called_absent(error, smi, says, monkeypatch):
    def fails():
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fails)
    monkeypatch.setattr("ppo_lesson.hardware.profile.which", lambda _: smi)
    profile = choose("auto")
    assert profile.name == "cpu" and (says or "there is no CUDA GPU") in banner(profile)
    with pytest.raises(ValueError, match="profile 'gpu' needs a CUDA GPU, and ") as refused:
        choose("gpu")
    assert (says or "there is none here; take 'cpu'") in str(refused.value)


def test_every_choice_can_be_overridden():
    profile = choose("auto", H200, lora_rank=8, micro_tokens=None, memory=10, half=torch.float16)
    assert (profile.lora_rank, profile.micro_tokens, profile.memory, profile.half) == (8, None, 10, torch.float16)
    assert choose("t4", H200).half == torch.float16 and choose("t4", H200).lora_rank == 16
    assert choose("gpu", T4).half == torch.float16 and choose("gpu", T4).lora_rank == 0
    assert choose("cpu", H200).device == "cpu" and "left idle" in choose("cpu", H200).why
    assert choose("gpu", H200, half=None).half is None and choose("auto", H200, device="cpu").device == "cpu"


def test_profiles_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"needs a CUDA GPU.*Change runtime type"):
        choose("t4", Machine())
    with pytest.raises(ValueError, match="profile must be 'auto'"):
        choose("tpu", Machine())
    with pytest.raises(TypeError, match=r"argument 'lora'"):
        choose("auto", T4, lora=8)


# ---- precision -------------------------------------------------------------------------------------------------------


def rounding(half):
    """How far the first ratio may be from 1: the rollout's pieces and the update's have other rows, so that a processor
    may add in another order. What `letters()` computes is rounded to `half` after 7 matrices in each of its layers, and
    after the head; a rounding moves it by u = eps / 2 of its size at most, up or down, and by u / 2 on average. After n
    of them a logit is hardly off by more than u * sqrt(n) * |logit|, two computations differ by sqrt(2) of that, and
    log p = logit - log-sum-exp by twice as much. (0.16 for bfloat16, 0.02 for float16; a column to the side: above 1.)
    """
    model = letters()
    with torch.no_grad():
        largest = model(torch.arange(8)[None]).logits.abs().max().item()
    roundings = 7 * model.config.num_hidden_layers + 1
    return 2 * (2 * roundings) ** 0.5 * torch.finfo(half).eps / 2 * largest


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rank", [0, 4])
def test_half_precision_trains_with_float32_weights_and_scores(half, rank):
    if rank:
        lora()
    rows, actor, critic = run(
        Profile(half=half, loss_scaling=half == torch.float16, lora_rank=rank, static_decode=True)
    )
    assert rows[0]["kl_ref"] == 0.0, "actor and reference compute alike"
    assert rows[0]["ratio_error"] < rounding(half) and all(math.isfinite(row["policy_loss"]) for row in rows)
    assert {p.dtype for m in (actor, critic) for p in m.parameters()} == {torch.float32}
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.autocast("cpu", dtype=half):
        logp = rlhf.token_logps(actor, ids, torch.ones_like(ids), 3)
    assert logp.dtype == torch.float32
    assert sum(row.get("skipped", 0) for row in rows) <= 6, "of 12 steps: float16 finds its scale"


def test_a_step_that_float16_cannot_hold_is_left_out(monkeypatch):
    """The scale begins so high that gradients overflow; it is halved until they do not, and only then weights move."""
    profile = Profile(half=torch.float16, loss_scaling=True)
    monkeypatch.setattr(
        type(profile), "scaler", lambda self: torch.amp.GradScaler("cpu", init_scale=2.0**126, backoff_factor=2.0**-60)
    )
    rows, actor, _ = run(profile)
    assert rows[0]["skipped"] >= 1 and rows[-1]["skipped"] == 0
    assert all(math.isfinite(x) for row in rows for x in row.values() if isinstance(x, float))
    assert any(not torch.equal(a, b) for a, b in zip(actor.parameters(), letters().parameters()))


def test_an_interrupted_float16_run_goes_on_with_its_scale(tmp_path, monkeypatch):
    """A scale that began anew would leave two more steps out."""
    profile, config = Profile(half=torch.float16, loss_scaling=True), replace(SHORT, checkpoint_every=1)
    monkeypatch.setattr(
        type(profile), "scaler", lambda self: torch.amp.GradScaler("cpu", init_scale=2.0**126, backoff_factor=2.0**-60)
    )

    def begin(path):
        models = roles(letters(), profile)
        more = {"tokenizer": Letters(8), "hardware": Hardware(profile), "resume": tmp_path / path}
        return rlhf.rlhf(config, Models(*models, lambda prompt, reply: len(reply)), ["ab", "c"], **more), models[0]

    def told(rows):
        return [{name: x for name, x in row.items() if name not in ("seconds", "replies")} for row in rows]

    run, whole = begin("whole")
    rows = told(run)
    run, _ = begin("part")
    assert told([next(run), next(run)]) == rows[:2]
    run.close()
    run, actor = begin("part")
    assert told(run) == rows and rows[0]["skipped"] == 2 and rows[-1]["skipped"] == 0
    assert all(torch.equal(a, b) for a, b in zip(actor.parameters(), whole.parameters()))


def test_scaling_changes_no_update():
    half = Profile(half=torch.bfloat16)
    _, a, _ = run(half)
    _, b, _ = run(replace(half, loss_scaling=True))
    for x, y in zip(a.parameters(), b.parameters()):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rank", [0, 4])
def test_trap_21_gradient_checkpointing_computes_twice_and_changes_nothing(rank):
    if rank:
        lora()
    calls = []
    runs = []
    for again in (False, True):
        calls.clear()
        profile = Profile(gradient_checkpointing=again, lora_rank=rank)
        actor, critic, reference = roles(letters(), profile)
        layer = (actor.whole[0] if rank else actor).model.layers[0].mlp.act_fn
        layer.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
        rows = list(
            rlhf.rlhf(
                SHORT,
                Models(actor, critic, reference, lambda p, r: len(r)),
                ["ab"],
                tokenizer=Letters(8),
                hardware=Hardware(profile),
            )
        )
        runs.append((sum(calls), [p.detach().clone() for p in actor.parameters()], rows, actor.training))
    (once, expected, _, _), (twice, ours, rows, training) = runs
    assert twice == 2 * once and not training and len(rows) == 3
    for a, b in zip(ours, expected):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_roles_keep_the_reference_apart():
    model = letters().bfloat16()
    actor, critic, reference = roles(model, Profile())
    assert actor is model and {p.dtype for m in (actor, critic, reference) for p in m.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in reference.parameters()) and roles(model, Profile(), critic=False)[1] is None


# ---- memory ----------------------------------------------------------------------------------------------------------

Q = {
    "vocab_size": 2000,
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "eos_token_id": 1,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "max_position_embeddings": 512,
    "bos_token_id": None,
}
HALF = Profile(half=torch.bfloat16)
CASES = {  # model, profile, batch, columns of prompts, tokens of replies, rows at a time
    "plain": (Qwen2Config(**Q), Profile(), 32, 24, 24, 8),
    "one micro-batch": (Qwen2Config(**Q), Profile(), 32, 24, 24, 32),
    "vocabulary": (Qwen2Config(**Q | {"vocab_size": 30_000}), Profile(), 16, 16, 16, 8),
    "weights": (LlamaConfig(**Q | {"hidden_size": 256, "intermediate_size": 1024}), Profile(), 8, 16, 16, 2),
    "cache": (LlamaConfig(**Q | {"num_key_value_heads": 4, "num_hidden_layers": 8}), Profile(), 96, 24, 16, 6),
    "gpt2": (
        GPT2Config(vocab_size=2000, n_embd=64, n_layer=4, n_head=4, eos_token_id=1, pad_token_id=0),
        Profile(),
        32,
        24,
        24,
        16,
    ),
    "computed twice": (Qwen2Config(**Q), Profile(gradient_checkpointing=True), 32, 24, 24, 16),
    "half": (Qwen2Config(**Q), replace(HALF, static_decode=True), 32, 24, 24, 8),
    "lora": (Qwen2Config(**Q | {"hidden_size": 128}), Profile(lora_rank=8), 32, 24, 24, 8),
    "all of it": (
        Qwen2Config(**Q | {"hidden_size": 128}),
        replace(HALF, lora_rank=8, gradient_checkpointing=True, static_decode=True, micro_tokens=500),
        32,
        24,
        24,
        16,
    ),
}


class Numbers(Letters):
    """A tokenizer that makes a token of every letter, and words of no replies."""

    eos_token_id, pad_token_id = 1, 0

    def __call__(self, text, **_):
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_plan_is_within_15_percent_of_the_measured_peak(case):
    model_config, profile, batch, prompt, reply, micro = CASES[case]
    if profile.lora_rank:
        lora()
    config = RLHFConfig(iterations=2, batch=batch, epochs=1, micro_batch=micro, max_new_tokens=reply)
    planned = plan(model_config, profile, config, prompt=prompt)
    model = AutoModelForCausalLM.from_config(model_config)
    actor, critic, reference = roles(model, profile)
    texts = ["".join(chr(97 + (7 * i + j) % 26) for j in range(prompt - i % 3)) for i in range(5)]
    with Counter(model, critic, reference) as counter:
        rows = list(
            rlhf.rlhf(
                config,
                Models(actor, critic, reference, lambda p, r: 1.0),
                texts,
                tokenizer=Numbers(0),
                hardware=Hardware(profile),
            )
        )
    assert rows[-1]["length"] > 0.9 * reply, "replies as long as planned"
    assert planned.peak == pytest.approx(counter.peak, rel=0.15), str(planned)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sft", "reward"])
@pytest.mark.parametrize("case", ["plain", "one micro-batch", "vocabulary", "weights", "half", "all of it"])
def test_the_plan_of_a_supervised_stage_is_within_15_percent_of_the_measured_peak(case, what):
    model_config, profile, batch, prompt, reply, micro = CASES[case]
    if profile.lora_rank:
        lora()
    config = SupervisedConfig(steps=2, batch=batch, micro_batch=micro)
    model, *_ = roles(AutoModelForCausalLM.from_config(model_config), profile, critic=False)
    texts = ["".join(chr(97 + (7 * i + j) % 26) for j in range(prompt)) for i in range(batch)]
    words = [text[: reply - 1] for text in texts]  # and their end
    if what == "sft":
        planned = plan(model_config, profile, config, prompt=prompt, reply=reply)
        run, examples = supervised.sft, [data.Pair(*pair) for pair in zip(texts, words)]
    else:
        config = replace(config, batch=batch // 2, micro_batch=micro // 2)  # rankings of two replies
        planned = plan(model_config, profile, config, prompt=prompt + reply, together=2)
        model = ScalarModel.reward(model)
        run, examples = reward.train_reward, [data.Ranking(x, (y, y[::-1])) for x, y in zip(texts, words)]
    with Counter(model, *getattr(getattr(model, "trunk", model), "whole", ())) as counter:
        list(run(model, Numbers(0), examples, config, seed=0, hardware=Hardware(profile)))
    assert planned.peak == pytest.approx(counter.peak, rel=0.15), f"{planned}; {counter.peak / GIB:.3f} GiB"


def test_the_counter_counts():
    with Counter() as counter:
        x = torch.zeros(1000)
        y = x + 1
        view = y[:10]
        assert counter.now == 8000
        del x, y
        assert counter.now == 4000
        del view
        assert counter.now == 0 and counter.peak == 8000
        z = torch.ones(500, requires_grad=True)
        (z * z).exp().sum().backward()
        assert counter.now == 4000  # z and its gradient


QWEN = Qwen2Config(
    vocab_size=151_936,
    hidden_size=896,
    intermediate_size=4864,
    num_attention_heads=14,
    num_key_value_heads=2,
    num_hidden_layers=24,
    tie_word_embeddings=True,
)
LLAMA_70B = LlamaConfig(
    vocab_size=128_256,
    hidden_size=8192,
    intermediate_size=28_672,
    num_attention_heads=64,
    num_key_value_heads=8,
    num_hidden_layers=80,
)
BATCH = RLHFConfig(batch=64, max_new_tokens=128)
SMALL = replace(BATCH, micro_batch=1, max_new_tokens=8)  # on a CPU a dry run goes through the head in many pieces


@pytest.mark.slow
def test_large_models_are_planned_without_their_weights():
    full = plan(QWEN, choose("gpu", H200, static_decode=False), BATCH, prompt=128)
    assert full.weights == 4 * (2 * 494_032_768 + 494_032_768), "actor, reference and a critic on the tied trunk"
    assert full.optimizer == 2 * full.gradients == 8 * 2 * 494_032_768
    assert full.cache == 12_288 * 2 * 64 * 256, "24 layers x 2 heads x 64 numbers, keys and values, float32"
    lora()
    thrifty = plan(QWEN, choose("t4", T4), BATCH, prompt=128)
    assert thrifty.peak < 15 * GIB < plan(QWEN, choose("gpu", T4), BATCH, prompt=128).peak
    large = plan(LLAMA_70B, choose("gpu", H200), BATCH, prompt=128)
    assert large.weights > 700 * GIB and large.peak > large.weights + large.optimizer
    assert "GiB at the peak (weights" in str(large)


@pytest.mark.slow
def test_a_reward_model_and_no_critic_are_counted():
    judged, alone = (plan(QWEN, Profile(), SMALL, prompt=128, reward=r) for r in (QWEN, None))
    assert judged.peak - alone.peak == judged.weights - alone.weights == 4 * 494_032_768
    group = replace(SMALL, advantages="group", replies=4)
    assert plan(QWEN, Profile(), group, prompt=128).gradients * 2 == alone.gradients


@pytest.mark.slow
def test_supervised_stages_are_planned_and_refused_too():
    lora()
    config, small = SupervisedConfig(batch=32), choose("gpu", Machine("small", (8, 0), 3 * GIB))
    for about in ({"prompt": 64, "reply": 64}, {"prompt": 128, "together": 4}):
        made = plan(QWEN, choose("gpu", H200), config, **about)
        assert made.optimizer == 2 * made.gradients == 2 * made.weights == 8 * 494_032_768, "one model, which learns"
        assert made.cache == made.sampling == 0
        with pytest.raises(
            ValueError, match=r"GiB at the peak .* and 3\.00 GiB are there\. It fits with .*lora_rank=16"
        ):
            enough(QWEN, small, config, **about)
        changes, made = fit(QWEN, small, config, **about)
        assert enough(QWEN, replace(small, **changes), config, **about) == made and "batch" not in changes


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_what_does():
    lora()
    small = choose("gpu", T4)
    with pytest.raises(
        ValueError, match=r"needs .* GiB at the peak .* 15\.00 GiB are there\. It fits with .*lora_rank=16"
    ):
        enough(QWEN, small, BATCH, prompt=128)
    changes, made = fit(QWEN, small, BATCH, prompt=128)
    assert made.peak < 15 * GIB
    card = choose("gpu", Machine("sold as 24 GB", (8, 6), 24 * GIB))  # whose nearest setting alone would fill it
    changes, made = fit(QWEN, card, replace(BATCH, batch=256, max_new_tokens=256), prompt=128)
    assert made.peak <= 23 * GIB and changes, "CUDA needs its own"
    with pytest.raises(ValueError, match=r"CUDA keeps about 0\.94 GiB for itself"):
        enough(QWEN, small, BATCH, prompt=128)
    changes, made = fit(QWEN, small, BATCH, prompt=128)
    again = replace(small, **{k: v for k, v in changes.items() if k != "batch"})
    assert enough(QWEN, again, replace(BATCH, batch=changes.get("batch", 64)), prompt=128) == made
    assert fit(QWEN, choose("auto", H200), BATCH, prompt=128)[0] == {}, "as it is"
    assert fit(LLAMA_70B, small, BATCH, prompt=128) is None
    with pytest.raises(ValueError, match="a smaller model, or several GPUs"):
        enough(LLAMA_70B, small, BATCH, prompt=128)
    assert enough(QWEN, Profile(), SMALL, prompt=128).peak > 15 * GIB, "of a CPU nothing is known"


# ---- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [load_language_model, load_tokenizer, ScalarModel.load], ids=lambda f: f.__qualname__)
def test_folders_that_are_not_models(load, tmp_path):
    if load != ScalarModel.load:  # which speaks for itself
        with pytest.raises(ValueError, match="holds no saved model"):
            load_or_explain(load, tmp_path)
        with pytest.raises(ValueError, match="there is no such folder"):
            load_or_explain(load, "./no/such/folder")
    with pytest.raises(ValueError):
        load_or_explain(load, tmp_path)


@pytest.mark.slow
def test_no_network_is_one_sentence():
    program = (
        "from ppo_lesson.language.loading import load_or_explain\n"
        "from ppo_lesson.language.models import load_language_model\n"
        "from ppo_lesson.language.text import load_tokenizer\n"
        "for load in (load_language_model, load_tokenizer):\n"
        "    try: load_or_explain(load, 'nobody/no-such-model')\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all("nobody/no-such-model: not a folder here, and the hub cannot be" in x for x in lines)
    assert "hf download" in lines[0] and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "words", "what"),
    [
        ("GatedRepoError", "401", "accept a licence.*hf auth login"),
        ("RepositoryNotFoundError", "404", "look at the spelling"),
        ("ConnectError", "[Errno 111] Connection refused", "the hub cannot be reached"),
        ("OSError", "x is not a local folder and is not a valid model identifier", "look at the spelling"),
        ("RuntimeError", "DefaultCPUAllocator: can't allocate memory", "too little memory"),
        ("OutOfMemoryError", "CUDA out of memory", "too little memory"),
    ],
)
def test_errors_behind_errors_are_understood(kind, words, what):
    def load(name):
        try:
            raise type(kind, (RuntimeError,), {})(words)
        except RuntimeError as error:
            raise OSError("something went wrong") from error

    with pytest.raises(ValueError, match=what):
        load_or_explain(load, "some/model")


def test_other_errors_stay_as_they_are():
    def load(name):
        raise ValueError("the tokenizer has no EOS")

    with pytest.raises(ValueError, match=r"^the tokenizer has no EOS$"):
        load_or_explain(load, "some/model")
