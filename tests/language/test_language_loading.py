"""What a folder may hold, and is refused with one message: missing weights, looks ahead, other kinds, code."""

import ast
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
import shop
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_language import MLP, SMALL, VOCAB, build, prompts

from ppo_lesson.commands import main as cli
from ppo_lesson.hardware.lora import views
from ppo_lesson.language import checks, models, rlhf
from ppo_lesson.language.loading import refuse_a_look_ahead
from ppo_lesson.language.models import Models, ScalarModel, load_language_model
from ppo_lesson.language.sampling import positions
from ppo_lesson.language.text import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
LAYER = "model.layers.1.mlp.up_proj.weight"


def edited(folder, *, without=(), **more):
    """The folder's weights, some taken out and some added (dots in names are written as two underscores)."""
    weights = load_file(folder / "model.safetensors")
    weights = {name: x for name, x in weights.items() if name not in without}
    weights |= {name.replace("__", "."): x for name, x in more.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def saved(folder, **changes):
    build("llama", **changes).save_pretrained(folder)
    return folder


def says(folder, **changes):
    """Change config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return folder


def refused_by_command(capsys, folder, tmp_path, *words):
    """`sft --model folder` ends with status 2 and one message, and has begun nothing."""
    data = shop.make(tmp_path / "shop")
    for file in (data / "model").glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    capsys.readouterr()
    argv = ["sft", "--model", f"{folder}", "--data", f"{data / 'pairs.jsonl'}", "--output", f"{tmp_path / 'out'}"]
    assert cli.main(argv) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and all(word in said for word in words), said
    assert not (tmp_path / "out" / "run.json").exists()


# ---- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("without", [("lm_head.weight",), (LAYER,), (LAYER, "lm_head.weight", "model.norm.weight")])
def test_missing_weights_are_refused_by_name(without, tmp_path, capsys):
    folder = edited(saved(tmp_path / "model"), without=without)
    with pytest.raises(ValueError, match="random numbers would stand in their place") as error:
        load_language_model(folder)
    assert all(name in str(error.value) for name in (*without, "LlamaForCausalLM", str(folder)))
    assert capsys.readouterr().err == "", "one message, not transformers' table beside it"
    refused_by_command(capsys, folder, tmp_path, *without)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_tied_head_is_not_missing(kind, tmp_path):
    build(kind, tie_word_embeddings=True).save_pretrained(tmp_path)
    assert not any("lm_head" in name for name in load_file(tmp_path / "model.safetensors"))
    model = load_language_model(tmp_path)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    "name",
    ["model__layers__0__self_attn__q_norm__weight", "model__layers__1__mlp__up_proj__bias", "model__layers__2__x"],
)
def test_weights_that_the_architecture_leaves_out_are_refused(name, tmp_path, capsys):
    """A model whose config.json forgot its biases, say: every number would be another."""
    folder = edited(saved(tmp_path / "model"), **{name: torch.ones(8)})
    with pytest.raises(ValueError, match="has no place") as error:
        load_language_model(folder)
    assert name.replace("__", ".") in str(error.value)
    refused_by_command(capsys, folder, tmp_path, name.replace("__", "."), "config.json")


def test_noise_of_training_is_off_or_refused(tmp_path):
    """With gradient checkpointing a model is in training mode while it learns: its first ratio must be 1 there too."""
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "router_jitter_noise": 0.3}
    config = transformers.MixtralConfig(**SMALL | MLP, **experts)
    transformers.MixtralForCausalLM(config).save_pretrained(tmp_path / "mixtral")
    model, ids = load_language_model(tmp_path / "mixtral"), torch.arange(9)[None]
    with torch.no_grad():
        assert torch.equal(model.train()(input_ids=ids).logits, model.eval()(input_ids=ids).logits)
    transformers.MixtralForCausalLM(config).save_pretrained(tmp_path / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "without_dropout", lambda model: model.eval())
        with pytest.raises(ValueError, match="MixtralForCausalLM computes other numbers while it is trained"):
            load_language_model(tmp_path / "other")


@pytest.mark.parametrize("name", ["lora_A", "lora_B.default"])
def test_an_adapter_inside_of_the_weights_is_not_passed_over(name, tmp_path):
    """It would be left off, and the model below it trained in its place."""
    key = f"base_model__model__model__layers__0__self_attn__q_proj__{name.replace('.', '__')}__weight"
    with pytest.raises(ValueError, match=r"has no place: the model that was trained had them"):
        load_language_model(edited(saved(tmp_path), **{key: torch.ones(2, 16)}))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin", "adapter_config.json"])
def test_any_file_of_an_adapter_beside_the_weights_is_refused(name, tmp_path):
    (saved(tmp_path) / name).write_bytes(b"{}")
    with pytest.raises(ValueError, match=rf"holds an adapter \({name}\).* Merge it first"):
        load_language_model(tmp_path)


@pytest.mark.parametrize("task", ["QuestionAnswering", "RewardModel", "TokenClassification"])
def test_a_trunk_of_another_task_is_no_language_model_though_its_head_is_tied(task, tmp_path):
    folder = says(saved(tmp_path, tie_word_embeddings=True), architectures=[f"LlamaFor{task}"])
    with pytest.raises(ValueError, match=f"holds a LlamaFor{task}, not a language model"):
        load_language_model(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda w: {"state_dict": w}, "random numbers would stand in their place"),  # as a training framework saves it
        (lambda w: {f"module.{name}": x for name, x in w.items()}, "random numbers would stand in their place"),
        (lambda w: {f"_orig_mod.{name}": x for name, x in w.items()}, "random numbers would stand in their place"),
        (None, "cut short"),
    ],
)
def test_a_pickle_of_weights_that_is_not_their_plain_dict_is_refused_in_one_message(content, words, tmp_path, capsys):
    folder = saved(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save(content(weights), path) if content else path.write_bytes(b"")
    refused_by_command(capsys, folder, tmp_path, words)


def test_what_transformers_cannot_load_is_explained_in_python_too(tmp_path):
    """Its own message points to a table that is not printed here."""
    with pytest.raises(ValueError, match=r"other shapes than its config.json says"):
        load_language_model(says(saved(tmp_path), num_key_value_heads=1))


LEFT = [
    "lm_head__modules_to_save__default__weight",
    "base_model__model__lm_head__modules_to_save__default__weight",
    "base_model__model__model__layers__0__mlp__down_proj__ia3_l",
    "base_model__model__model__layers__0__mlp__down_proj__hada_w1_a",
    "prompt_embeddings",
    "lm_head__bias",
]


@pytest.mark.parametrize("name", LEFT)
def test_what_peft_trained_beside_its_adapters_and_a_bias_of_the_head_are_not_passed_over(name, tmp_path):
    """With modules_to_save the head itself was trained: the one below it would be another model."""
    with pytest.raises(ValueError, match=r"has no place: the model that was trained had them") as error:
        load_language_model(edited(saved(tmp_path), **{name: torch.ones(40, 16)}))
    assert name.replace("__", ".") in str(error.value)


def test_another_head_beside_the_right_one_is_only_told(tmp_path):
    folder = edited(saved(tmp_path), v_head__summary__weight=torch.ones(1, 16))
    with pytest.warns(UserWarning, match=r"v_head.summary.weight, which a LlamaForCausalLM does not use"):
        load_language_model(folder)


def test_a_classifier_is_no_language_model_though_its_head_is_tied(tmp_path, capsys):
    config = transformers.LlamaConfig(**SMALL | MLP, tie_word_embeddings=True, num_labels=1)
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "model")
    refused_by_command(capsys, tmp_path / "model", tmp_path, "LlamaForSequenceClassification", "not a language model")


@pytest.mark.parametrize("tied", [True, False])
def test_a_reward_model_is_no_language_model(tied, tmp_path, capsys):
    folder = tmp_path / "model"
    ScalarModel.reward(build("llama", tie_word_embeddings=tied)).save(folder)
    refused_by_command(capsys, folder, tmp_path, "holds a critic or a reward model", "made from")


def test_weights_that_are_no_numbers_say_so(tmp_path):
    folder = edited(saved(tmp_path), **{LAYER.replace(".", "__"): torch.full((32, 16), torch.nan)})
    with pytest.raises(ValueError, match="holds NaN or infinity: its weights are broken"):
        load_language_model(folder)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("token", [20, VOCAB - 1])
def test_a_token_without_numbers_is_found_before_a_text_has_it(number, token, tmp_path):
    """The examination at loading reads a few tokens alone; a run would end where a prompt has this one."""
    model = build("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[token] = number
    model.save_pretrained(tmp_path / "whole")
    ScalarModel.reward(model).save(tmp_path / "scalar")
    for load, name in ((load_language_model, "whole"), (ScalarModel.load, "scalar")):
        with pytest.raises(ValueError, match=r"embed_tokens.weight holds NaN or infinity: its weights are broken"):
            load(tmp_path / name)


def test_a_scalar_model_with_missing_or_other_weights_is_refused(tmp_path):
    model = ScalarModel.reward(build("llama"))
    for name, changes, what in (
        ("missing", {"without": [LAYER.removeprefix("model.")]}, "random numbers"),
        ("other", {"layers__0__self_attn__q_norm__weight": torch.ones(8)}, "has no place"),
    ):
        model.save(tmp_path / name)
        with pytest.raises(ValueError, match=what):
            ScalarModel.load(edited(tmp_path / name, **changes))
    model.save(tmp_path / "head")
    head = load_file(tmp_path / "head" / "head.safetensors")
    for broken in ({"weight": torch.ones(1, 1)}, {"std": torch.ones(2)}):  # copied, these would fit in silence
        save_file(head | broken, tmp_path / "head" / "head.safetensors")
        with pytest.raises(ValueError, match="does not fit the trunk"):
            ScalarModel.load(tmp_path / "head")
    del head["std"]
    save_file(head, tmp_path / "head" / "head.safetensors")
    with pytest.raises(ValueError, match="does not fit the trunk"):
        ScalarModel.load(tmp_path / "head")


def test_a_trunk_may_have_a_head_beside_it_that_is_not_used(tmp_path):
    """What LoRA's critic writes: the whole language model."""
    model = build("llama")
    ScalarModel.reward(model).save(tmp_path)
    model.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ScalarModel.load(tmp_path)


# ---- a look ahead ----------------------------------------------------------------------------------------------------

LOOKS_AHEAD = {"BertLMHeadModel": (transformers.BertConfig, {"intermediate_size": 32})}
if "use_bidirectional_attention" in vars(transformers.Gemma3TextConfig()):
    about = {"head_dim": 8, "sliding_window": 4, "use_bidirectional_attention": True}
    LOOKS_AHEAD["Gemma3ForCausalLM"] = (transformers.Gemma3TextConfig, MLP | about)


@pytest.mark.parametrize("name", LOOKS_AHEAD)
def test_a_model_that_looks_to_the_right_is_refused(name, tmp_path, capsys):
    kind, about = LOOKS_AHEAD[name]
    torch.manual_seed(3)
    model = getattr(transformers, name)(kind(**SMALL | about)).eval()
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=f"this {name} looks to the right"):
        load_language_model(tmp_path / "model")
    ScalarModel.reward(model).save(tmp_path / "reward")
    with pytest.raises(ValueError, match="pooler.dense" if "Bert" in name else "looks to the right"):
        ScalarModel.load(tmp_path / "reward")
    refused_by_command(capsys, tmp_path / "model", tmp_path, "use_bidirectional_attention", "causal")


