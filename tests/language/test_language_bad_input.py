"""What people get wrong with the language trainers and their commands: one clear message each, and nothing lost.

Through the command line where a user would meet it there: exit status 2, no traceback, the folder as it was.
"""

import contextlib
import copy
import json
import math
import pickle
import shutil
from dataclasses import replace
from fractions import Fraction

import pytest
import shop
import torch
import transformers
from filelock import FileLock
from safetensors.torch import load_file
from tiny_language import Letters, build

from course.desk.tiny import train_tokenizer
from ppo_lesson import checkpoint
from ppo_lesson.commands import main as cli
from ppo_lesson.commands import report, train
from ppo_lesson.kl import FixedKL
from ppo_lesson.language import rlhf, supervised
from ppo_lesson.language.data import Pair, Ranking
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.reward import train_reward
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig
from ppo_lesson.language.text import load_tokenizer

resource = pytest.importorskip("resource") if hasattr(__import__("os"), "fork") else None  # Unix alone has it
SHORT = RLHFConfig(iterations=4, batch=4, minibatches=2, max_new_tokens=4, lr=1e-3, checkpoint_every=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report, "plot", lambda *_: [])


def family(vocab=8, **changes):
    model = without_dropout(build("llama", vocab_size=vocab, eos_token_id=0, pad_token_id=0, **changes))
    return copy.deepcopy(model), ScalarModel.critic(model), model


def start(config=SHORT, reward=lambda prompt, reply: 1.0, prompts=("ab", "c"), models=None, **more):
    return rlhf.rlhf(config, Models(*(models or family()), reward), prompts, tokenizer=Letters(8), **more)


def refused(folder, output, capsys, *more, words, command=None, **changes):
    """The command ends with status 2 and one message that has all `words`; nothing was begun."""
    capsys.readouterr()
    status = cli.main([*command, "--output", f"{output}"]) if command else shop.rlhf(folder, output, *more, **changes)
    message = capsys.readouterr().err
    assert status == 2 and "Traceback" not in message, message
    assert message.count("error: ") == 1 and all(word in message for word in words), message
    assert not (output / "actor").exists()
    return message


# ---- prompts ---------------------------------------------------------------------------------------------------------


def test_a_prompt_longer_than_the_context_is_named_before_anything_is_trained():
    calls = []
    with pytest.raises(ValueError, match=r"1 of 3 prompts are too long for the actor, which reads 64 tokens.* 61"):
        next(start(prompts=["ab", "a" * 61, "a" * 60], reward=calls.append))
    assert not calls


def test_a_prompt_longer_than_the_reward_models_context_too():
    short = ScalarModel.reward(build("llama", vocab_size=8, max_position_embeddings=32))
    with pytest.raises(ValueError, match="too long for the reward model, which reads 32 tokens"):
        next(start(prompts=["ab", "a" * 40], reward=short))


def test_demonstrations_and_rankings_longer_than_the_context():
    model, _, _ = family()
    with pytest.raises(ValueError, match=r"1 of 2 prompts are too long for the model.*its reply included"):
        next(
            supervised.sft(
                model, Letters(8), [Pair("a", "b"), Pair("a", "b" * 70)], SupervisedConfig(steps=1, batch=1), seed=0
            )
        )
    rankings = [Ranking("a", ("b", "c" * 90))]
    with pytest.raises(ValueError, match="1 of 1 prompts are too long"):
        next(train_reward(ScalarModel.reward(model), Letters(8), rankings, SupervisedConfig(steps=1, batch=1), seed=0))


def test_the_command_says_it_too(folder, tmp_path, capsys):
    shop.write(folder / "long.jsonl", [{"prompt": "tea"}, {"prompt": "coffee " * 60}])
    refused(folder, tmp_path, capsys, prompts="long.jsonl", words=["1 of 2 prompts are too long", "max_new_tokens"])


