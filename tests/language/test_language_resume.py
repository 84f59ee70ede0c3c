"""A run that goes on is the same run: with another reference, reward or base it would be neither, and say nothing."""

import copy
import itertools
import json
from asyncio import CancelledError
from dataclasses import replace

import pytest
import shop
import torch
from tiny_language import Letters, build

from ppo_lesson import checkpoint
from ppo_lesson.commands import main as cli
from ppo_lesson.commands import report
from ppo_lesson.language import rlhf
from ppo_lesson.language.models import Models, ScalarModel, checksum, load_language_model, without_dropout
from ppo_lesson.language.rlhf import RLHFConfig

SHORT = RLHFConfig(iterations=2, batch=4, minibatches=2, max_new_tokens=4, lr=1e-3, checkpoint_every=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report, "plot", lambda *_: [])


def model(scale=1.0):
    made = without_dropout(build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0))
    with torch.no_grad():
        [p.mul_(scale) for p in made.parameters()]
    return made


def judge(scale=1.0):
    return ScalarModel.reward(model(scale))


def letters(prompt, reply):
    return float(len(reply))


def go(path, iterations, reward=letters, reference=None, **more):
    """Rows of a run with resume=path, of an actor that is always the same."""
    actor = model()
    models = Models(actor, ScalarModel.critic(actor), reference or model(), reward)
    config = replace(SHORT, iterations=4, **({"ptx_coef": 0.5, "ptx_batch": 2} if "documents" in more else {}))
    trainer = rlhf.rlhf(config, models, ["ab", "c"], tokenizer=Letters(8), resume=path, **more)
    rows = list(itertools.islice(trainer, iterations))
    trainer.close()
    return rows


OTHERS = {
    "a reference": ({}, {"reference": model(1.5)}, "reference was a model with checksum"),
    "a reward model": ({"reward": judge()}, {"reward": judge(1.5)}, "reward was a model with checksum"),
    "a function": ({}, {"reward": lambda p, r: 100.0}, "another reward.* and would score 100 now \\(4 of 4 replies"),
    "a function for a model": ({"reward": judge()}, {"reward": letters}, "reward was a model .*, is now absent"),
    "a model for a function": ({}, {"reward": judge()}, "reward was absent, is now a model"),
    "documents": (
        {"documents": [66 * "abc"]},
        {"documents": [66 * "abd"]},
        "documents was 199 with .*, is now 199 with",
    ),
}


@pytest.mark.parametrize(("first", "then", "words"), OTHERS.values(), ids=OTHERS)
@pytest.mark.slow
def test_another_one_is_refused_by_name(first, then, words, tmp_path):
    path = tmp_path / "run"
    go(path, 3, **first)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        go(path, 4, **first | then)
    assert path.read_bytes() == before
    assert len(go(path, 4, **first)) == 4, "and the same ones go on"


def test_a_reward_that_was_mended_and_still_gives_its_old_answers_goes_on(tmp_path):
    def mended(prompt, reply):
        return letters(prompt, reply) if isinstance(reply, str) else 0.0

    go(tmp_path / "run", 3)
    assert len(go(tmp_path / "run", 4, mended)) == 4


def test_a_reward_that_never_says_the_same_twice_cannot_be_compared(tmp_path):
    count = itertools.count()
    go(tmp_path / "run", 3)
    with pytest.warns(UserWarning, match="gives one reply two scores"):
        assert len(go(tmp_path / "run", 4, lambda p, r: float(next(count)))) == 4


def test_a_checksum_sees_every_weight_every_buffer_and_every_name():
    one = judge()
    found = {checksum(one)}
    assert checksum(copy.deepcopy(one)) in found
    for name, x in one.state_dict().items():
        with torch.no_grad():
            x.view(-1)[-1] += 1
        assert checksum(one) not in found, name
        found.add(checksum(one))
    assert checksum(one.requires_grad_(True), frozen=True) != checksum(one)
    for name, x in (
        ("rms_norm_eps", 0.1),
        ("hidden_act", "relu"),
    ):  # which compute something else with the same weights
        other = copy.deepcopy(one)
        setattr(other.config, name, x)
        assert checksum(other) != checksum(one), name
    other = copy.deepcopy(one)
    other.config._name_or_path = "the folder was moved"
    assert checksum(other) == checksum(one)


def test_a_run_whose_replies_would_end_otherwise_does_not_go_on(tmp_path):
    """Another generation_config.json, or another EOS of the tokenizer: the prompts are the same, the episodes not."""
    go(tmp_path / "run", 3)
    actor, other = model(), Letters(8)
    actor.generation_config.eos_token_id = [0, 3]
    config = replace(SHORT, iterations=4)
    models = Models(actor, ScalarModel.critic(actor), model(), letters)
    with pytest.raises(ValueError, match=r"ends of a reply was \[0\], is now \[0, 3\]"):
        next(rlhf.rlhf(config, models, ["ab", "c"], tokenizer=other, resume=tmp_path / "run"))


