"""`python -m ppo_lesson export verl`: the script as bash runs it, the data, the reward function, what is refused."""

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from transformers import LlamaConfig

from ppo_lesson import bridge
from ppo_lesson.commands import export
from ppo_lesson.commands.options import add_options
from ppo_lesson.kl import FixedKL, ZieglerKL
from ppo_lesson.language.rlhf import RLHFConfig

PROMPTS = ["How do I reset my password?", "我的包裹在哪里？", *(f"Question {i}" for i in range(70))]
MINE = '''"""Counts words."""


def score(prompt, reply):
    return float("nan") if reply == "nan" else len(reply.split()) + (prompt in reply)
'''


@pytest.fixture
def place(tmp_path):
    """A folder, with a blank in its name, that holds prompts and a reward function."""
    folder = tmp_path / "my data"
    folder.mkdir()
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in PROMPTS]
    (folder / "prompts.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "my_reward.py").write_text(MINE, "utf-8")
    return folder


def call(place, *more, config="defaults", **changed):
    """Run the command; returns its output folder."""
    parser = argparse.ArgumentParser()
    add_options(parser, "export")
    given = {"config": config, "model": "some/model", "prompts": place / "prompts.jsonl", "format": "jsonl"}
    given |= {"reward": f"{place / 'my_reward.py'}:score", "output": place / "verl", **changed}
    said = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
    assert export.execute(parser.parse_args(["verl", *said, *more])) == 0
    return given["output"]


def words_for_verl(folder, *more):
    """What verl would be given: run.sh under a python3 that prints its arguments."""
    stand_in = folder / "bin"
    stand_in.mkdir()
    (stand_in / "python3").write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n', "utf-8")
    (stand_in / "python3").chmod(0o755)
    env = {**os.environ, "PATH": f"{stand_in}{os.pathsep}{os.environ['PATH']}"}
    ask = ["bash", str(folder / "run.sh"), *more]
    return subprocess.run(ask, env=env, capture_output=True, text=True, check=True).stdout.splitlines()


needs_bash = pytest.mark.skipif(not shutil.which("bash") or sys.platform == "win32", reason="run.sh is for bash")


@needs_bash
def test_the_script_gives_verl_these_settings(place):
    folder = call(place, gpus=2, held_out=place / "prompts.jsonl")
    module, trainer, *words = words_for_verl(folder, "trainer.nnodes=3")
    assert (module, trainer) == ("-m", "verl.trainer.main_ppo") and words[-1] == "trainer.nnodes=3"
    settings = bridge.read_settings("\n".join(f'"{word}"' for word in words[:-1]))
    large = RLHFConfig(lr=1e-6, critic_lr=1e-5)  # as some/model, of which nothing is known here, is taken for
    expected = bridge.to_verl(large, bridge.Launch(gpus=2), prompts=len(PROMPTS))
    assert {key: settings[key] for key in expected} == expected
    assert settings["data.train_files"] == str(folder / "train.jsonl")  # with its blank, as one word
    assert settings["data.val_files"] == str(folder / "held.jsonl") and settings["trainer.test_freq"] == 10
    assert settings["reward.custom_reward_function.path"] == str(folder / "verl_reward.py")
    assert settings["actor_rollout_ref.model.path"] == settings["critic.model.path"] == "some/model"
    config, notes = bridge.from_verl(settings)
    assert config == large and {note.kind for note in notes} <= {"launch"}


def test_the_script_says_at_its_top_what_is_not_the_same(place, capsys):
    (place / "mine.json").write_text(json.dumps({"ptx_coef": 0.5, "kl": {"beta": 0.2, "target": 6.0}, "batch": 32}))
    folder = call(place, config=place / "mine.json", mean_length=30)
    script = (folder / "run.sh").read_text("utf-8")
    top = script[: script.index("set -euo")]
    assert "lost: ptx_coef=0.5" in top and "6 nats / 30" in top and "warmup=5" in top
    assert "algorithm.kl_ctrl.target_kl=0.2 " in script and "data.train_batch_size=32 " in script
    assert "lost: ptx_coef=0.5" in capsys.readouterr().out


def reward_in(folder):
    spec = importlib.util.spec_from_file_location("verl_reward", folder / "verl_reward.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


def test_the_reward_function_takes_what_verl_gives(place):
    (place / "mine.json").write_text(json.dumps({"score_clip": 2.5}))
    folder = call(place, config=place / "mine.json")
    assert "score_clip" not in (folder / "run.sh").read_text("utf-8")  # not lost: the function does it
    row = json.loads((folder / "train.jsonl").read_text("utf-8").splitlines()[1])
    compute_score = reward_in(folder)
    given = {"data_source": row["data_source"], "ground_truth": row["reward_model"]["ground_truth"]}
    assert compute_score(**given, solution_str=" two words ", extra_info=row["extra_info"]) == 2.0
    assert compute_score(**given, solution_str=f"{PROMPTS[1]} a b", extra_info=row["extra_info"]) == 2.5
    with pytest.raises(ValueError, match="must be a finite number"):
        compute_score(**given, solution_str="nan", extra_info=row["extra_info"])


def check_rows(rows):
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": text}] for text in PROMPTS]
    assert [row["extra_info"]["index"] for row in rows] == list(range(len(PROMPTS)))
    assert rows[0]["extra_info"]["prompt"] == PROMPTS[0] and rows[0]["extra_info"]["split"] == "train"
    assert rows[0]["data_source"] == "prompts" and rows[0]["reward_model"] == {"style": "rule", "ground_truth": ""}


def test_the_data_in_jsonl(place):
    text = (call(place) / "train.jsonl").read_text("utf-8")
    check_rows([json.loads(line) for line in text.splitlines()])


def test_the_data_in_parquet(place):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra [export] installs pyarrow")
    check_rows(parquet.read_table(call(place, format="parquet") / "train.parquet").to_pylist())


def test_without_pyarrow_nothing_is_written_and_the_way_out_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"ppo-lesson\[export\].*--format jsonl"):
        call(place, format="parquet")
    assert not (place / "verl").exists()


# ---- settings of a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [RLHFConfig(), RLHFConfig(kl=None, eps_high=0.28), RLHFConfig(kl=ZieglerKL(0.1, 6.0), value_clip=None)]
)
def test_a_runs_folder_brings_its_settings_and_options(place, config):
    run = {"command": "rlhf", "settings": repr(config), "options": {"model": "m", "prompts": "p"}}
    (place / "run.json").write_text(json.dumps(run))
    assert export.read_config(str(place)) == (config, {"model": "m", "prompts": "p"})
    assert export.read_config(str(place / "run.json"))[0] == config


