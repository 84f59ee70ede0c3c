"""Masks, the shift by one, positions, temperature, memory: where ratios that should be 1 stop being 1."""

import itertools
import json
import math

import pytest
import torch
from tiny_language import EOS, KINDS, PAD, VOCAB, build, from_disk, prompts, with_cache_called
from transformers import AutoConfig, AutoModelForCausalLM

from ppo_lesson.language import head, sampling
from ppo_lesson.language.models import ScalarModel, load_language_model, without_dropout
from ppo_lesson.language.sampling import (
    context_limit,
    full_mask,
    generate,
    positions,
    response_mask,
    token_logps,
    token_values,
)
from ppo_lesson.objectives import surrogate


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {kind: from_disk(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture
def model(models):
    return models["gpt2"]  # the most easily hurt: absolute positions, dropout 0.1 in its configuration


def sample(model, ids, mask, *, seed=0, tokens=12, eos=EOS, pad=PAD, **named):
    generator = torch.Generator().manual_seed(seed)
    return generate(
        model, ids, mask, max_new_tokens=tokens, eos_id=eos, pad_id=pad, generator=generator, return_logps=True, **named
    )


def masks(out, prompt_mask, eos=EOS):
    reply = response_mask(out[:, prompt_mask.shape[1] :], eos)
    return reply, full_mask(prompt_mask, reply)


def plain_logps(model, ids, mask, temperature=1.0):
    """(B, L - 1): log pi(ids[:, 1:]) from the model's own logits, all at once."""
    logits = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions(mask)).logits
    return (logits / temperature).float().log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_goes_by_the_name_that_this_transformers_has_for_it(kind, name):
    """5.24 calls it cache, older ones past_key_values; from 5.40 on the old name would be passed over in silence."""
    (ids, mask), model = prompts(), build(kind).eval()
    expected = sample(model, ids, mask)
    for x, y in zip(sample(with_cache_called(name, model), ids, mask), expected):
        assert torch.equal(x, y)


# ---- masks and positions ---------------------------------------------------------------------------------------------


def test_a_reply_lasts_up_to_its_first_end_that_one_included():
    responses = torch.tensor([[5, 1, 1, 0], [5, 6, 7, 8], [1, 5, 5, 1], [0, 0, 1, 0], [5, 6, 7, 1]])
    expected = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    assert torch.equal(response_mask(responses, 1), expected)
    assert response_mask(responses[:, :0], 1).shape == (5, 0)


def test_pad_equal_to_eos_loses_no_end():
    assert response_mask(torch.tensor([[5, 6, 1, 1, 1]]), 1).sum() == 3


def test_positions_count_real_tokens_only():
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
    assert positions(mask).tolist() == [[0, 0, 0, 1, 2, 2], [0, 1, 2, 3, 4, 5]]
    assert full_mask(mask[:, :2], mask[:, 2:]).tolist() == mask.bool().tolist()


# ---- sampled and scored ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("kind", KINDS)
def test_trap_10_temperature_a_sampled_token_scores_what_the_sampler_gave_it(models, kind, temperature):
    model = models[kind]
    ids, mask = prompts((3, 7, 1, 5) * 6)
    out, logps = sample(model, ids, mask, temperature=temperature)
    reply, full = masks(out, mask)
    assert reply.any() and not reply.all(), "this test needs replies that end and replies that go on"
    again = token_logps(model, out, full, 12, temperature=temperature)
    assert again.dtype == logps.dtype == torch.float32 and again.shape == (24, 12)
    torch.testing.assert_close(again[reply], logps[reply], atol=1e-4, rtol=0)
    plain = plain_logps(model, out, full, temperature)[:, -12:]
    torch.testing.assert_close(again, torch.where(reply, plain, 0.0), atol=1e-5, rtol=0)
    assert not logps[~reply].any() and (out[:, 7:][~reply] == PAD).all()
    other = token_logps(model, out, full, 12, temperature=temperature + 0.3)
    assert (other - logps)[reply].abs().max() > 0.05, "another temperature is another policy"


@pytest.mark.parametrize("kind", KINDS)
def test_trap_1_the_first_ratio_is_exactly_one(models, kind):
    model = models[kind]
    ids, mask = prompts()
    out, _ = sample(model, ids, mask)
    reply, full = masks(out, mask)
    with torch.no_grad():
        old = token_logps(model, out, full, 12)
    new = token_logps(model, out, full, 12)
    assert torch.equal((new - old).exp()[reply], torch.ones(int(reply.sum())))
    advantages = torch.linspace(-1, 2, 48).view(4, 12)
    surrogate(new[reply], old[reply], advantages[reply]).sum().backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    (plain_logps(model, out, full)[:, -12:] * advantages)[reply].sum().backward()  # REINFORCE, another way
    theirs = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_trap_3_pad_equal_to_eos_changes_nothing(models, kind):
    ids, mask = prompts()
    same, same_mask = prompts(pad=EOS)
    out, logps = sample(models[kind], ids, mask)
    out_same, logps_same = sample(models[kind], same, same_mask, pad=EOS)
    reply, full = masks(out, mask)
    reply_same, full_same = masks(out_same, same_mask)
    assert torch.equal(reply, reply_same) and torch.equal(full, full_same) and torch.equal(logps, logps_same)
    assert torch.equal(out[full], out_same[full])
    a, b = (token_logps(models[kind], x, full, 12) for x in (out, out_same))
    assert torch.equal(a[reply], b[reply])


@pytest.mark.parametrize("kind", KINDS)
def test_trap_9_padding_on_the_left_moves_no_position(models, kind):
    model = models[kind]
    ids, mask = prompts()
    out, _ = sample(model, ids, mask)
    reply, full = masks(out, mask)
    together = token_logps(model, out, full, 12)
    for i, n in enumerate((3, 7, 1, 5)):
        alone = out[i : i + 1, 7 - n :]
        t = int(reply[i].sum())
        logp = token_logps(model, alone[:, : n + t], torch.ones(1, n + t, dtype=torch.bool), t)
        torch.testing.assert_close(logp[0], together[i, :t], atol=1e-5, rtol=0)
    wider = torch.cat([torch.full((4, 5), PAD), out], 1)
    wide_mask = torch.cat([torch.zeros(4, 5, dtype=torch.bool), full], 1)
    torch.testing.assert_close(token_logps(model, wider, wide_mask, 12)[reply], together[reply], atol=1e-5, rtol=0)


def test_trap_20_the_end_is_an_action_and_an_end_in_the_prompt_is_none(model):
    ids, mask = prompts()
    assert (ids == EOS).any(-1).tolist() == [True, True, False, True]
    out, _ = sample(model, ids, mask, tokens=30)
    reply, full = masks(out, mask)
    ended = (out[:, 7:] == EOS).any(-1)
    assert ended.any()
    assert (out[:, 7:][reply] == EOS).sum() == ended.sum(), "every reply that ended counts its end once"
    assert reply[:, 0].all(), "no reply is over before it begins"
    logps = token_logps(model, out, full, 30)
    (gradient,) = torch.autograd.grad(-logps[reply & (out[:, 7:] == EOS)].sum(), model.lm_head.weight)
    assert gradient[EOS].norm() > 0


def test_trap_24_a_reply_that_is_cut_keeps_the_tokens_that_were_sampled(model):
    ids, mask = prompts()
    long, long_logps = sample(model, ids, mask, tokens=12)
    out, logps = sample(model, ids, mask, tokens=2)
    assert torch.equal(out, long[:, :9]) and torch.equal(logps, long_logps[:, :2])
    cut = ~(out[:, 7:] == EOS).any(-1)
    assert cut.any() and masks(out, mask)[0][cut].all(), "all of it counts, and no end is put behind it"


def test_what_stands_after_the_end_reaches_nothing(model):
    ids, mask = prompts()
    out, _ = sample(model, ids, mask)
    reply, full = masks(out, mask)
    other = torch.where(full, out, torch.full_like(out, 9))
    a, b = (token_logps(model, x, full, 12) for x in (out, other))
    assert torch.equal(a[reply], b[reply]) and a.isfinite().all() and b.isfinite().all()
    a[reply].sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.zero_grad()


# ---- nothing but the temperature -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_trap_2_a_hostile_generation_config_changes_nothing(models, kind, tmp_path):
    ids, mask = prompts()
    expected, logps = sample(models[kind], ids, mask)
    hostile = build(kind)
    hostile.generation_config.update(
        do_sample=True, top_k=3, top_p=0.5, temperature=0.3, repetition_penalty=1.9, min_new_tokens=6
    )
    hostile.save_pretrained(tmp_path)
    read = load_language_model(tmp_path)
    assert read.generation_config.top_k == 3 and read.generation_config.repetition_penalty == 1.9
    out, again = sample(read, ids, mask)
    assert torch.equal(out, expected) and torch.equal(again, logps)


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_tokens_come_as_often_as_the_softmax_says(model, temperature):
    n = 20_000
    ids, mask = prompts((4,))
    out = generate(
        model,
        ids.expand(n, -1),
        mask.expand(n, -1),
        max_new_tokens=1,
        temperature=temperature,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(3),
    )
    with torch.no_grad():
        expected = n * (model(ids).logits[0, -1] / temperature).softmax(-1)
    counts = torch.bincount(out[:, -1], minlength=VOCAB)
    often = expected >= 5
    chi = ((counts - expected)[often] ** 2 / expected[often]).sum()
    if not often.all():
        chi += (counts[~often].sum() - expected[~often].sum()) ** 2 / expected[~often].sum()
    degrees = int(often.sum()) - int(often.all())
    assert degrees > 10 and chi < degrees + 4 * math.sqrt(2 * degrees)


def test_a_token_without_probability_is_never_drawn():
    logits = torch.full((5000, 700), -torch.inf)
    g = torch.Generator().manual_seed(0)
    logits[:, [3, 255, 256, 600]] = torch.tensor([0.1, 0.2, 0.3, 0.4]).log() + 7.0
    tokens, logp = sampling.inverse_cdf(logits, torch.rand(5000, 1, generator=g, dtype=torch.float64))
    shares = torch.bincount(tokens, minlength=700) / 5000
    assert set(tokens.tolist()) == {3, 255, 256, 600} and abs(shares[600] - 0.4) < 0.03 and abs(shares[3] - 0.1) < 0.02
    torch.testing.assert_close(logp, logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0])
    for u, token in ((0.0, 3), (1.0, 600), (1 - 1e-17, 600)):
        assert sampling.inverse_cdf(logits[:1], torch.tensor([[u]], dtype=torch.float64))[0] == token, "not by rounding"