def test_a_run_whose_replies_would_be_written_otherwise_does_not_go_on(tmp_path):
    """Two tokens that no prompt has changed places: the reward would read other replies, and nothing said so."""

    class Words(Letters):
        def __init__(self, vocab, last="fg"):
            super().__init__(vocab)
            self.all = {"": 0} | {x: i for i, x in enumerate("abcde" + last, 1)}

        def get_vocab(self):
            return self.all

        def decode(self, ids, **_):
            return "".join(list(self.all)[i] for i in ids)

    def of(tokenizer):
        actor = model()
        models = Models(actor, ScalarModel.critic(actor), model(), letters)
        config = replace(SHORT, iterations=4)
        return rlhf.rlhf(config, models, ["ab", "c"], tokenizer=tokenizer, resume=tmp_path / "run")

    trainer = of(Words(8))
    list(itertools.islice(trainer, 3))
    trainer.close()
    with pytest.raises(ValueError, match=r"tokenizer was 8 with checksum .*, is now 8 with checksum"):
        next(of(Words(8, "gf")))
    assert len(list(of(Words(8)))) == 4


class Loud(Letters):
    """It writes what it has sampled in capitals, and reads it as before."""

    def get_vocab(self):
        return {chr(ord("a") + i - 1): i for i in range(1, self.vocab)}

    def decode(self, ids, **_):
        return super().decode(ids).upper()

    def __call__(self, text, **_):
        return super().__call__(text.lower())


class Quiet(Loud):
    def decode(self, ids, **_):
        return super().decode(ids).lower()


class Deaf(Loud):
    """It reads texts otherwise that no prompt has."""

    def __call__(self, text, **_):
        return super().__call__(text.lower().replace("f", "g"))


@pytest.mark.parametrize("other", [Quiet, Deaf])
def test_a_tokenizer_of_the_same_words_that_writes_or_reads_them_otherwise_does_not_go_on(other, tmp_path):
    def of(tokenizer):
        actor = model()
        models = Models(actor, ScalarModel.critic(actor), model(), lambda prompt, reply: 1.0)
        return rlhf.rlhf(
            replace(SHORT, iterations=4), models, ["ab", "c"], tokenizer=tokenizer, resume=tmp_path / "run"
        )

    trainer = of(Loud(8))
    list(itertools.islice(trainer, 3))
    trainer.close()
    with pytest.raises(ValueError, match="texts of the tokenizer was") as error:
        next(of(other(8)))
    assert "tokenizer was 7" not in str(error.value), "their words are the same"
    assert len(list(of(Loud(8)))) == 4


@pytest.mark.parametrize("name", ["actor", pytest.param("critic", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("field", "x"),
    [
        ("hidden_act", "gelu"),
        ("rms_norm_eps", 0.1),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 77.0}),
        ("attention_dropout", 0.5),
        ("logit_scale", 2.0),
        ("final_logit_softcapping", 3.0),
    ],
)
def test_another_config_of_a_model_that_learns_is_refused_though_its_shapes_are_the_same(name, field, x, tmp_path):
    def of(**changes):
        actor = model()
        critic = ScalarModel.critic(actor)
        for key, value in changes.items():
            setattr(copy.copy(actor.config) if name == "critic" else actor.config, key, value)
        if name == "critic" and changes:
            critic.config = critic.trunk.config = copy.deepcopy(critic.config)
            critic.config.update(changes)
        models = Models(actor, critic, model(), letters)
        return rlhf.rlhf(
            replace(SHORT, iterations=4), models, ["ab", "c"], tokenizer=Letters(8), resume=tmp_path / "run"
        )

    trainer = of()
    list(itertools.islice(trainer, 3))
    trainer.close()
    with pytest.raises(ValueError, match=f"{name} was a model with checksum"):
        next(of(**{field: x}))


# ---- the commands ----------------------------------------------------------------------------------------------------


def stopped(folder, output, capsys, change):
    """Stop an rlhf run in its third iteration, change the folder, go on: (status, message)."""
    (folder / "own.py").write_text(
        "import os, signal\ncalls = []\ndef score(prompt, reply):\n    calls.append(1)\n"
        "    len(calls) == 11 and os.kill(os.getpid(), signal.SIGINT)\n    return reply.count('e') / 4\n"
    )
    assert shop.rlhf(folder, output, reward="own.py:score") == 130
    change(folder)
    capsys.readouterr()
    status = cli.main(["rlhf", "--output", f"{output}", "--resume"])
    return status, capsys.readouterr().err


