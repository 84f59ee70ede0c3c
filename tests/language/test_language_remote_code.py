"""Whatever comes with a model, a tokenizer or a data set: nothing of it is ever run, and what is said has a remedy."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import shop
import torch

from ppo_lesson.commands import main as cli
from ppo_lesson.language.models import ScalarModel, load_language_model
from ppo_lesson.language.text import load_tokenizer, prompt_ids

CODE = """
from pathlib import Path
Path({marker!r}).write_text("it ran")
from transformers import *
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A good model with a file of code beside it, which writes tmp_path / "it-ran"; who asks is answered with yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    shutil.copytree(made / "model", tmp_path / "model")
    for name in ("own.py", "configuration_own.py", "modeling_own.py", "generate.py"):
        (tmp_path / "model" / name).write_text(CODE.format(marker=str(tmp_path / "it-ran")))
    return tmp_path / "model"


def edit(file, **changes):
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps(known | changes), "utf-8")


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "it ran")


AUTO = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoModel": "own.T"}
ELSEWHERE = {"AutoConfig": "someone/repo--own.C", "AutoModelForCausalLM": "someone/repo--own.M"}
LORA = {"peft_type": "LORA", "auto_mapping": {"base_model_class": "X", "parent_library": "own"}}


def generates(folder):
    edit(folder / "generation_config.json", custom_generate="own", auto_map={"AutoModel": "own.X"})
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "own.py", folder / "custom_generate" / "generate.py")


def processes(folder):
    edit(folder / "processor_config.json", auto_map={"AutoProcessor": "own.P"}, processor_class="P")
    edit(folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "own.P"})


def pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Evil(folder.parent / "it-ran")}, folder / "pytorch_model.bin")


def nobodys(**auto_map):
    return lambda f: edit(f / "config.json", model_type="nobodys", auto_map=auto_map)


def tokenizer(**changes):
    return lambda f: edit(f / "tokenizer_config.json", **changes)


REFUSED = {  # what stands in the folder, who loads it, words of the refusal
    "a model of its own": (nobodys(**AUTO), load_language_model, "brings Python code of its own .* never runs here"),
    "code on the hub": (nobodys(**ELSEWHERE), load_language_model, "brings Python code of its own .* never runs here"),
    "a part of its own": (
        lambda f: edit(f / "config.json", text_config={"model_type": "nobodys", "auto_map": {"AutoConfig": "own.C"}}),
        load_language_model,
        "config.json describes no model that transformers can build .*Take the folder as its authors wrote it",
    ),
    "a tokenizer of its own": (
        tokenizer(auto_map={"AutoTokenizer": ["own.T", "own.T"]}, tokenizer_class="Own"),
        load_tokenizer,
        "brings Python code of its own .* never runs here",
    ),
    "an adapter": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path="someone/repo", **LORA),
        load_language_model,
        "holds an adapter .* Merge it first",
    ),
    "a pickle": (pickled, load_language_model, "pickled with more than tensors .* take one with safetensors"),
    "its own way to be quantised": (
        lambda f: edit(f / "config.json", quantization_config={"quant_method": "own", "modules": "own"}),
        load_language_model,
        "quantised .* Take the model before it was",
    ),
}


@pytest.mark.parametrize(("change", "load", "words"), REFUSED.values(), ids=REFUSED)
def test_what_asks_for_code_is_refused_and_nothing_runs(change, load, words, folder, capsys):
    change(folder)
    with pytest.raises(ValueError, match=f"(?s)^{folder}.*{words}"):
        load(folder)
    assert not (folder.parent / "it-ran").exists() and "[y/N]" not in capsys.readouterr().out


IGNORED = {  # transformers' own code does, and theirs is left alone
    "a way to generate": (generates, load_language_model),
    "a processor": (processes, lambda f: (load_language_model(f), load_tokenizer(f))),
    "a known tokenizer": (tokenizer(auto_map={"AutoTokenizer": ["own.T", "own.T"]}), load_tokenizer),
    "a known model": (lambda f: edit(f / "config.json", auto_map=AUTO), load_language_model),
    "a known model, its code on the hub": (lambda f: edit(f / "config.json", auto_map=ELSEWHERE), load_language_model),
    "a tokenizer named by the model": (
        lambda f: edit(f / "config.json", auto_map={"AutoTokenizer": ["own.T", "own.T"]}),
        load_tokenizer,
    ),
    "a kernel": (lambda f: edit(f / "config.json", use_kernels=True, kernel_config={"R": "a/x"}), load_language_model),
}


@pytest.mark.parametrize(("change", "load"), IGNORED.values(), ids=IGNORED)
def test_what_needs_no_code_is_loaded_with_transformers_own(change, load, folder):
    change(folder)
    assert load(folder)
    assert not (folder.parent / "it-ran").exists()


def test_a_template_cannot_leave_its_box(folder):
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ValueError, match="chat template fails"):
        prompt_ids(load_tokenizer(folder), "x")


def test_a_reward_model_brings_none_either(folder, tmp_path):
    ScalarModel.reward(load_language_model(folder)).save(tmp_path / "judge")
    for file in folder.glob("*.py"):
        shutil.copy(file, tmp_path / "judge")
    nobodys(**AUTO)(tmp_path / "judge")
    with pytest.raises(ValueError, match="brings Python code of its own"):
        ScalarModel.load(tmp_path / "judge")
    assert not (tmp_path / "it-ran").exists()


DATA = {  # a data set that would run: its name, its bytes, given the marker
    "a script": ("data.py", lambda marker: CODE.format(marker=str(marker)).encode()),
    "a pickle": ("data.pkl", lambda marker: pickle.dumps(Evil(marker))),
    "a script called JSON": ("data.jsonl", lambda marker: CODE.format(marker=str(marker)).encode()),
}


@pytest.mark.parametrize(("name", "content"), DATA.values(), ids=DATA)
def test_a_data_set_is_read_and_never_run(name, content, made, tmp_path, capsys):
    (tmp_path / name).write_bytes(content(tmp_path / "it-ran"))
    argv = ["sft", "--model", made / "model", "--data", tmp_path / name, "--output", tmp_path / "out"]
    assert cli.main([*map(str, argv)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and f"{tmp_path / name}" in message and "Traceback" not in message
    assert not (tmp_path / "it-ran").exists() and not (tmp_path / "out" / "run.json").exists()


def test_a_reward_file_is_read_by_export_and_not_run(made, tmp_path):
    (tmp_path / "mine.py").write_text(CODE.format(marker=str(tmp_path / "it-ran")) + "\ndef score(p, r): return 1.0\n")
    words = ["export", "verl", "--model", made / "model", "--reward", f"{tmp_path / 'mine.py'}:score"]
    words += ["--prompts", made / "prompts.jsonl", "--output", tmp_path / "out", "--format", "jsonl"]
    (tmp_path / "config.json").write_text('{"batch": 8}')
    words += ["--config", tmp_path / "config.json"]
    assert cli.main([*map(str, words)]) == 0
    assert not (tmp_path / "it-ran").exists()
