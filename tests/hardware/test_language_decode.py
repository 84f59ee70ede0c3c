"""The cache of fixed size: the same replies as `generate`, whatever is padded, ended or left from the last call."""

import copy

import pytest
import torch
from tiny_language import EOS, KINDS, PAD, VOCAB, Letters, build, from_disk, prompts

from ppo_lesson.hardware import decode
from ppo_lesson.hardware.decode import Decoder, decoder
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.profile import Profile
from ppo_lesson.language import rlhf
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.sampling import full_mask, generate, response_mask, token_logps

T = 20


def uniforms(rows, seed=0):
    return torch.rand(rows, T, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frequent(model, ids, mask, u, temperature):
    """The token that most replies hold: as EOS it ends them, at different times."""
    nothing = {"eos_id": VOCAB, "pad_id": PAD}
    out = generate(model, ids, mask, max_new_tokens=T, temperature=temperature, uniforms=u, **nothing)[:, -T:]
    return max(range(VOCAB), key=lambda token: int((out == token).any(-1).sum()))


def both(model, decode, ids, mask, u, *, temperature=0.8, eos_id=None, pad_id=PAD):
    eos_id = frequent(model, ids, mask, u, temperature) if eos_id is None else eos_id
    about = {"max_new_tokens": T, "temperature": temperature, "eos_id": eos_id, "pad_id": pad_id, "uniforms": u}
    return generate(model, ids, mask, return_logps=True, **about), decode(model, ids, mask, return_logps=True, **about)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_it_draws_the_tokens_of_generate(kind, temperature, tmp_path):
    model = from_disk(kind, tmp_path)
    ids, mask = prompts((3, 7, 1, 5, 2, 6))
    (expected, logps), (ours, ours_logps) = both(
        model, Decoder(prompt=11), ids, mask, uniforms(6), temperature=temperature
    )
    assert len(set((expected[:, -T:] != PAD).sum(-1).tolist())) > 2, "replies end at different times"
    assert torch.equal(ours, expected)
    torch.testing.assert_close(ours_logps, logps, atol=1e-4, rtol=0)
    assert ours_logps[0].abs().sum() > 1


def test_fewer_key_heads_than_query_heads(tmp_path):
    model = from_disk("qwen2", tmp_path, hidden_size=32, num_attention_heads=4, num_key_value_heads=2)
    ids, mask = prompts((3, 7, 1, 5))
    (expected, logps), (ours, ours_logps) = both(model, Decoder(prompt=7), ids, mask, uniforms(4))
    assert torch.equal(ours, expected)
    torch.testing.assert_close(ours_logps, logps, atol=1e-4, rtol=0)


def test_a_second_call_remembers_nothing_of_the_first(tmp_path):
    model, decode = from_disk("llama", tmp_path), Decoder(prompt=9)
    for seed, lengths in enumerate([(7, 7, 7, 7), (3, 1, 2, 4), (9, 1, 1, 5)]):
        ids, mask = prompts(lengths, seed=seed)
        before = decode.settings
        (expected, logps), (ours, ours_logps) = both(model, decode, ids, mask, uniforms(4, seed), eos_id=8)
        assert torch.equal(ours, expected) and (before is None or decode.settings == before)
        torch.testing.assert_close(ours_logps, logps, atol=1e-4, rtol=0)
    ids, mask = prompts((2, 3))  # another shape: new memory
    (expected, _), (ours, _) = both(model, decode, ids, mask, uniforms(2))
    assert torch.equal(ours, expected)


def test_pad_equal_to_eos(tmp_path):
    model = from_disk("llama", tmp_path)
    end = frequent(model, *prompts((3, 5)), uniforms(2), 0.8)
    ids, mask = prompts((3, 5), pad=end)
    (expected, _), (ours, _) = both(model, Decoder(prompt=5), ids, mask, uniforms(2), pad_id=end)
    assert (ours == end).any()
    assert torch.equal(ours, expected)


def test_it_stops_soon_after_all_have_ended(tmp_path, monkeypatch):
    model, steps = from_disk("llama", tmp_path), []
    monkeypatch.setattr(decode, "EVERY", 4)
    real = Decoder._step
    monkeypatch.setattr(Decoder, "_step", lambda self, model: steps.append(1) or real(self, model))
    ids, mask = prompts((3, 5))
    made = Decoder(prompt=5)
    end = frequent(model, ids, mask, uniforms(2), 1.0)
    about = {"max_new_tokens": 40, "eos_id": end, "pad_id": PAD, "uniforms": uniforms(2).repeat(1, 2)}
    out = made(model, ids, mask, **about)
    longest = int(((out[:, 5:] == end).cumsum(-1) == 0).sum(-1).max()) + 1
    assert longest <= len(steps) + 1 <= longest + 4 < 40
    assert (out[:, 5 + longest :] == PAD).all()


def test_a_half_copy_follows_the_weights():
    model = without_dropout(build("qwen2"))
    ids, mask = prompts((3, 5))
    made = Decoder(prompt=5, half=torch.bfloat16)
    about = {"max_new_tokens": T, "eos_id": EOS, "pad_id": PAD, "uniforms": uniforms(2), "return_logps": True}
    for _ in range(2):
        ours, logps = made(model, ids, mask, **about)
        half = copy.deepcopy(model)
        for p in half.parameters():
            p.data = p.data.bfloat16()
        real = response_mask(ours[:, -T:], EOS)
        expected = token_logps(half, ours, full_mask(mask, real), T)
        torch.testing.assert_close(logps, expected, atol=0.15, rtol=0)
        assert (token_logps(model, ours, full_mask(mask, real), T) - logps).abs().max() > 1e-4, "it did round"
        for p in model.parameters():
            p.data.mul_(1.5)
    assert made.twin.lm_head.weight.dtype == torch.bfloat16 and model.lm_head.weight.dtype == torch.float32
    assert made.twin.model.rotary_emb.inv_freq.dtype == torch.float32, "places stay exact"


def test_rlhf_trains_the_same_with_either():
    config = RLHFConfig(iterations=2, batch=8, minibatches=2, micro_batch=4, max_new_tokens=6, lr=1e-3, warmup=0)
    runs = []
    for profile in (Profile(), Profile(static_decode=True)):
        model = without_dropout(build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0))
        actor, critic = copy.deepcopy(model), ScalarModel.critic(model)
        rows = list(
            rlhf.rlhf(
                config,
                Models(actor, critic, model, lambda p, r: len(r)),
                ["ab", "c", "gfe"],
                tokenizer=Letters(8),
                hardware=Hardware(profile),
            )
        )
        runs.append([actor, rows])
    (a, expected), (b, rows) = runs
    assert [r["replies"] for r in rows] == [r["replies"] for r in expected]
    for x, y in zip(a.parameters(), b.parameters()):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=0)