@pytest.mark.parametrize("prompts", [[], "one text", [3], ["a", None]], ids=str)
def test_prompts_that_are_no_list_of_texts(prompts):
    with pytest.raises(ValueError, match="prompts must be a list of at least one text"):
        next(start(prompts=prompts))


def test_an_empty_prompt_has_nothing_to_begin_from():
    with pytest.raises(ValueError, match="prompts: '' has no token"):
        next(start(prompts=["a", ""]))


def test_a_prompt_of_unknown_words_alone_is_refused():
    """Every prompt would be the same to the model, and nothing would say so."""
    tokenizer = Letters(8)
    tokenizer.unk_token_id = 2
    with pytest.raises(ValueError, match=r"prompts: 'bb' has no token \(that is known\)"):
        next(rlhf.rlhf(SHORT, Models(*family(), lambda *_: 1.0), ["ab", "bb"], tokenizer=tokenizer))


def test_repeated_prompts_are_used_once_and_said():
    with pytest.warns(UserWarning, match="2 of 4 are repeated; each is used once"):
        row = next(start(prompts=["a", "b", "a", "a"]))
    assert row["iteration"] == 0


def test_the_command_on_empty_and_repeated_files(folder, tmp_path, capsys):
    (folder / "empty.jsonl").write_text("\n")
    refused(folder, tmp_path, capsys, prompts="empty.jsonl", words=["empty.jsonl is empty"])
    refused(folder, tmp_path, capsys, prompts="gone.jsonl", words=["gone.jsonl", "No such file"])
    (folder / "bad.jsonl").write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    refused(folder, tmp_path, capsys, prompts="bad.jsonl", words=["1 of 2 lines", 'line 2: has no "prompt"'])
    shop.write(folder / "twice.jsonl", [{"prompt": x} for x in ("tea", "tea", "milk")])
    assert shop.rlhf(folder, tmp_path, prompts="twice.jsonl") == 0
    message = capsys.readouterr()
    assert "left out: 1 of 3 lines repeat an earlier prompt (2)" in message.out and "UserWarning" not in message.err


# ---- rewards ---------------------------------------------------------------------------------------------------------


def test_a_reward_that_is_no_number():
    for value, words in {
        "nan": "must be a finite number; got nan",
        "'3'": "must be a finite number; got '3'",
        "None": "must be a finite number; got None",
        "[1.0, 2.0]": "must be a finite number; got",
        "1e39": "e+38]; got 1e+39",  # infinite in float32, in which scores are kept
    }.items():
        with pytest.raises(ValueError, match="must be a") as caught:
            next(start(reward=lambda prompt, reply, value=value: eval(value, {"nan": math.nan})))
        assert words in str(caught.value) and "in iteration 0" in caught.value.__notes__[-1]


def test_a_reward_that_fails_in_the_middle_loses_no_iteration(tmp_path):
    calls = []

    def failing(prompt, reply):
        calls.append(reply)
        if len(calls) == 15:
            raise LookupError("the server is gone")
        return float(len(reply))

    path = tmp_path / "run"
    with pytest.raises(LookupError, match="the server is gone") as caught:
        list(start(reward=failing, resume=path))
    assert "raised by the reward function" in caught.value.__notes__[0]
    assert "holds the run up to iteration 3" in caught.value.__notes__[1]
    models = family()
    rows = list(start(reward=lambda prompt, reply: float(len(reply)), resume=path, models=models))
    expected = family()
    assert len(list(start(reward=lambda prompt, reply: float(len(reply)), models=expected))) == len(rows) == 4
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), expected[0].parameters()))