SMALL, LARGE = {"lr": 6e-4, "critic_lr": 1e-3}, {"lr": 1e-6, "critic_lr": 1e-5}


def a_model(folder, width):
    """A folder that says what model it is, without weights: that is all that export looks at."""
    LlamaConfig(hidden_size=width, intermediate_size=4 * width, vocab_size=4096, num_hidden_layers=2).save_pretrained(
        folder
    )
    return str(folder)


def rates(folder):
    """The learning rates in run.sh, and its first lines."""
    script = (folder / "run.sh").read_text("utf-8")
    found = bridge.read_settings(script[script.index("python3") :])
    keys = {"lr": "actor_rollout_ref.actor.optim.lr", "critic_lr": "critic.optim.lr"}
    return {name: found[key] for name, key in keys.items()}, script[: script.index("set -euo")]


@pytest.mark.parametrize(
    ("width", "config", "expected"),
    [(None, SMALL, LARGE), (1024, SMALL, LARGE), (64, SMALL, SMALL), (64, LARGE, SMALL)],
)
def test_learning_rates_that_nobody_said_are_those_for_the_model_named(place, width, config, expected):
    """What `rlhf` chose for half a million parameters would be 600 times too large for half a billion."""
    run = {"command": "rlhf", "settings": repr(RLHFConfig(**config)), "options": {"beta": 0.1}}
    (place / "run.json").write_text(json.dumps(run))
    model = "Qwen/Qwen2.5-0.5B-Instruct" if width is None else a_model(place / "model", width)
    found, top = rates(call(place, config=place, model=model))
    assert found == expected
    told = [f"changed: {name}={expected[name]!r}: chosen anew for {model}" for name in expected]
    assert all((line in top) is (config != expected) for line in told)
    assert config == expected or f"it was {config['lr']:g}" in top


def test_the_critics_rate_follows_from_the_critics_size(place):
    small, large = a_model(place / "small", 64), a_model(place / "large", 1024)
    assert rates(call(place, model=large, critic=small))[0] == {"lr": 1e-6, "critic_lr": 1e-3}