@pytest.mark.parametrize("size", [5, 255, 256, 257, 1539])
def test_it_draws_what_one_long_sum_of_probabilities_would(size):
    g = torch.Generator().manual_seed(size)
    logits, u = 3 * torch.randn(400, size, generator=g), torch.rand(400, 1, generator=g, dtype=torch.float64)
    expected = torch.searchsorted(logits.double().softmax(-1).cumsum(-1), u, right=True)[:, 0]
    assert torch.equal(sampling.inverse_cdf(logits, u)[0], expected)


def test_the_probabilities_of_all_replies_sum_to_one():
    model = without_dropout(build("llama", vocab_size=4))
    replies = torch.tensor(list(itertools.product(range(4), repeat=3)))
    out = torch.cat([torch.tensor([[2, 3]]).expand(64, -1), replies], 1)
    reply, full = masks(out, torch.ones(64, 2, dtype=torch.bool))
    real = torch.where(reply, replies, PAD)
    once = {tuple(r): i for i, r in enumerate(real.tolist())}  # replies that differ after their end are one reply
    assert len(once) == 1 + 3 + 9 + 27  # ended at once, after one, after two; and those of three tokens
    logp = torch.where(reply, token_logps(model, out, full, 3), 0.0).sum(-1)
    assert logp[list(once.values())].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_entropy_is_that_of_the_tempered_distribution(model):
    ids, mask = prompts()
    out, _ = sample(model, ids, mask, tokens=5)
    _, full = masks(out, mask)
    logps, entropies = token_logps(model, out, full, 5, temperature=0.7, with_entropy=True)
    assert torch.equal(logps, token_logps(model, out, full, 5, temperature=0.7))
    logits = model(input_ids=out, attention_mask=full.long(), position_ids=positions(full)).logits[:, 6:-1] / 0.7
    torch.testing.assert_close(entropies, torch.distributions.Categorical(logits=logits).entropy(), atol=1e-5, rtol=0)