FUNCTIONS = {
    "nan": ("def score(prompt, reply):\n    return float('nan')", ["must be a finite number; got nan"]),
    "text": ("def score(prompt, reply):\n    return '1.0'", ["must be a finite number; got '1.0'"]),
    "list": ("def score(prompt, reply):\n    return [1.0]", ["must be a finite number; got [1.0]"]),
    "raises": ("def score(prompt, reply):\n    return {}[3]", ["bad.py:score failed: KeyError: 3 (line 2 of bad.py)"]),
    "arguments": ("def score(reply):\n    return 1", ["failed: TypeError", "positional argument"]),
    "another name": ("def scores(prompt, reply):\n    return 1", ["no function score; did you mean", "bad.py:scores?"]),
    "none at all": ("x = 3", ["has no function score; it has none"]),
    "syntax": ("def score(prompt, reply:\n    return 1", ["bad.py cannot be loaded: line 1:"]),
    "import": ("import nothing_of_this_name", ["cannot be loaded: ModuleNotFoundError", "(line 1 of bad.py)"]),
    "exits": ("import sys\ndef score(prompt, reply):\n    sys.exit(0)", ["score failed: SystemExit: 0 (line 3 of bad"]),
    "quits": (
        "def score(prompt, reply):\n    return 1\n\nquit()",
        ["cannot be loaded: SystemExit", "(line 4 of bad.py)"],
    ),
    "too large": ("def score(prompt, reply):\n    return 10**400", ["must be a finite number; got 1000"]),
    "in a library": ("import json\ndef score(prompt, reply):\n    return json.loads('{')", ["(line 3 of bad.py)"]),
    "another dtype": (
        "import torch\ntorch.set_default_dtype(torch.float64)\ndef score(prompt, reply):\n    return 1",
        ["bad.py sets torch's default dtype to torch.float64; name dtype="],
    ),
    "another dtype later": (
        "import torch\ndef score(prompt, reply):\n    torch.set_default_dtype(torch.float64)\n    return 1",
        ["bad.py:score sets torch's default dtype to torch.float64"],
    ),
}


