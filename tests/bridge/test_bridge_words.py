"""The bridge's words: settings as a command, read from one or from a configuration file, and the key map as a table."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ppo_lesson import bridge
from ppo_lesson.bridge import keys as words
from ppo_lesson.language.rlhf import RLHFConfig

PLAIN = RLHFConfig()
TO = {"verl": bridge.to_verl, "trl": bridge.to_trl, "openrlhf": bridge.to_openrlhf}


@pytest.mark.filterwarnings("ignore:trl")
@pytest.mark.parametrize("library", TO)
def test_settings_survive_being_written_as_a_command(library):
    config = replace(PLAIN, max_grad_norm=0.5, advantages="group", replies=4, kl=None)
    settings = TO[library](config, **({"prompts": 192} if library == "openrlhf" else {}))
    written = bridge.read_settings(" \\\n  ".join(bridge.arguments(library, settings)))
    unsaid = {key for key, value in settings.items() if value is None or (library == "openrlhf" and value is False)}
    assert written == {key: value for key, value in settings.items() if library == "verl" or key not in unsaid}


def test_a_script_as_people_write_it():
    script = """#!/bin/bash
    set -x  # a comment with key=value
    export VLLM_USE_V1=1
    python3 -m verl.trainer.main_ppo \\
        algorithm.adv_estimator=gae \\
        data.train_files=$HOME/data/gsm8k/train.parquet data.train_batch_size=1024 \\
        actor_rollout_ref.actor.optim.lr=1e-6 critic.optim.betas=[0.9,.95] \\
        trainer.logger='["console","wandb"]' +trainer.note="a b" trainer.val_before_train=False data.seed=null $@
    """
    settings = bridge.read_settings(script)
    assert settings["data.train_batch_size"] == 1024 and settings["actor_rollout_ref.actor.optim.lr"] == 1e-6
    assert settings["critic.optim.betas"] == [0.9, 0.95] and settings["trainer.val_before_train"] is False
    assert settings["trainer.note"] == "a b" and settings["data.seed"] is None and "key" not in settings
    assert settings["data.train_files"] == "$HOME/data/gsm8k/train.parquet"
    assert settings["trainer.logger"] == ["console", "wandb"] and "VLLM_USE_V1" not in settings
    with pytest.raises(ValueError, match="is a quote open"):
        bridge.read_settings("trainer.note='a b")


def test_values_that_hydra_would_misread_are_quoted():
    assert bridge.arguments("verl", {"a": "/x y/z,1.parquet"}) == ["a='/x y/z,1.parquet'"]
    assert bridge.arguments("verl", {"a": "it's"}) == ["a='it\\'s'"]
    assert bridge.arguments("verl", {"a": ["x", None, 1e-6]}) == ["a=[x,null,1e-06]"]
    with pytest.raises(ValueError, match="library must be one of"):
        bridge.arguments("ray", {})


# ---- the map -----------------------------------------------------------------------------------------------------


def test_the_table_knows_every_field():
    rows = bridge.table()
    ours = [row["ours"] for row in rows if row["ours"] != "-"]
    assert len(ours) == len(set(ours))
    assert {*ours, *bridge.NO_COUNTERPART} == {field.name for field in fields(RLHFConfig)}
    assert all(row["meaning"] and set(row) == set(rows[0]) for row in rows)
    clip = next(row for row in rows if row["ours"] == "dual_clip")
    assert clip["verl default"] == "3.0" and clip["OpenRLHF default"] == "None" and clip["TRL 1.16"] == "delta"


@pytest.mark.parametrize("library", words.SAME)
def test_translation_and_table_say_the_same(library):
    column = "trl" if library == "rloo" else library  # one library, two trainers
    rows = {row.ours: getattr(row, column) for row in words.ROWS}
    assert {ours: key for ours, key in words.SAME[library].items() if key not in rows[ours]} == {}
    lost = {ours for ours, keys in rows.items() if ours and not keys}
    elsewhere = {"trl": {"kl"}, "rloo": {"kl", "score_clip"}}  # said by hand
    assert lost <= {*words.LOST[library], "rescore"} | elsewhere.get(library, set())


# ---- configuration files ---------------------------------------------------------------------------------------------

HYDRA = """# config.yaml
algorithm:
  adv_estimator: grpo
  gamma: 1.0
actor_rollout_ref:
  actor: {clip_ratio_low: 0.3, clip_ratio_high: 0.3, optim: {lr: 1e-6, betas: [0.9, 0.95]}}
  rollout:
    n: 4
trainer:
  logger:
  - console
  - wandb
  project_name: '2026'
  total_training_steps: null
  resume_mode: ~
data:
  train_batch_size: 64
  shuffle: true