def test_what_it_cannot_do_is_left_to_generate():
    texts = [("a", [1]), ("abc", [1, 2, 3])]
    llama = without_dropout(build("llama"))
    assert decoder(llama, texts, Profile()) is generate
    sliding = build("qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1).eval()
    assert decoder(sliding, texts, Profile(static_decode=True)) is generate
    assert decoder(llama, texts, Profile(static_decode=True)).prompt == 3


def test_bad_input_is_refused(tmp_path):
    model = from_disk("llama", tmp_path)
    ids, mask = prompts((3, 5))
    about = {"max_new_tokens": T, "eos_id": EOS, "pad_id": PAD, "uniforms": uniforms(2)}
    with pytest.raises(ValueError, match="this decoder was made for 4"):
        Decoder(prompt=4)(model, ids, mask, **about)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Decoder(prompt=5)(model, ids, mask, temperature=0.0, **about)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        Decoder(prompt=5)(model, ids, mask, **about)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_graph_draws_the_same():
    model = without_dropout(build("qwen2")).cuda()
    ids, mask = (x.cuda() for x in prompts((3, 7, 1, 5)))
    made = Decoder(prompt=9)
    for seed in range(3):
        (expected, logps), (ours, ours_logps) = both(model, made, ids, mask, uniforms(4, seed).cuda())
        assert torch.equal(ours, expected) and made.graph is not None
        torch.testing.assert_close(ours_logps, logps, atol=1e-4, rtol=0)