@pytest.mark.parametrize(("source", "words"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_reward_function_from_a_file(source, words, folder, tmp_path, capsys):
    (folder / "bad.py").write_text(source + "\n")
    refused(folder, tmp_path, capsys, reward="bad.py:score", words=words)


def test_a_reward_that_exits_in_the_middle_loses_no_iteration(folder, tmp_path, capsys):
    """It ended with status 0, and without the iterations since the last checkpoint."""
    (folder / "bad.py").write_text(
        "import sys\ncalls = []\ndef score(prompt, reply):\n    calls.append(1)\n"
        "    return sys.exit(0) if len(calls) > 12 else 1.0\n"
    )
    refused(folder, tmp_path, capsys, reward="bad.py:score", words=["SystemExit: 0", "up to iteration"])
    rows = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert 0 < len(rows) == len(checkpoint.load(tmp_path / "run.safetensors")[1]["rows"]) < 4
    path = tmp_path / "alone"
    with pytest.raises(RuntimeError, match=r"called sys.exit\(3\); let it raise an error"):
        next(start(reward=lambda prompt, reply: exit_with(3), resume=path))
    assert torch.get_default_dtype() == torch.float32


def exit_with(code):
    raise SystemExit(code)


def test_a_reward_function_that_is_not_there(folder, tmp_path, capsys):
    refused(folder, tmp_path, capsys, reward="gone.py:score", words=["there is no file", "my_reward.py:score"])
    refused(folder, tmp_path, capsys, reward="my_reward.py", words=["(none was named)", "it has score, helper_of_mine"])
    refused(folder, tmp_path, capsys, reward="nowhere", words=["there is no folder", "or FILE.py:FUNCTION"])
    refused(folder, tmp_path, capsys, reward="model", words=["holds no reward model; head.safetensors is missing"])


def test_a_reward_model_with_another_tokenizer(folder, tmp_path, capsys):
    small = build("llama", vocab_size=40)
    ScalarModel.reward(small).save(tmp_path / "small")
    other = train_tokenizer(["entirely other words " * 3], vocab_size=300)
    same_size = build("llama", vocab_size=len(load_tokenizer(folder / "model")))
    ScalarModel.reward(same_size).save(tmp_path / "other")
    output, words = tmp_path / "run", ["was trained with another tokenizer"]
    refused(folder, output, capsys, reward=f"{tmp_path / 'small'}", words=[*words, "40 tokens against"])
    assert shop.rlhf(folder, tmp_path / "fine", reward=f"{tmp_path / 'other'}") == 0, "as many tokens, none to compare"
    other.save_pretrained(tmp_path / "other")
    refused(folder, output, capsys, reward=f"{tmp_path / 'other'}", words=words)
    with pytest.raises(ValueError, match=r"the reward model knows 40 tokens, the actor 8 and the tokenizer 8.*another"):
        next(start(reward=ScalarModel.reward(small)))


# ---- models and tokenizers -------------------------------------------------------------------------------------------


def test_models_that_are_not_there(folder, tmp_path, capsys):
    (folder / "nothing").mkdir(exist_ok=True)
    shutil.copytree(folder / "model", folder / "bare", dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "bare" / name).unlink(missing_ok=True)
    (folder / "trained" / "model").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "model" / "config.json", folder / "trained" / "model")
    for model, words in {
        "modle": ["there is no folder"],
        "nothing": ["holds no language model; config.json is missing"],
        "trained": ["holds no language model; did you mean", "trained/model?"],
        "bare": ["holds no tokenizer; name the folder that does with --tokenizer"],
    }.items():
        command = ["sft", "--model", f"{folder / model}", "--data", f"{folder / 'pairs.jsonl'}"]
        refused(folder, tmp_path / "out", capsys, command=command, words=[*words, str(folder / model)])


def test_a_mistyped_folder_is_not_asked_for_on_the_hub(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    command = ["sft", "--model", f"{folder.name}/modle", "--data", f"{folder / 'pairs.jsonl'}"]
    refused(
        folder, tmp_path, capsys, command=command, words=["there is no folder", f"did you mean {folder.name}/model?"]
    )


def test_a_tokenizer_that_is_larger_than_the_model(folder, tmp_path, capsys):
    large = train_tokenizer(
        [" ".join(f"{a}{b}{c}" for a in "abcdefgh" for b in "aeiou" for c in "klmnpr")], vocab_size=400
    )
    large.save_pretrained(folder / "large")
    refused(folder, tmp_path, capsys, "--tokenizer", f"{folder / 'large'}", words=["tokens and the model only"])


def cut(file):
    """The first half of it."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def sharded(folder):
    """Two files of weights, by their index, of which the second never came."""
    path = folder / "model.safetensors"
    names = list(load_file(path))
    path.rename(folder / "model-00001-of-00002.safetensors")
    index = {name: f"model-0000{1 + (i > 3)}-of-00002.safetensors" for i, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def pickled(folder):
    """Weights as a pickle with a foreign object in it."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": Fraction(1, 2)}))


def changed_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")

    return change


def template(text):
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


BROKEN = {  # what somebody's folder may be like: what to do to a good one, words of the message
    "cut": (lambda f: cut(f / "model.safetensors"), ["weights cannot be read", "fetch it again"]),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        ["weights cannot be read", "Git LFS pointer"],
    ),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        ["not all of its weights are there", "Fetch it again"],
    ),
    "half of its files": (sharded, ["not all of its weights are there", "model-00002-of-00002.safetensors"]),
    "another shape": (changed_config(vocab_size=400), ["other shapes than its config.json says"]),
    "config cut": (lambda f: cut(f / "config.json"), ["config.json is broken"]),
    "half a tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ["holds no whole tokenizer", "Copy all files"]),
    "tokenizer cut": (lambda f: cut(f / "tokenizer.json"), ["tokenizer.json is broken"]),
    "pickled": (pickled, ["pickled with more than tensors", "safetensors"]),
    "quantised": (
        changed_config(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128}),
        ["quantised", "gptq"],
    ),
    "two halves": (
        lambda f: transformers.T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2).save_pretrained(f),
        ["no causal language model of this kind", "T5Config"],
    ),
    "a template that refuses": (template("{{ raise_exception('Only in English') }}"), ["chat template", "English"]),
    "a template that is none": (template("{% for m in messages %}"), ["chat template fails", "Mend it"]),
}