@pytest.mark.parametrize("name", ["Mixtral", "Gemma2", "Mistral"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_not_taken_for_a_look_ahead(name, dtype, tmp_path):
    """A mixture of experts computes a token together with others, and so in another order."""
    torch.manual_seed(4)
    about = SMALL | MLP | {"head_dim": 8, "sliding_window": 4}
    getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**about)).save_pretrained(
        tmp_path
    )
    load_language_model(tmp_path, dtype=dtype)


@pytest.mark.parametrize(("dtype", "small", "large"), [(torch.float32, 1e-6, 1e-3), (torch.bfloat16, 0.02, 0.5)])
def test_the_allowance_is_that_of_the_dtype(dtype, small, large):
    """A few units of roundoff (6e-8, 0.004) of numbers of size 1 may come from an order; far more may not."""
    model = build("llama").to(dtype)
    for moved, fine in ((small, True), (large, False)):

        def numbers(ids, moved=moved):
            return torch.ones(8, 3) + moved * (ids[0, -1] != 7)

        if fine:
            refuse_a_look_ahead("x", model, numbers)
        else:
            with pytest.raises(ValueError, match="x: this LlamaForCausalLM looks to the right"):
                refuse_a_look_ahead("x", model, numbers)


CODES = (torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2)


def coded(folder, dtype, names, form="safetensors"):
    """The folder with these weights as numbers of this dtype."""
    weights = load_file(folder / "model.safetensors")
    weights |= {name: (weights[name] * 10).to(dtype) for name in names}
    if form == "safetensors":
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("dtype", CODES, ids=str)
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_weights_that_are_codes_are_refused_though_no_config_says_so(dtype, form, tmp_path, capsys):
    """transformers makes floats of them: each weight would be its code, off by a scale that it does not know."""
    folder = coded(saved(tmp_path / "m"), dtype, [LAYER], form)
    refused_by_command(capsys, folder, tmp_path, f"the weight {LAYER} is stored as ", "quantised")


