"""The bridge's words: settings written as a command and read from one, and the key map as a table."""

from dataclasses import fields, replace

import pytest

from ppo_lesson import bridge
from ppo_lesson.bridge import keys as words
from ppo_lesson.language.rlhf import RLHFConfig

PLAIN = RLHFConfig()
TO = {"verl": bridge.to_verl, "trl": bridge.to_trl, "openrlhf": bridge.to_openrlhf}


@pytest.mark.filterwarnings("ignore:trl")
@pytest.mark.parametrize("library", TO)
def test_settings_survive_being_written_as_a_command(library):
    settings = TO[library](replace(PLAIN, max_grad_norm=0.5), **({"prompts": 192} if library == "openrlhf" else {}))
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
    assert clip["verl default"] == "3.0" and clip["OpenRLHF default"] == "None" and clip["TRL 1.12"] == "-"


@pytest.mark.parametrize("library", words.SAME)
def test_translation_and_table_say_the_same(library):
    rows = {row.ours: getattr(row, library) for row in words.ROWS}
    assert {ours: key for ours, key in words.SAME[library].items() if key not in rows[ours]} == {}
    lost = {ours for ours, keys in rows.items() if ours and not keys}
    assert lost <= {*words.LOST[library], "rescore", "critic_lr"} | ({"replies"} if library == "trl" else set())