@pytest.mark.parametrize(("damage", "words"), BROKEN.values(), ids=BROKEN)
def test_folders_that_are_broken_are_told_in_one_message(damage, words, folder, tmp_path, capsys):
    shutil.copytree(folder / "model", tmp_path / "model")
    damage(tmp_path / "model")
    command = ["sft", "--model", f"{tmp_path / 'model'}", "--data", f"{folder / 'pairs.jsonl'}"]
    message = refused(folder, tmp_path / "out", capsys, command=command, words=words)
    assert str(tmp_path / "model") in message or "template" in message
    assert not any(message.count(x) > 1 for x in ("fetch it again", "Fetch it again")), "said once"
    assert not (tmp_path / "out" / "run.json").exists()


def test_pad_may_be_eos(folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({key: x for key, x in config.items() if key != "pad_token"}), "utf-8")
    tokenizer = load_tokenizer(tmp_path / "model")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    for name in ("prompts.jsonl", "pairs.jsonl", "rankings.jsonl", "my_reward.py"):
        shutil.copy(folder / name, tmp_path)
    for command, data in (("sft", "pairs"), ("reward", "rankings")):
        where = ["--model", f"{tmp_path / 'model'}", "--data", f"{tmp_path / data}.jsonl", "--output"]
        assert cli.main([command, *where, f"{tmp_path / command}", "--steps", "2"]) == 0
    assert shop.rlhf(tmp_path, tmp_path / "rlhf", reward="reward/model") == 0
    row = json.loads((tmp_path / "rlhf" / "metrics.jsonl").read_text("utf-8").splitlines()[0])
    assert row["ratio_error"] < 1e-5 and row["length"] > 1


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bta", "kl=FixedKL"),
        ("beta", "kl=FixedKL"),
        ("itterations", "iterations"),
        ("learning_rate", "lr"),
        ("max_new_token", "max_new_tokens"),
        ("epoch", "epochs"),
        ("zzz", "There are iterations, batch"),
    ],
)
def test_a_misspelled_field_says_which_was_meant(name, meant):
    for make in (lambda: RLHFConfig(**{name: 1}), lambda: replace(RLHFConfig(), **{name: 1})):
        with pytest.raises(TypeError, match=f"RLHFConfig has no field '{name}'") as caught:
            make()
        assert meant in str(caught.value)
    assert RLHFConfig(30, batch=8) == RLHFConfig(iterations=30, batch=8)
    with pytest.raises(TypeError, match=r"SupervisedConfig has no field 'step'. Did you mean steps"):
        SupervisedConfig(step=3)