@pytest.mark.parametrize("dtype", CODES[::5], ids=str)
def test_so_are_those_of_a_trunk_and_of_a_head(dtype, tmp_path):
    for i, name in enumerate(("layers.1.mlp.up_proj.weight", "norm.weight")):
        ScalarModel.reward(build("llama")).save(tmp_path / str(i))
        with pytest.raises(ValueError, match=f"the weight {name} is stored as .* quantised"):
            ScalarModel.load(coded(tmp_path / str(i), dtype, [name]))
    path = tmp_path / "0" / "head.safetensors"
    ScalarModel.reward(build("llama")).save(tmp_path / "0")
    save_file(load_file(path) | {"weight": torch.ones(1, 16).to(dtype)}, path)
    with pytest.raises(ValueError, match=r"head.safetensors does not fit the trunk"):
        ScalarModel.load(tmp_path / "0")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_in_halves_are_weights_and_masks_beside_them_are_none(dtype, tmp_path):
    """Older folders hold the causal mask, as whole numbers, which are no weights."""
    build("gpt2").to(dtype).save_pretrained(tmp_path)
    mask = torch.ones(1, 1, 64, 64, dtype=torch.uint8).tril()
    edited(tmp_path, transformer__h__0__attn__bias=mask)
    assert load_language_model(tmp_path).dtype == torch.float32


