"""Every architecture: log-probs, values, rewards and each sampled token are those of a plain pass over one text alone.

The models are tiny, with random weights, made from their configurations; one that this transformers lacks is skipped.
"""

import inspect

import pytest
import torch
import transformers
from tiny_language import EOS, PAD, VOCAB
from transformers import LlamaModel, cache_utils

from ppo_lesson.hardware.decode import decoder
from ppo_lesson.hardware.profile import Profile
from ppo_lesson.language.loading import load_or_explain, rounding
from ppo_lesson.language.models import ScalarModel, load_language_model, without_dropout
from ppo_lesson.language.reward import last_token_scores
from ppo_lesson.language.sampling import full_mask, generate, response_mask, token_logps, token_values
from ppo_lesson.language.text import pad_left

pytestmark = pytest.mark.slow
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
ABOUT = {"vocab_size": VOCAB, "initializer_range": 0.3, "eos_token_id": EOS, "pad_token_id": PAD, "bos_token_id": 2}
MLP = {"num_key_value_heads": 2, "intermediate_size": 32}
HEADS = MLP | {"head_dim": 8}
WINDOW = {"sliding_window": 6}  # shorter than the longest prompt
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
SSM = {"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 1, "mamba_expand": 2}
DECODER = {"d_model": 16, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}

SAME = {
    "Llama": MLP,
    "Llama tied": MLP | {"tie_word_embeddings": True},
    "Llama padded": MLP | {"vocab_size": VOCAB + 24},
    "GPT2": {},
    "GPTNeo": {"attention_types": [[["global", "local"], 1]], "window_size": 6, "num_layers": 2, "num_heads": 2},
    "GPTNeoX": {"intermediate_size": 32},
    "GPTJ": {"rotary_dim": 4, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "CodeGen": {"rotary_dim": 4, "n_embd": 16, "num_attention_heads": 4, "n_layer": 2, "n_positions": 64},
    "GPTBigCode": {},
    "BioGpt": {"intermediate_size": 32},
    "CTRL": {"dff": 32, "n_positions": 64},
    "Mistral": MLP | WINDOW,
    "Phi3": MLP | WINDOW,
    "GptOss": HEADS | WINDOW | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Gemma": HEADS,
    "Gemma2": HEADS | WINDOW | {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0},
    "Gemma3 Text": HEADS | WINDOW,
    "Llama4 Text": HEADS | {"num_local_experts": 2, "attention_chunk_size": 6, "intermediate_size_mlp": 32},
    "Bloom": {"n_layer": 2, "n_head": 2},
    "Mpt": {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64, "expansion_ratio": 2},
    "Falcon": {"multi_query": True},
    "Falcon alibi": {"alibi": True},
    "OPT": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "OPT 350m": {"ffn_dim": 32, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
    "Phi": MLP,
    "Olmo2": MLP,
    "Cohere": MLP | {"logit_scale": 0.25},
    "Granite": MLP | {"logits_scaling": 4.0},
    "Nemotron": MLP,
    "Apertus": MLP,
    "Mixtral": MLP | {"num_local_experts": 4},
    "Qwen2Moe": MLP | EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "DeepseekV3": MLP | EXPERTS | LATENT | {"n_routed_experts": 4, "n_group": 1, "topk_group": 1},
    "Qwen2": MLP,
    "Qwen2 window": MLP | WINDOW | {"use_sliding_window": True, "max_window_layers": 1},
    "Qwen3": HEADS,
    "StableLm": MLP,
    "XGLM": {"ffn_dim": 32, "d_model": 16, "num_layers": 2, "attention_heads": 2},
}
WINDOWS = {"sliding_window", "window_size", "attention_chunk_size"}
USUAL = "Llama", "GPT2", "Gemma", "Phi", "Qwen2", "Qwen3", "Mixtral"  # that a GPU is fast with
RECURRENT = {  # beside layers that attend, and one without; an older transformers had other caches for them
    "Mamba2": {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1},
    "Jamba": MLP | {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "use_mamba_kernels": False},
    "Bamba": MLP | SSM | {"attn_layer_indices": [1]},
    "FalconH1": MLP | SSM | {"mamba_d_ssm": 32, "mamba_d_conv": 3},
    "GraniteMoeHybrid": MLP | SSM | {"layer_types": ["mamba", "attention"], "num_local_experts": 2},
    "Lfm2": MLP | {"layer_types": ["conv", "full_attention"]},
    "Qwen3Next": HEADS | EXPERTS | {"layer_types": ["linear_attention", "full_attention"], "num_experts": 2},
}
NO_CACHE, PADDING = "cannot be trained here .*past_key_values", "samples tokens with log-probabilities"
AHEAD, NO_POSITIONS = "looks to the right", "cannot be trained here .*position_ids"  # the second: in older ones
REFUSED = {
    "Mamba": ({"state_size": 4}, f"{NO_CACHE}|{PADDING}"),
    "Rwkv": ({"attention_hidden_size": 16}, NO_CACHE),
    "OpenAIGPT": ({"n_positions": 64}, NO_CACHE),
    "XLM": ({"emb_dim": 16, "n_layers": 2, "n_heads": 2}, NO_CACHE),
    "RecurrentGemma": (HEADS | {"lru_width": 16, "attention_window_size": 8}, f"{NO_CACHE}|{PADDING}"),
    "Bart": (DECODER, f"{PADDING}|{NO_POSITIONS}"),
    "Pegasus": (DECODER, f"{PADDING}|{NO_POSITIONS}"),
    "Bert": ({"intermediate_size": 32}, AHEAD),
    "Roberta": ({"intermediate_size": 32}, AHEAD),
    "XLNet": ({"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}, AHEAD),
    "T5": ({"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}, "no causal language model"),
}


def built(name, about):
    """The model of this configuration, with random weights."""
    kind, *also = name.split()
    config = getattr(transformers, f"{kind}{'Text' * ('Text' in also)}Config", None)
    endings = "ForCausalLM", "LMHeadModel", "WithLMHeadModel", "ForConditionalGeneration"
    model = next((m for x in endings if (m := getattr(transformers, kind + x, None))), None)
    if config is None or model is None:
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    size = SIZE if kind != "XLNet" else {}  # which has no limit and takes none
    torch.manual_seed(3)
    return model(config(**size | ABOUT | about)).eval()


def loaded(name, about, folder):
    built(name, about).save_pretrained(folder)
    return load_or_explain(load_language_model, folder)


def equal_to_a_plain_pass(model, temperature, sample=generate):
    g = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, VOCAB, (n,), generator=g).tolist() for n in (3, 9, 1, 5, 7, 2)]
    (ids, mask), u = pad_left(rows, PAD), torch.rand(6, 10, generator=g, dtype=torch.float64)
    P, about = 9, {"max_new_tokens": 10, "temperature": temperature, "pad_id": PAD, "uniforms": u}
    end = int(sample(model, ids, mask, eos_id=VOCAB + 24, **about)[0, P])  # so that the first row ends at once
    out, sampled = sample(model, ids, mask, eos_id=end, return_logps=True, **about)
    reply = response_mask(out[:, P:], end)
    full, lengths = full_mask(mask, reply), reply.sum(-1).tolist()
    assert lengths[0] == 1 < max(lengths), "this test needs a reply that ends early and one that does not"
    judge = ScalarModel.reward(model)
    with torch.no_grad():
        logps = token_logps(model, out, full, 10, temperature=temperature)
        values, rewards = token_values(judge, out, full, 10), last_token_scores(judge, out, full)
    assert not logps[~reply].any() and not sampled[~reply].any()
    for i, (prompt, T) in enumerate(zip(rows, lengths)):
        text, n = out[i, full[i]][None], len(prompt)
        with torch.no_grad():
            logits = model(input_ids=text).logits[0].float() / temperature
            numbers = judge.head(judge.trunk(input_ids=text).last_hidden_state)[0, :, 0]
        allowed = rounding(model) * max(1.0, logits.abs().max().item())
        plain = logits.log_softmax(-1)[n - 1 : -1]  # (T, V), each row decides a token of the reply
        chosen = plain.gather(-1, text[0, n:, None])[:, 0]
        torch.testing.assert_close(logps[i, :T], chosen, atol=allowed, rtol=0)
        torch.testing.assert_close(sampled[i, :T], chosen, atol=allowed, rtol=0)
        above = plain.double().exp().cumsum(-1).gather(-1, text[0, n:, None])[:, 0]
        below = above - chosen.double().exp()
        assert (below - allowed <= u[i, :T]).all() and (u[i, :T] <= above + allowed).all(), "another token is drawn"
        near = rounding(model) * max(1.0, numbers.abs().max().item())
        torch.testing.assert_close(values[i, :T], numbers[n - 1 : -1], atol=near, rtol=0)
        torch.testing.assert_close(rewards[i], numbers[-1], atol=near, rtol=0)


@pytest.mark.parametrize("name", SAME)
def test_all_numbers_are_those_of_a_plain_pass(name, tmp_path):
    model = loaded(name, SAME[name], tmp_path)
    for temperature in (1.0, 0.7):
        equal_to_a_plain_pass(model, temperature)


@pytest.mark.parametrize("name", SAME | RECURRENT)
def test_a_cache_of_fixed_size_gives_them_too_or_is_not_used(name):
    """What a GPU samples with; GPT-J, MPT and others take the columns that are still empty for text."""
    model = without_dropout(built(name, (SAME | RECURRENT)[name]))
    sample = decoder(model, [("", [0] * 9)], Profile(static_decode=True))
    assert sample is generate or not (name in RECURRENT or WINDOWS & SAME[name].keys())
    assert sample is not generate or name not in USUAL
    if sample is not generate:
        equal_to_a_plain_pass(model, 1.0, sample)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_give_them_too_or_are_refused(name, tmp_path):
    named = "cache" in inspect.signature(LlamaModel.forward).parameters  # from 5.24 on, for all kinds of models
    if not hasattr(cache_utils, "LinearAttentionLayer") or (name == "Mamba2" and not named):
        with pytest.raises(ValueError, match=f"{NO_CACHE}|{PADDING}"):
            loaded(name, RECURRENT[name], tmp_path)
    else:
        equal_to_a_plain_pass(loaded(name, RECURRENT[name], tmp_path), 1.0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_policy_is_refused_by_name(name, tmp_path):
    about, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as error:
        loaded(name, about, tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ") and len(str(error.value)) < 600