SETTINGS = {
    "misspelled": (["--set", "minibatch=2"], ["no field 'minibatch'", "Did you mean minibatches?"]),
    "no sign": (["--set", "eps"], ["must look like FIELD=VALUE"]),
    "no whole number": (["--set", "minibatches=2.5"], ["minibatches must be int; got '2.5'"]),
    "no number": (["--set", "eps=wide"], ["eps must be float"]),
    "nor none": (["--set", "value_clip=off"], ["value_clip must be float or none; got 'off'"]),
    "no yes or no": (["--set", "anneal=1"], ["anneal must be bool"]),
    "twice": (["--set", "batch=3"], ["batch is given twice"]),
    "kl": (["--set", "kl=0.1"], ["say --beta and --kl"]),
    "help": (["--set", "help=1"], ["eps=0.2", "kl_loss_kind=k2"]),
    "negative beta": (["--beta", "-0.1"], ["beta must not be negative; got -0.1"]),
    "a price nobody pays": (["--kl", "none", "--beta", "0.1"], ["with --kl none nobody pays it"]),
    "not allowed together": (["--set", "advantages=group"], ["replies=1 leaves none to compare"]),
    "does not divide": (["--set", "replies=3"], ["batch must be a multiple"]),
    "lr below 0": (["--set", "critic_lr=-1"], ["critic_lr must be"]),
    "gradients turned around": (["--set", "max_grad_norm=-1"], ["max_grad_norm must be positive; got -1.0"]),
    "gradients of no length": (["--set", "max_grad_norm=0"], ["max_grad_norm must be positive; got 0.0"]),
    "gradients of no number": (["--set", "max_grad_norm=nan"], ["max_grad_norm must be positive; got nan"]),
    "all scores alike": (["--set", "score_clip=-1"], ["score_clip must be positive, or None for no limit; got -1.0"]),
    "no mini-batch": (["--set", "minibatches=0"], ["minibatches must be at least 1; got 0"]),
    "all held out": (["--held", "24"], ["--held 24", "24 different prompts"]),
    "plain texts": (["--set", "ptx_coef=1"], ["needs documents"]),
    "no rhythm": (["--show-every", "-1"], ["--show-every must be at least 0; got -1"]),
    "threads": (["--threads", "-1"], ["--threads must be at least 1 and at most", "got -1"]),
}


def test_settings_are_looked_at_before_the_model_is(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train.loading, "language_model", lambda name: pytest.fail("it was loaded"))
    refused(folder, tmp_path, capsys, "--set", "score_clip=0", words=["score_clip must be positive"])