"""
READ = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.gamma": 1.0,
    "actor_rollout_ref.actor.clip_ratio_low": 0.3,
    "actor_rollout_ref.actor.clip_ratio_high": 0.3,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.optim.betas": [0.9, 0.95],
    "actor_rollout_ref.rollout.n": 4,
    "trainer.logger": ["console", "wandb"],
    "trainer.project_name": "2026",
    "trainer.total_training_steps": None,
    "trainer.resume_mode": None,
    "data.train_batch_size": 64,
    "data.shuffle": True,
}


def nested(settings):
    made = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        place = made
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return made


def wandb(settings):
    """As wandb writes its config.yaml: each top key in {"value": ...}, its own facts beside them."""
    return {"_wandb": {"value": {"cli_version": "0.21"}}, "wandb_version": 1} | {
        key: {"desc": None, "value": value} for key, value in settings.items()
    }


FORMS = {
    "Hydra's config.yaml": HYDRA,
    "with a byte-order mark": "\ufeff" + HYDRA,
    "flat": yaml.safe_dump(READ),
    "wandb's config.yaml": yaml.safe_dump(wandb(nested(READ))),
    "wandb's config, flat": yaml.safe_dump(wandb(READ)),
    "what wandb's API gives": json.dumps({key: {"value": value} for key, value in nested(READ).items()}),
    "JSON": json.dumps(READ, indent=4),
    "JSON with tabs": json.dumps(nested(READ), indent="\t"),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_configuration_files_are_read_as_they_are(text):
    found = bridge.read_settings(text)
    assert found == READ and type(found["actor_rollout_ref.actor.optim.lr"]) is float
    config, _ = bridge.from_verl(found | {"actor_rollout_ref.actor.ppo_mini_batch_size": 32})
    assert (config.advantages, config.eps, config.lr, config.batch, config.minibatches) == ("group", 0.3, 1e-6, 256, 2)


def test_references_of_hydra_are_followed():
    text = """
    a: {n: 3, m: "${a.n}", unknown: "${hydra:runtime.cwd}/x"}
    b: {far: "${a.m}", other: "${oc.select:a.n,7}", not_there: "${oc.select:c.d, 7}"}
    """
    read = {"a.n": 3, "a.m": 3, "a.unknown": "${hydra:runtime.cwd}/x", "b.far": 3, "b.other": 3, "b.not_there": 7}
    assert bridge.read_settings(text) == read
    with pytest.raises(ValueError, match=r"data\.train_batch_size=\$\{size\} refers to something that is not here"):
        bridge.from_verl(bridge.read_settings("data:\n  train_batch_size: ${size}\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no setting is read from ''"),
        ("config.yaml", "no setting is read from 'config.yaml': give a command's text, or that of a YAML or JSON file"),
        ("python3 train.py", "no setting is read"),
        ("[1, 2]", "no setting is read"),
        ("a: 1\n---\nb: 2\n", "no setting is read"),  # two documents; the dashes were an option
        ("[actor]\nlr = 1e-6\n", "'[actor]' is neither a command nor YAML nor JSON"),
        ("config = PPOConfig(learning_rate=1e-6, gamma=1.0)", "'PPOConfig(learning_rate=' is neither a command"),
        ("a: 1\nb: {c: 1, c: 2}", "settings have 'c' twice (line 2)"),
        ('{"a": 1, "a": 1}', "settings have 'a' twice"),
        ("a.b: 1\na: {b: 2}", "settings have a.b twice, flat and nested"),
    ],
)
def test_what_is_not_read_is_refused_and_never_an_empty_dict(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        bridge.read_settings(text)


def test_a_path_is_no_text():
    with pytest.raises(TypeError, match=r"open\(path\)\.read\(\); got PosixPath|WindowsPath"):
        bridge.read_settings(Path("config.yaml"))


def test_a_script_with_json_in_a_word_stays_a_script():
    words = """ray job submit --runtime-env-json='{"a": 1}' -- python3 -m verl.trainer.main_ppo algorithm.gamma=0.9"""
    found = bridge.read_settings(words)
    assert found["algorithm.gamma"] == 0.9 and found["runtime-env-json"] == '{"a": 1}' and len(found) == 2


def test_numbers_of_numpy_are_numbers():
    """A sweep's settings come from `np.linspace`: a switch was refused, a pair was no pair."""
    plain = {"actor.eps_clip_low_high": [0.2, 0.3], "critic": {"value_clip": 0.5}, "algo.kl.use_loss": True}
    theirs = {"actor.eps_clip_low_high": np.array([0.2, 0.3]), "critic": {"value_clip": np.float64(0.5)}}
    assert bridge.from_openrlhf(theirs | {"algo.kl.use_loss": np.bool_(True)}) == bridge.from_openrlhf(plain)
    verl = {"actor_rollout_ref.actor.use_kl_loss": True, "actor_rollout_ref.rollout.n": 4, "data.train_batch_size": 512}
    assert bridge.from_verl({key: np.array(x)[()] for key, x in verl.items()}) == bridge.from_verl(verl)