@pytest.mark.parametrize("how", ["fp8", "mxfp4", "gptq", "bitsandbytes", "nosuch"])
def test_quantised_weights_are_refused_whatever_is_installed(how, tmp_path, capsys):
    """With fp8 in its config.json transformers rounds plain weights, too, where there is a GPU."""
    folder = says(saved(tmp_path / "model"), quantization_config={"quant_method": how})
    refused_by_command(capsys, folder, tmp_path, "quantised", how, "take quantization_config out of its config.json")


def test_a_broken_generation_config_is_no_missing_one(tmp_path, capsys):
    folder = saved(tmp_path / "model")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2]')
    refused_by_command(capsys, folder, tmp_path, "generation_config.json is broken")


def test_an_adapter_is_not_laid_over_the_weights_beside_it(tmp_path, capsys):
    """It would be a third model; and what was trained on top would be saved as an adapter alone."""
    pytest.importorskip("peft")
    folder = saved(tmp_path / "model")
    views(build("llama"), rank=2)[0].save_adapter(folder)
    with pytest.raises(ValueError, match=r"holds an adapter .* Merge it first"):
        load_language_model(folder)
    ScalarModel.reward(build("llama")).save(folder)
    with pytest.raises(ValueError, match=r"holds an adapter .* Merge it first"):
        ScalarModel.load(folder)
    for file in ("head.safetensors", "config.json", "model.safetensors"):
        (folder / file).unlink()
        if file != "model.safetensors":
            refused_by_command(capsys, folder, tmp_path / file, "holds an adapter", "merge_and_unload")


@pytest.mark.parametrize("change", [{"hidden_act": "nosuch"}, {"rope_scaling": {"rope_type": "nosuch"}}])
def test_a_config_that_transformers_cannot_build_is_named_with_its_error(change, tmp_path, capsys):
    folder = says(saved(tmp_path / "model"), **change)
    refused_by_command(
        capsys, folder, tmp_path, f"{folder}: its config.json describes no", "nosuch", "do not fit together"
    )


# ---- sampling from a cache -------------------------------------------------------------------------------------------