@pytest.mark.parametrize("command", ["sft", "reward"])
def test_settings_of_supervised_training_too(command, folder, tmp_path, capsys):
    data = {"sft": "pairs", "reward": "rankings"}[command]
    where = [command, "--model", f"{folder / 'model'}", "--data", f"{folder / data}.jsonl"]
    for setting, words in {"max_grad_norm=-1": "max_grad_norm must be positive", "lr=nan": "lr must be"}.items():
        refused(folder, tmp_path / "out", capsys, command=[*where, "--set", setting], words=[words])
        assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(("more", "words"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_cannot_be(more, words, folder, tmp_path, capsys):
    refused(folder, tmp_path, capsys, *more, words=words)
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}, "and the folder is still free"


def test_options_that_do_not_exist(capsys):
    for argv, words in {
        ("rlhf", "--itterations", "3", "--output", "x"): "rlhf has no --itterations; did you mean --iterations?",
        ("rlhf", "--model", "x"): "required: --output",
        ("rlfh",): "invalid choice",
        ("sft", "--output", "x", "--steps", "many"): "invalid int value",
    }.items():
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 2 and words in capsys.readouterr().err


def test_options_that_are_missing(folder, tmp_path, capsys):
    refused(
        folder, tmp_path, capsys, command=["rlhf"], words=["rlhf needs --model and --reward and --prompts", "example"]
    )
    refused(folder, tmp_path, capsys, command=["sft", "--model", "x"], words=["sft needs --data"])


def test_plain_texts_that_are_shorter_than_one_row(folder, tmp_path, capsys):
    (folder / "short.txt").write_text("a cup of tea\n")
    more = ["--documents", f"{folder / 'short.txt'}", "--set", "ptx_coef=1"]
    refused(folder, tmp_path, capsys, *more, words=["documents have", "needs more than 64"])


def test_a_beta_below_0():
    with pytest.raises(ValueError, match=r"beta must not be negative; got -0.1"):
        FixedKL(-0.1)


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_refused_with_both_remedies(folder, tmp_path, capsys):
    assert shop.rlhf(folder, tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert shop.rlhf(folder, tmp_path) == 2
    message = capsys.readouterr().err
    assert (
        "holds a run already: rlhf, 4 iterations saved" in message and "--resume" in message and "--output" in message
    )
    assert shop.rlhf(folder, tmp_path, "--resume", short=[*shop.SHORT, "--beta", "0.5"]) == 2
    assert "--beta was not given, is now 0.5. Options that you leave out stay" in capsys.readouterr().err
    assert cli.main(["sft", "--output", f"{tmp_path}", "--resume"]) == 2
    assert "holds a run of the command rlhf, not of sft" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_prompts_that_have_changed_are_another_run(folder, tmp_path, capsys):
    shutil.copy(folder / "prompts.jsonl", folder / "changing.jsonl")
    assert shop.rlhf(folder, tmp_path, prompts="changing.jsonl") == 0
    text = (folder / "changing.jsonl").read_text("utf-8")
    (folder / "changing.jsonl").write_text(text.replace("green", "black"), "utf-8")
    assert shop.rlhf(folder, tmp_path, "--resume", prompts="changing.jsonl") == 2
    assert "holds another run: prompts was 22 with checksum" in capsys.readouterr().err


def test_two_runs_in_one_folder(folder, tmp_path, capsys):
    with FileLock(tmp_path / ".lock"):
        refused(folder, tmp_path, capsys, words=["another run is writing into", "another --output"])
    assert shop.rlhf(folder, tmp_path) == 0


def test_an_output_that_is_a_file(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert shop.rlhf(folder, tmp_path / "file") == 2
    assert "is a file; name a folder" in capsys.readouterr().err and (tmp_path / "file").read_text() == "mine"


def test_a_broken_run_file(folder, tmp_path, capsys):
    assert shop.rlhf(folder, tmp_path) == 0
    (tmp_path / "run.json").write_text("{")
    assert shop.rlhf(folder, tmp_path, "--resume") == 2
    assert "run.json cannot be read" in capsys.readouterr().err


# ---- a disk that is full ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def room(size):
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


UNSAVED = {"seconds", "replies"}  # a time of day, and what a checkpoint leaves out
needs_unix = pytest.mark.skipif(resource is None, reason="limits of a file's size are Unix's")


@pytest.mark.parametrize("stop", [1, 3])
def test_ctrl_c_saves_after_every_iteration(stop, tmp_path):
    """The same rows as a whole run's, but for the seconds; SHORT has a checkpoint every 2."""
    path, plain = tmp_path / "run", lambda rows: [{k: x for k, x in r.items() if k not in UNSAVED} for r in rows]
    whole, ours = family(), family()
    rows, run = list(start(models=whole)), start(models=ours, resume=path)
    assert plain(next(run) for _ in range(stop)) == plain(rows[:stop])
    with pytest.raises(KeyboardInterrupt) as caught:
        run.throw(KeyboardInterrupt)
    assert f"holds the run up to iteration {stop}" in caught.value.__notes__[0]
    again = family()
    assert plain(start(models=again, resume=path)) == plain(rows)
    assert all(torch.equal(a, b) for a, b in zip(again[0].parameters(), whole[0].parameters()))


@needs_unix
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "run"
    run = start(replace(SHORT, iterations=6), resume=path)
    rows = [next(run) for _ in range(3)]
    before = path.read_bytes()
    next(run)
    with (
        room(5000),
        pytest.raises(OSError, match=r"could not write .*File too large.*untouched; is the disk full") as e,
    ):
        next(run)
    assert "holds the run up to iteration 2" in e.value.__notes__[0]
    assert path.read_bytes() == before and [x.name for x in tmp_path.iterdir()] == ["run"]
    assert list(start(replace(SHORT, iterations=6), resume=path))[:2] == [
        {name: x for name, x in row.items() if name != "replies"} for row in rows[:2]
    ]


@needs_unix
def test_the_command_on_a_full_disk_says_so_and_goes_on_later(folder, tmp_path, capsys):
    output = tmp_path / "run"
    with room(20_000):
        assert shop.rlhf(folder, output, "--checkpoint-every", "2") == 2
    message = capsys.readouterr().err
    assert "could not write" in message and "run.safetensors" in message and "is the disk full" in message
    assert shop.rlhf(folder, output, "--checkpoint-every", "2") == 0


def test_a_folder_where_nothing_may_be_written(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "run", {"x": torch.ones(2)}, {})

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint.os, "replace", refuse)
    with pytest.raises(OSError, match=r"Permission denied.*untouched"):
        checkpoint.save(tmp_path / "run", {"x": torch.zeros(2)}, {})
    assert checkpoint.load(tmp_path / "run")[0]["x"].sum() == 2 and len(list(tmp_path.iterdir())) == 1


# ---- numbers that are not finite -------------------------------------------------------------------------------------


def test_a_run_that_diverges_stops_with_a_diagnosis_and_the_last_good_checkpoint(tmp_path, monkeypatch):
    path, models, real, calls = tmp_path / "run", family(), rlhf.critic_loss, []

    def breaking(*arguments):
        calls.append(1)
        return real(*arguments) * (math.nan if len(calls) > 3 * 4 else 1.0)

    monkeypatch.setattr(rlhf, "critic_loss", breaking)
    with pytest.raises(FloatingPointError, match=r"is nan: the run has diverged. Lower lr=0.001") as caught:
        list(start(models=models, resume=path))
    safe, found = caught.value.__notes__
    assert "in iteration 3" in safe and "holds the run up to iteration 2" in safe
    assert found.startswith("What the 3 rows before it show: 1. score without spread")  # it is always 1
    tensors, facts = checkpoint.load(path)
    assert len(facts["rows"]) == 2 and all(x.isfinite().all() for x in tensors.values())
    assert all(p.isfinite().all() for model in models for p in model.parameters())
    monkeypatch.setattr(rlhf, "critic_loss", real)
    assert len(list(start(resume=path))) == 4


def test_the_command_tells_the_diagnosis_and_goes_on_later(folder, tmp_path, capsys, monkeypatch):
    real, calls = rlhf.critic_loss, []
    monkeypatch.setattr(
        rlhf, "critic_loss", lambda *a: calls.append(1) or real(*a) * (math.nan if len(calls) > 8 else 1)
    )
    refused(
        folder, tmp_path, capsys, "--checkpoint-every", "1", words=["has diverged", "up to iteration 2", "rows before"]
    )
    monkeypatch.setattr(rlhf, "critic_loss", real)
    assert cli.main(["rlhf", "--output", f"{tmp_path}", "--resume"]) == 0


def test_weights_that_are_broken_are_never_saved(tmp_path, monkeypatch):
    """The loss and the gradient were finite, the step was not: the next checkpoint would hold it."""
    path, models = tmp_path / "run", family()
    run = start(models=models, resume=path, config=replace(SHORT, checkpoint_every=1))
    next(run), next(run)
    good, step = path.read_bytes(), torch.optim.AdamW.step

    def broken(self, *arguments):
        step(self, *arguments)
        self.param_groups[0]["params"][0].data[0] = math.inf

    monkeypatch.setattr(torch.optim.AdamW, "step", broken)
    with pytest.raises((FloatingPointError, ValueError), match=r"is inf|non-finite entry") as caught:
        list(run)
    assert "What the 2 rows before it show" in caught.value.__notes__[-1]
    saved = checkpoint.load(path)[0]
    assert path.read_bytes() != good, "iteration 2 began with good weights, and they are saved"
    assert all(x.isfinite().all() for x in saved.values())


def test_scores_that_are_not_finite_stop_it_too():
    judge = ScalarModel.reward(family()[2])
    judge.head.weight.data[:] = math.inf
    with pytest.raises(ValueError, match="scores has a non-finite entry") as caught:
        list(start(reward=judge))
    assert "in iteration 0" in caught.value.__notes__[0]