def test_trap_23_log_softmax_is_float32_even_under_bfloat16():
    model = without_dropout(build("llama", vocab_size=4000)).bfloat16()
    out, mask = torch.arange(2, 22)[None], torch.ones(1, 20, dtype=torch.bool)
    with torch.no_grad():
        logits = model(out).logits
        ours, exact = token_logps(model, out, mask, 19), logits.double().log_softmax(-1)
        worse = logits.log_softmax(-1)
    assert logits.dtype == torch.bfloat16 and ours.dtype == torch.float32
    exact, worse = (x[:, :-1].gather(-1, out[:, 1:, None])[..., 0] for x in (exact, worse))
    assert (ours - exact).abs().max() < 1e-4 < 1e-2 < (worse - exact).abs().max()


# ---- the shift by one ------------------------------------------------------------------------------------------------


def test_a_value_is_read_where_the_token_is_decided():
    class Place(torch.nn.Module):
        def forward(self, ids, attention_mask, position_ids):
            return position_ids.float()

    ids, mask = prompts((3, 7))
    full = full_mask(mask, torch.ones(2, 4, dtype=torch.bool))
    values = token_values(Place(), torch.cat([ids, ids[:, :4]], 1), full, 4)
    assert values.tolist() == [[2, 3, 4, 5], [6, 7, 8, 9]]