def larger(folder):
    loaded = load_language_model(folder / "model")
    with torch.no_grad():
        [p.mul_(1.5) for p in loaded.parameters()]
    loaded.save_pretrained(folder / "model")


def commented(folder):
    with open(folder / "model" / "chat_template.jinja", "a", encoding="utf-8") as file:
        file.write("{# prompts are as they were, but before replies there is no space any more #}")


def capitals(folder):
    path = folder / "model" / "tokenizer.json"
    parts = json.loads(path.read_text("utf-8"))
    louder = {"type": "Replace", "pattern": {"String": "e"}, "content": "E"}
    parts["decoder"] = {"type": "Sequence", "decoders": [parts["decoder"], louder]}
    path.write_text(json.dumps(parts), "utf-8")


CHANGES = {
    "template": (commented, "chat template was"),
    "decoder": (capitals, "texts of the tokenizer was"),
    "weights": (larger, "reference was a model with checksum"),
    "reward": (lambda f: (f / "own.py").write_text("def score(p, r):\n    return 100.0\n"), "would score 100 now"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_files_that_changed_under_a_run(change, words, tmp_path, capsys):
    """Neither option is said again: the names are the same, what they name is not."""
    status, message = stopped(shop.make(tmp_path), tmp_path / "out", capsys, change)
    assert status == 2 and words in message and "Traceback" not in message
    assert len(checkpoint.load(tmp_path / "out" / "run.safetensors")[1]["rows"]) == 3


def test_adapters_go_on_upon_their_own_base_only(tmp_path, capsys):
    pytest.importorskip("peft")
    shop.make(tmp_path)
    where = ["sft", "--model", f"{tmp_path / 'model'}", "--data", f"{tmp_path / 'pairs.jsonl'}"]
    where += ["--output", f"{tmp_path / 'out'}", "--steps", "4", "--lora-rank", "2"]
    assert cli.main(where) == 0
    larger(tmp_path)
    assert cli.main(["sft", "--output", f"{tmp_path / 'out'}", "--resume"]) == 2
    assert "began with other weights or another config.json" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "data"), [("sft", "pairs"), ("reward", "rankings")])
@pytest.mark.parametrize("change", ["weights", pytest.param("config", marks=pytest.mark.slow)])
def test_fine_tuning_goes_on_from_the_model_it_began_with_only(command, data, change, tmp_path, capsys):
    """All weights come from the checkpoint, but what the report calls "before" would be another model's."""
    shop.make(tmp_path)
    where = [command, "--model", f"{tmp_path / 'model'}", "--data", f"{tmp_path / f'{data}.jsonl'}"]
    assert cli.main([*where, "--output", f"{tmp_path / 'out'}", "--steps", "2"]) == 0
    before = (tmp_path / "out" / "summary.json").read_bytes()
    again = [command, "--output", f"{tmp_path / 'out'}", "--resume"]
    assert cli.main(again) == 0, "the same one goes on"
    if change == "weights":
        larger(tmp_path)
    else:
        path = tmp_path / "model" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"hidden_act": "gelu"}), "utf-8")
    assert cli.main(again) == 2
    assert "began with other weights or another config.json" in capsys.readouterr().err
    now = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert now["before"] == json.loads(before)["before"]


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(None), GeneratorExit(), CancelledError()], ids=repr)
@pytest.mark.slow
def test_no_way_to_end_a_reward_ends_the_run_as_if_all_were_well(error, tmp_path):
    calls = []

    def leaving(prompt, reply):
        calls.append(1)
        if len(calls) == 11:
            raise error
        return letters(prompt, reply)

    with pytest.raises(
        RuntimeError, match=r"reward\(.*\) (called sys.exit\(|raised (Gen|Canc)).*let it raise an error"
    ):
        go(tmp_path / "run", 4, leaving)
    assert len(checkpoint.load(tmp_path / "run")[1]["rows"]) == 2
    assert len(go(tmp_path / "run", 4)) == 4


@pytest.mark.parametrize("words", ["sys.exit(0)", "sys.exit()", "quit()", "raise asyncio.CancelledError"])
def test_nor_in_a_command(words, folder, tmp_path, capsys):
    (folder / "leaving.py").write_text(
        "import asyncio, sys\nn = []\ndef score(p, r):\n    n.append(1)\n"
        f"    if len(n) > 12:\n        {words}\n    return 1\n"
    )
    assert shop.rlhf(folder, tmp_path, reward="leaving.py:score") == 2
    message = capsys.readouterr().err
    assert "leaving.py:score failed: " in message and "Traceback" not in message and "up to iteration 2" in message
    rows = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == len(checkpoint.load(tmp_path / "run.safetensors")[1]["rows"]) == 2