@pytest.mark.parametrize("options", [{"lr": 6e-4}, {"set": ["lr=6e-4"]}])
def test_a_learning_rate_that_somebody_said_stays_and_is_told_if_it_is_unusual(place, options):
    (place / "run.json").write_text(json.dumps({"command": "rlhf", "settings": repr(RLHFConfig()), "options": options}))
    found, top = rates(call(place, config=place))
    assert found == {"lr": 6e-4, "critic_lr": 1e-5}
    assert "kept: lr=0.0006: you said so; the usual rate for some/model, no folder here" in top and "1e-06" in top
    (place / "mine.json").write_text(json.dumps({"lr": 2e-6}))
    found, top = rates(call(place, "--overwrite", config=place / "mine.json"))
    assert found == {"lr": 2e-6, "critic_lr": 1e-5} and "kept" not in top


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", math.nan),
        ("temperature", "hot"),
        ("gamma", [1]),
        ("eps", None),
        ("kl", True),
        ("seed", 1.5),
        ("whiten_advantages", "no"),
        ("aggregate", "x\ny"),
        ("max_grad_norm", -1),
    ],
)
def test_no_setting_of_a_file_goes_into_a_script_unless_it_can_be_meant(place, name, value):
    (place / "mine.json").write_text(json.dumps({name: value}))
    with pytest.raises(ValueError, match=f"{name if name != 'kl' else 'beta'} must"):
        call(place, config=place / "mine.json")
    assert not (place / "verl").exists()


def test_what_the_run_had_need_not_be_said_again(place):
    options = {"model": "m", "prompts": str(place / "prompts.jsonl"), "reward": f"{place / 'my_reward.py'}:score"}
    (place / "run.json").write_text(json.dumps({"command": "rlhf", "settings": repr(RLHFConfig()), "options": options}))
    folder = call(place, config=place, model=None, prompts=None, reward=None)
    assert "actor_rollout_ref.model.path=m " in (folder / "run.sh").read_text("utf-8")


@pytest.mark.parametrize("kl", [None, 0.2, {"beta": 0.2}, {"beta": 0.2, "target": 6.0, "horizon": 5000}])
def test_a_file_of_settings(place, kl):
    (place / "mine.json").write_text(json.dumps({"kl": kl, "lr": 1e-6}))
    config, _ = export.read_config(str(place / "mine.json"))
    price = None if kl is None else ZieglerKL(0.2, 6.0, 5000) if "target" in str(kl) else FixedKL(0.2)
    assert config == replace(RLHFConfig(), lr=1e-6, kl=price)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"learning": 1}', "has no field 'learning'"),
        ("[1]", "must hold an object"),
        ("{", "is not JSON"),
        ('{"kl": {"bta": 1}}', "kl must be null"),
        ('{"kl": "fixed"}', "kl must be null"),
        ('{"command": "sft", "settings": "X()"}', "of a run of sft"),
        ('{"command": "rlhf", "settings": "RLHFConfig(batch=open(1))"}', "settings cannot be read"),
        ('{"command": "rlhf", "settings": "RLHFConfig(lr=__import__(1).x(2))"}', "settings cannot be read"),
        ('{"command": "rlhf", "settings": "RLHFConfig(lr=-1.0)"}', "settings cannot be read (lr must be a number"),
    ],
)
def test_settings_that_cannot_be_read(place, text, words):
    (place / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)):
        call(place, config=place / "mine.json")


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"config": "nowhere"}, "there is no nowhere"),
        ({"model": None}, "export needs --model, or --config"),
        ({"reward": "reward_model"}, "must be FILE.py:FUNCTION. A reward model has no place"),
        ({"reward": "nowhere.py:score"}, "there is no file nowhere.py"),
        ({"gpus": 0}, "gpus must be at least 1"),
        ({"gpus": 5}, "cannot be shared equally by gpus=5"),
    ],
)
def test_what_cannot_be_exported(place, changed, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call(place, **changed)
    assert not (place / "verl").exists()


def test_reward_files_that_cannot_be_used(place):
    (place / "bad.py").write_text("def score(:\n")
    with pytest.raises(ValueError, match="line 1"):
        call(place, reward=f"{place / 'bad.py'}:score")
    with pytest.raises(ValueError, match="has no function 'scores'; it has score"):
        call(place, reward=f"{place / 'my_reward.py'}:scores")
    (place / "verl_reward.py").write_text(MINE)
    with pytest.raises(ValueError, match="give your file another name"):
        call(place, reward=f"{place / 'verl_reward.py'}:score")


def test_too_few_prompts_for_one_iteration(place):
    (place / "few.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}')
    with pytest.raises(ValueError, match="needs batch / replies = 64 different prompts"):
        call(place, prompts=place / "few.jsonl")


def test_an_export_is_not_written_over_by_mistake(place):
    call(place)
    with pytest.raises(ValueError, match="holds an export already"):
        call(place)
    call(place, "--overwrite")
    call(place, "--overwrite", reward=f"{place / 'verl' / 'my_reward.py'}:score")  # the copy itself
    assert (place / "verl" / "my_reward.py").read_text("utf-8") == MINE