@pytest.mark.parametrize("kind", KINDS)
def test_trap_6_a_token_changes_the_next_value_and_not_its_own(models, kind):
    critic = ScalarModel.reward(models[kind])
    ids, mask = prompts((3, 7))
    out = torch.cat([ids, torch.arange(2, 14).view(2, 6)], 1)
    full = full_mask(mask, torch.ones(2, 6, dtype=torch.bool))
    values = token_values(critic, out, full, 6)
    for t in range(6):
        other = out.clone()
        other[:, 7 + t] = 30
        changed = (token_values(critic, other, full, 6) - values).abs() > 1e-5
        assert not changed[:, : t + 1].any(), "y_t is not yet known where V_t is read"
        assert t == 5 or changed[:, t + 1].all()
        logps = (token_logps(models[kind], other, full, 6) - token_logps(models[kind], out, full, 6)).abs() > 1e-5
        assert not logps[:, :t].any() and logps[:, t].all()


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_the_trunks_own_and_0_at_padding(models, kind):
    ids, left = prompts((3, 7, 1, 5))
    mask = torch.cat([left.bool(), torch.arange(4) < torch.tensor([[2], [0], [4], [1]])], -1)  # padding on both sides
    ids = torch.cat([ids, torch.full((4, 4), 9)], -1)
    trunk = models[kind].base_model
    found = sampling.hidden_states(trunk, ids, mask)
    plain = trunk(input_ids=ids, attention_mask=mask.long(), position_ids=positions(mask)).last_hidden_state
    torch.testing.assert_close(found[mask], plain[mask], atol=1e-5, rtol=1e-4)
    assert not found[~mask].any() and plain[~mask].any()


# ---- memory and time -------------------------------------------------------------------------------------------------


WHOLE = 5 * 15 * VOCAB  # logits of `scored`


def scored(model, **about):
    """token_logps of five texts of 20 tokens, 15 of them replies."""
    out = torch.randint(2, VOCAB, (5, 20), generator=torch.Generator().manual_seed(1))
    return token_logps(model, out, torch.ones(5, 20, dtype=torch.bool), 15, **about)