def test_a_model_without_a_cache_is_refused_before_anything_is_written(tmp_path, capsys):
    torch.manual_seed(3)
    model = transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**SMALL, n_positions=64))
    model.save_pretrained(tmp_path / "model")
    refused_by_command(capsys, tmp_path / "model", tmp_path, "OpenAIGPTLMHeadModel cannot be trained here", "a cache")


def test_a_model_that_counts_padding_as_positions_is_refused(tmp_path, monkeypatch):
    build("gpt2").save_pretrained(tmp_path)
    forward = transformers.GPT2Model.forward
    monkeypatch.setattr(
        transformers.GPT2Model, "forward", lambda self, *x, position_ids=None, **named: forward(self, *x, **named)
    )
    with pytest.raises(ValueError, match=r"a GPT2LMHeadModel samples tokens with log-probabilities that are .* nats"):
        load_language_model(tmp_path)


def test_a_cache_that_goes_on_with_the_rows_of_others_is_refused(tmp_path, monkeypatch):
    saved(tmp_path)
    layer = transformers.cache_utils.DynamicLayer
    monkeypatch.setattr(layer, "reorder_cache", lambda self, on: self.batch_select_indices(torch.arange(len(on))))
    with pytest.raises(ValueError, match=r"a LlamaForCausalLM samples tokens with log-probabilities that are .* nats"):
        load_language_model(tmp_path)


# ---- critics and reward models ---------------------------------------------------------------------------------------


def test_two_sets_of_weights_in_one_folder_are_refused(tmp_path):
    """One whole and one in parts, as another program leaves them: transformers takes the whole one, silently."""
    folder = saved(tmp_path / "both")
    build("llama").save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    for file in (tmp_path / "parts").glob("model*"):
        file.rename(folder / file.name)
    with pytest.raises(ValueError, match=r"holds model.safetensors and model.safetensors.index.json, two sets"):
        load_language_model(folder)
    (folder / "model.safetensors").unlink()
    load_language_model(folder)


def test_a_folder_says_whether_it_is_a_critic_or_a_reward_model(tmp_path):
    model = build("llama")
    for kind in ("critic", "reward"):
        getattr(ScalarModel, kind)(model).save(tmp_path / kind)
        assert ScalarModel.load(tmp_path / kind).kind == ScalarModel.load(tmp_path / kind, kind=kind).kind == kind
    with pytest.raises(ValueError, match=r"critic holds a critic .*where a reward model .*is wanted"):
        ScalarModel.load(tmp_path / "critic", kind="reward")
    with pytest.raises(ValueError, match=r"reward holds a reward model .*where a critic .*is wanted"):
        ScalarModel.load(tmp_path / "reward", kind="critic")


def test_a_folder_that_does_not_say_may_be_either(tmp_path):
    model = ScalarModel.reward(build("llama"))
    model.save(tmp_path)
    save_file(load_file(tmp_path / "head.safetensors"), tmp_path / "head.safetensors")  # as it was written before
    ids, mask = prompts()
    for kind, known in ((None, "reward"), ("reward", "reward"), ("critic", "critic")):
        loaded = ScalarModel.load(tmp_path, kind=kind)
        assert loaded.kind == known and torch.equal(
            loaded(ids, mask, positions(mask)), model(ids, mask, positions(mask))
        )


@pytest.mark.parametrize("rank", ["0", "4"])
def test_a_critic_given_as_reward_is_refused(rank, tmp_path, capsys, monkeypatch):
    if rank != "0":
        pytest.importorskip("peft")
    folder = shop.make(tmp_path / "shop")
    monkeypatch.setattr("ppo_lesson.commands.report.plot", lambda *_: [])
    assert shop.rlhf(folder, tmp_path / "one", "--lora-rank", rank) == 0
    capsys.readouterr()
    assert shop.rlhf(folder, tmp_path / "two", reward=f"{tmp_path / 'one' / 'critic'}") == 2
    message = capsys.readouterr().err
    assert "critic holds a critic" in message and "where a reward model" in message and message.count("error: ") == 1
    assert not (tmp_path / "two" / "run.json").exists()


def test_a_critic_is_no_reward_in_python_either():
    actor, reference = build("llama"), build("llama")
    critic = ScalarModel.critic(actor)
    with pytest.raises(ValueError, match="reward is a critic"):
        checks.encode(rlhf.RLHFConfig(), Models(actor, critic, reference, critic), ["a"], shop_letters())