def gradients(model, logps):
    """Of a weighted sum of logps, (5, 15), with respect to every weight; None where nothing learns."""
    model.zero_grad()
    (logps * torch.linspace(-1, 1, 75).view(5, 15)).sum().backward()
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


def watch_blocks(monkeypatch):
    """The sizes of all blocks of logits that are made, in a list that grows."""
    sizes, blocks = [], head._blocks

    def watched(*about):
        for number, rows, columns in blocks(*about):
            sizes.append((rows.stop - rows.start) * (columns.stop - columns.start))
            yield number, rows, columns

    monkeypatch.setattr(head, "_blocks", watched)
    return sizes


@pytest.mark.parametrize("columns", [7, 4096])
@pytest.mark.parametrize("most", [WHOLE, WHOLE - 1, 7 * VOCAB, VOCAB, 30])
def test_scoring_never_holds_all_logits_and_its_gradient_is_the_plain_one(monkeypatch, most, columns):
    monkeypatch.setattr(head, "LOGITS", most)
    monkeypatch.setattr(head, "TOKENS", columns)
    model = without_dropout(build("llama"))
    out = torch.randint(2, VOCAB, (5, 20), generator=torch.Generator().manual_seed(1))
    plain = plain_logps(model, out, torch.ones(5, 20, dtype=torch.bool))[:, -15:]
    expected, sizes, kept = gradients(model, plain), watch_blocks(monkeypatch), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        logps = scored(model)
    assert any(s[-1:] == (VOCAB,) for s in kept) == (most == WHOLE), "what is computed again is not kept"
    torch.testing.assert_close(logps, plain, atol=1e-5, rtol=0)
    for own, right in zip(gradients(model, logps), expected):
        torch.testing.assert_close(own, right, atol=2e-5, rtol=1e-4)
    assert sum(sizes) == (0 if most == WHOLE else 2 * WHOLE), "once there, once back"
    assert max(sizes, default=0) <= most


@pytest.mark.parametrize("kind", ["entropy", "bias", "cap"])
def test_a_head_that_is_more_than_a_matrix_is_computed_again_in_rows(monkeypatch, kind):
    model = without_dropout(build("llama"))
    if kind == "bias":
        model.set_output_embeddings(torch.nn.Linear(16, VOCAB))
    if kind == "cap":
        model.config.final_logit_softcapping = 2.0

    def both():
        found = scored(model, with_entropy=kind == "entropy")
        return found[0] + found[1] if kind == "entropy" else found

    once, made, sizes = both(), [], watch_blocks(monkeypatch)
    expected = gradients(model, once)
    monkeypatch.setattr(head, "LOGITS", 7 * VOCAB)
    hook = model.get_output_embeddings().register_forward_hook(lambda module, inputs, out: made.append(out.numel()))
    again = both()
    assert sum(made) == WHOLE and max(made) == 7 * VOCAB and not sizes
    torch.testing.assert_close(again, once, atol=1e-6, rtol=0)
    for own, right in zip(gradients(model, again), expected):
        torch.testing.assert_close(own, right, atol=2e-5, rtol=1e-4)
    hook.remove()


def test_blocks_in_half_precision_give_what_the_head_gives_there(monkeypatch):
    model = without_dropout(build("llama"))
    results = []
    for most in (WHOLE, 7 * VOCAB):
        monkeypatch.setattr(head, "LOGITS", most)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logps = scored(model)
        assert logps.dtype == torch.float32
        results.append((logps.detach(), gradients(model, logps)))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=0)  # the same rounded logits
    for once, blocks in zip(results[0][1], results[1][1]):
        assert blocks.dtype == torch.float32
        torch.testing.assert_close(once, blocks, atol=0.02 * once.abs().max().item(), rtol=0)


def test_a_frozen_head_gets_no_gradient_and_passes_it_on(monkeypatch):
    monkeypatch.setattr(head, "LOGITS", 7 * VOCAB)
    model = without_dropout(build("llama"))
    expected = gradients(model, scored(model))
    model.lm_head.weight.requires_grad_(False)
    for own, right, (name, _) in zip(gradients(model, scored(model)), expected, model.named_parameters()):
        assert own is None if name == "lm_head.weight" else torch.equal(own, right)


def test_the_models_that_the_course_names_stay_within_the_limit():
    assert head.LOGITS * 4 <= 2**25  # 32 MiB in float32
    assert 64 * 128 * 151_936 > 100 * head.LOGITS  # Qwen2.5's vocabulary, a small batch: 5 GB otherwise


def always(model, token):
    """A copy of the model that says nothing but `token`, after whatever prompt."""
    says = torch.nn.Linear(model.config.hidden_size, VOCAB)
    torch.nn.init.zeros_(says.weight)
    torch.nn.init.constant_(says.bias, -50.0)
    says.bias.data[token] = 50.0
    model.set_output_embeddings(says)
    return model


def test_sampling_stops_when_every_reply_has_ended():
    model = always(without_dropout(build("llama", tie_word_embeddings=False)), EOS)
    calls = []
    model.base_model.register_forward_hook(lambda *_: calls.append(1))
    ids, mask = prompts()
    out, logps = sample(model, ids, mask, tokens=20)
    assert len(calls) == 1 and out.shape == (4, 27) and logps.shape == (4, 20)
    assert (out[:, 7] == EOS).all() and (out[:, 8:] == PAD).all()
    out, _ = sample(always(model, 5), ids, mask, tokens=20)
    assert len(calls) == 21 and (out[:, 7:] == 5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_replies_that_have_ended_are_not_computed_any_more(models, kind):
    ids, mask = prompts((3, 7, 1, 5) * 6)
    asked, model = [], models[kind]
    handle = model.base_model.register_forward_pre_hook(
        lambda module, args, named: asked.append(len(named["input_ids"])), with_kwargs=True
    )
    out, _ = sample(model, ids, mask)
    handle.remove()
    lengths = response_mask(out[:, ids.shape[1] :], EOS).sum(-1)
    assert asked == [int((lengths > t).sum()) for t in range(12)] and asked[0] == 24 > asked[-1]


def test_the_same_generator_gives_the_same_replies(model):
    ids, mask = prompts()
    before = torch.get_rng_state()
    a, b, c = (sample(model, ids, mask, seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(before, torch.get_rng_state())
    assert torch.equal(a[:, :7], ids)
    torch.manual_seed(4)
    free = [generate(model, ids, mask, max_new_tokens=9, eos_id=EOS, pad_id=PAD) for _ in range(2)]
    assert not torch.equal(*free) and free[0].shape == (4, 16)


def test_with_numbers_of_its_own_a_reply_does_not_depend_on_the_others(model):
    ids, mask = torch.randint(2, 30, (6, 5)), torch.ones(6, 5, dtype=torch.bool)
    uniforms = torch.rand(6, 12, dtype=torch.float64)
    settings = {"max_new_tokens": 12, "eos_id": 1, "pad_id": 0}
    together = generate(model, ids, mask, uniforms=uniforms, **settings)
    for i in range(6):
        assert torch.equal(
            generate(model, ids[i : i + 1], mask[:1], uniforms=uniforms[i : i + 1], **settings)[0], together[i]
        )
    assert not torch.equal(generate(model, ids, mask, uniforms=uniforms.flip(0), **settings), together)
    with pytest.raises(ValueError, match=r"uniforms must be \(6, 12\); got \(6, 3\)"):
        generate(model, ids, mask, uniforms=uniforms[:, :3], **settings)


def test_a_very_low_temperature_takes_the_likeliest_token(model):
    ids, mask = prompts()
    out, logps = sample(model, ids, mask, temperature=1e-3, tokens=1)
    likeliest = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions(mask)).logits[:, -1].argmax(-1)
    assert torch.equal(out[:, 7], likeliest) and logps.abs().max() < 1e-3


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_named(model):
    ids, mask = prompts()
    for temperature, says in ((0, "above 0; got 0.0"), (-1, "above 0"), (math.nan, "finite"), ("hot", "finite")):
        with pytest.raises(ValueError, match=says):
            sample(model, ids, mask, temperature=temperature)
        with pytest.raises(ValueError, match=says):
            token_logps(model, ids, mask, 2, temperature=temperature)
    for name, value in (("max_new_tokens", 0), ("eos_id", None), ("pad_id", -1)):
        settings = {"max_new_tokens": 3, "eos_id": EOS, "pad_id": PAD, name: value}
        with pytest.raises(ValueError, match=f"{name} must be"):
            generate(model, ids, mask, **settings)
    with pytest.raises(ValueError, match="row 0 ends in padding; pad prompts on the left"):
        sample(model, ids, mask.flip(-1))
    with pytest.raises(ValueError, match="one shape"):
        sample(model, ids, mask[:, 1:])
    with pytest.raises(ValueError, match="empty"):
        sample(model, ids[:0], mask[:0])
    with pytest.raises(ValueError, match="training mode"):
        sample(build("gpt2").train(), ids, mask)
    for length in (0, 7, 2.0):
        with pytest.raises(ValueError, match="response_length must be"):
            token_logps(model, ids, mask, length)
        with pytest.raises(ValueError, match="response_length must be"):
            token_values(ScalarModel.critic(model), ids, mask, length)


def test_a_text_longer_than_the_model_reads_is_refused(model):
    ids, mask = prompts()
    assert sample(model, ids, mask, tokens=57)[0].shape == (4, 64)
    with pytest.raises(ValueError, match="longest text has 65 tokens, reply included; this model reads at most 64"):
        sample(model, ids, mask, tokens=58)
    with pytest.raises(ValueError, match="at most 64"):
        token_logps(model, torch.full((1, 65), 5), torch.ones(1, 65, dtype=torch.bool), 3)
    with pytest.raises(ValueError, match="at most 64"):
        token_values(ScalarModel.critic(model), torch.full((1, 65), 5), torch.ones(1, 65, dtype=torch.bool), 3)
    padded = torch.cat([torch.zeros(4, 60, dtype=torch.bool), mask], 1)
    logps = token_logps(model, torch.cat([torch.full((4, 60), PAD), ids], 1), padded, 1)
    assert logps.isfinite().all(), "padding does not count"


@pytest.mark.parametrize("kind", ["llama", "phi3"])
def test_a_text_behind_which_a_longrope_changes_all_its_numbers_is_refused(kind, tmp_path):
    """As Phi-3's of 128k: a short text got other log-probabilities, by a nat, beside a long one, and in the sampler."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16, **factors}
    build("llama").save_pretrained(tmp_path)
    known = json.loads((tmp_path / "config.json").read_text())
    known |= {"max_position_embeddings": 64, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4}
    if kind == "llama":
        known |= {"head_dim": 8, "rope_parameters": rope}
    else:  # as its authors wrote it
        known |= {"model_type": "phi3", "rope_scaling": {"type": "longrope", **factors}, "rope_theta": 1e4}
        known = {k: x for k, x in known.items() if k not in ("rope_parameters", "head_dim")}
        known["original_max_position_embeddings"] = 16
    (tmp_path / "config.json").write_text(json.dumps(known))
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path)).eval()
    assert context_limit(model) == 16
    ids, mask = torch.arange(17)[None].repeat(2, 1), torch.ones(2, 17, dtype=torch.bool)
    mask[0, 9:] = False
    with pytest.raises(ValueError, match="has 17 tokens, reply included; this model reads at most 16"):
        token_logps(model, ids, mask, 14)
    with pytest.raises(ValueError, match="reads at most 16"):
        generate(model, ids[:, :8], mask[:, :8], max_new_tokens=9, eos_id=0, pad_id=0)
    with torch.no_grad():
        alone = token_logps(model, ids[:1, :9], mask[:1, :9], 6)
        assert torch.allclose(token_logps(model, ids[:, :16], mask[:, :16], 13)[:1, :6], alone, atol=1e-5)


def test_a_broken_model_is_noticed():
    model = without_dropout(build("llama"))
    model.get_output_embeddings().weight.data[3] = math.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        sample(model, *prompts())