def shop_letters():
    from tiny_language import VOCAB, Letters

    return Letters(VOCAB)


# ---- code that comes with a model ------------------------------------------------------------------------------------

CODE = """
from pathlib import Path
Path({marker!r}).write_text("it ran")
from transformers import LlamaConfig as Config, LlamaForCausalLM as Model, LlamaModel as Trunk
from transformers import PreTrainedTokenizerFast as Tokenizer
"""


@pytest.fixture
def trap(tmp_path):
    """A model, a reward model and a tokenizer whose own code writes a file: (folder, that file)."""
    folder, marker = tmp_path / "trap", tmp_path / "it-ran"
    shop.make(tmp_path / "shop")
    ScalarModel.reward(load_language_model(tmp_path / "shop" / "model")).save(folder)
    for file in (tmp_path / "shop" / "model").glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "own.py").write_text(CODE.format(marker=str(marker)))
    names = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoModel": "own.Trunk"}
    says(folder, model_type="nobodys", auto_map=names)
    path = folder / "tokenizer_config.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": [None, "own.Tokenizer"]}}
    path.write_text(json.dumps(tokenizer), "utf-8")
    return folder, marker


@pytest.mark.parametrize("what", ["model", "reward model", "tokenizer"])
def test_code_that_comes_with_a_model_never_runs(what, trap, monkeypatch, capsys):
    (folder, marker), asked = trap, []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(1) or "y")
    if what == "model":
        (folder / "head.safetensors").unlink()
    if what == "tokenizer":
        (folder / "config.json").unlink()
    load = {"model": load_language_model, "reward model": ScalarModel.load, "tokenizer": load_tokenizer}[what]
    with pytest.raises(ValueError, match=r"brings Python code of its own .*never runs here"):
        load(folder)
    assert not asked and not marker.exists() and "[y/N]" not in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of this kind is Unix's")
@pytest.mark.slow
def test_nor_does_a_terminal_ask(trap, tmp_path):
    folder, marker = trap
    (folder / "head.safetensors").unlink()
    ours, theirs = os.openpty()
    os.write(ours, b"y\ny\ny\n")
    argv = ["sft", "--model", f"{folder}", "--data", f"{tmp_path / 'shop' / 'pairs.jsonl'}", "--output", tmp_path / "o"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "ppo_lesson", *map(str, argv)],
        stdin=theirs,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    os.close(ours), os.close(theirs)
    assert done.returncode == 2 and "never runs here" in done.stderr, done.stderr
    assert "[y/N]" not in done.stdout + done.stderr and not marker.exists()


def test_a_known_architecture_is_loaded_with_transformers_own_code(tmp_path):
    """Many folders still name the code that their architecture had before transformers knew it: it is not needed."""
    (tmp_path / "own.py").write_text(CODE.format(marker=str(tmp_path / "it-ran")))
    says(saved(tmp_path), auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})
    assert type(load_language_model(tmp_path)) is transformers.LlamaForCausalLM
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("attention", ["somebody/kernel", "flash_attention_2"])
def test_how_the_authors_computed_attention_is_no_part_of_a_model(attention, tmp_path):
    """A name of the hub there would be code, and flash attention wants a package and a GPU."""
    assert load_language_model(says(saved(tmp_path), attn_implementation=attention)).config.vocab_size == 40


def _sources():
    for pattern in ("ppo_lesson/**/*.py", "benchmarks/*.py", "tools/*.py", "notebooks/*.ipynb"):
        for file in ROOT.glob(pattern):
            text = file.read_text("utf-8")
            if "from_pretrained" not in text and "from_config" not in text:
                continue
            if file.suffix == ".ipynb":
                text = "\n".join(c.source for c in nbformat.reads(text, 4).cells if c.cell_type == "code")
            yield file, text


def test_every_auto_class_is_told_not_to_run_code():
    found = 0
    for file, source in _sources():
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            where, method = ast.unparse(node.func.value), node.func.attr
            if method in ("from_pretrained", "from_config") and where not in ("PreTrainedTokenizerFast", "LoraConfig"):
                told = [ast.unparse(k.value) for k in node.keywords if k.arg == "trust_remote_code"]
                assert told == ["False"], f"{file.name}, line {node.lineno}: {ast.unparse(node)}: trust_remote_code?"
                found += 1
    assert found >= 4
