"""Logs of verl, TRL, OpenRLHF and our own, read by their content: every form, what is half written, what is refused.

The files in logs/ are one healthy and five sick runs of our trainer in each library's words; sick_logs.py wrote them.
"""

import json
import math
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from conform import peers, wheels  # noqa: E402

from ppo_lesson.bridge.logs import WRITERS, columns_in, read_log  # noqa: E402
from ppo_lesson.columns import COLUMNS  # noqa: E402

LOGS = Path(__file__).with_name("logs")
WHEELS = {"verl": "verl", "trl": "trl", "openrlhf": "openrlhf"}
ONLY_HERE = {"update_k1", "sampler_logp", "sampler_prob", "sampler_kl", "zero_groups", "length_least", "length_most"}


def text_of(name):
    return (LOGS / name).read_text("utf-8")


@pytest.mark.parametrize("library", WHEELS)
def test_each_metric_is_written_by_the_librarys_wheel(library):
    try:
        files = wheels.wheel(library, peers.VERSIONS[library])
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    code = [files.read(name).decode() for name in files.namelist() if name.endswith(".py") and "/test" not in name]
    whole = "\n".join(code)
    of_transformers = {"loss", "grad_norm", "learning_rate"} if library == "trl" else set()  # of its Trainer
    assert not {name for name in WRITERS[library].get("older", {}) if "/" in name and f'"{name}"' in whole}
    for name in set(WRITERS[library]["columns"]) - of_transformers:
        short = name.rpartition("/")[2] if library == "verl" else name  # actor/ and critic/ are put before it
        assert f'"{name}"' in whole or f'"{short}"' in whole or f"{{prefix}}/{short}" in whole, name
    assert peers.VERSIONS[library].removesuffix(".0") in WRITERS[library]["title"]


def test_the_table_speaks_of_columns_that_are_there():
    for library, of in WRITERS.items():
        for entry in of["columns"].values():
            for ours in columns_in(entry) if library != "ours" else ():
                assert ours in {*COLUMNS, *ONLY_HERE, "kl_loss"}, (library, entry)


FORMS = ["verl_healthy.log", "verl_healthy.jsonl", "verl_healthy.csv"]


def test_one_run_is_the_same_in_each_form_of_its_library():
    read = [read_log(text_of(name)) for name in FORMS]
    assert all(log.title == "verl 0.9.1" and len(log.rows) == 24 and not log.left_out for log in read)
    assert read[0].rows == read[1].rows == read[2].rows


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.iterdir()))
def test_the_library_is_known_by_its_metrics(name):
    log = read_log(text_of(name))
    assert log.library == name.split("_")[0] and len(log.rows) == 24 and log.left_out == []


def test_equations_are_solved_for_our_column():
    line = "step:3 - actor/ppo_kl:-0.25 - critic/score/mean:1.0 - critic/score/max:4.0 - critic/score/min:1.5"
    line += " - actor/reward_kl_penalty:0.5 - response_length/mean:20.0 - response_length/clip_ratio:0.25\n"
    row = read_log(line).rows[0]
    assert (row["approx_kl"], row["update_k1"]) == (0.25, -0.25)
    assert (row["score_std"], row["kl_ref"], row["ended"]) == (2.5, 10.0, 0.75)
    both = line.replace(" - response", " - actor/kl_loss:9.0 - response", 1)
    assert read_log(both).rows[0]["kl_ref"] == 10.0, "of two metrics for one column the first of the table counts"


@pytest.mark.parametrize(
    "line",
    [
        "step:1 - actor/pg_loss:0.5 - actor/lr:1e-06\n",
        "(TaskRunner pid=7) step:1 - actor/pg_loss:np.float64(0.5) - actor/lr:1e-06\r\n",
        "\x1b[36m(main_task pid=7)\x1b[0m step:1 - timing_s/gen:2 - actor/pg_loss:0.5 - actor/lr:1e-6\n",
        '{"step": 1, "data": {"actor/pg_loss": 0.5, "actor/lr": 1e-06}}\n',
        '\n\n{"step": 1, "data": {"actor/pg_loss": 0.5, "actor/lr": 1e-06, "note": "x", "none": null}}',
        '"Step","a run - with a dash - actor/pg_loss","a run - with a dash - actor/lr"\n"1","0.5","1e-06"\n',
        "Step,actor/pg_loss,actor/lr\n1,0.5,1e-06\n",
        "_step,_runtime,actor/pg_loss,actor/lr,note\r\n1,3.5,0.5,0.000001,\r\n",
    ],
)
def test_verls_lines_as_they_are_found(line):
    assert read_log(line).rows == [{"policy_loss": 0.5, "lr": 1e-6}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"log_history": [{"step": 1, "reward": 0.5, "loss": 0.0}, {"step": 1, "train_runtime": 3.0}]}),
        json.dumps([{"step": 1, "reward": 0.5, "loss": 0.0}]),
        "{'loss': 0.0, 'reward': 0.5, 'epoch': 0.1}\n",
        "  0%|   | 0/9 [00:00<?]\n{'loss': '0', 'reward': '0.5', 'epoch': '0.1'}\n{'train_runtime': 3.0}\n",
        "train/global_step,train/reward,train/loss\n1,0.5,0\n",
    ],
)
def test_trls_forms(text):
    log = read_log(text)
    assert log.library == "trl" and log.rows == [{"policy_loss": 0.0, "score": 0.5}]


def test_openrlhfs_line_may_hold_tensors_and_nan():
    log = read_log("x\n✨ Global step 4: {'ppo_kl': tensor(0.5), 'policy_loss': nan, 'critic_loss': 1e-3}\n")
    assert log.library == "openrlhf" and log.rows[0]["approx_kl"] == 0.5 and log.rows[0]["value_loss"] == 1e-3
    assert log.rows[0]["policy_loss"] != log.rows[0]["policy_loss"]


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("verl_healthy.log", {"actor/reward_kl_penalty": "critic/kl", "actor/entropy": "actor/entropy_loss"}),
        ("verl_hot_sampler.log", {"actor/reward_kl_penalty_coeff": "critic/kl_coeff"}),
        ("trl_healthy.json", {"completions/mean_length": "completion_length", "clip_ratio/region_mean": "clip_ratio"}),
        ("openrlhf_healthy.log", {"rollout/response_length_mean": "response_length", "rollout/reward_mean": "reward"}),
    ],
)
def test_what_earlier_versions_called_otherwise_is_the_same_column(name, renamed):
    text = text_of(name)
    now = read_log(text)
    for new, old in renamed.items():
        text = re.sub(rf"(?<=[\s'\"]){re.escape(new)}(?=['\":])", old, text)
    then = read_log(text)
    assert then.rows == now.rows and {*renamed.values()} <= then.read.keys() and not {*renamed} & then.read.keys()


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "inf", "Infinity", "-Infinity", "+inf"])
def test_what_is_no_number_is_read_as_that_in_each_form(word):
    for text in (
        f"step:1 - actor/pg_loss:{word} - actor/lr:1e-06\n",
        f"step:1 - actor/lr:1e-06 - actor/pg_loss:{word}\n",
        f"Step,actor/pg_loss,actor/lr\n1,{word},1e-06\n",
        f'{{"step": 1, "data": {{"actor/pg_loss": "{word}", "actor/lr": 1e-06}}}}\n',
        f"Global step 1: {{'ppo_kl': 0.0, 'policy_loss': {word}, 'actor_lr': 1e-06}}\n",
    ):
        row = read_log(text).rows[0]
        assert not math.isfinite(row["policy_loss"]) and row["lr"] == 1e-6, text


AROUND = {
    "a rank before it": lambda line: f"[rank0]: {line}",
    "ray before it": lambda line: f"\x1b[36m(TaskRunner pid=123, ip=10.0.0.1)\x1b[0m {line}",
    "a time before it": lambda line: f"2026-11-29 02:00:00,123 - INFO - {line}",
    "kubernetes before it": lambda line: f"2026-11-29T02:00:00.123456789Z stdout F {line}",
    "a progress bar before it": lambda line: f"Training:  4%|▎ | 1/24 [00:01<00:29,  1.2s/it]{line}",
    "a progress bar after it": lambda line: f"{line}Training:  4%|▎ | 1/24 [00:01<00:29,  1.2s/it]",
    "ray behind it": lambda line: f"{line} [repeated 2x across cluster]",
    "its settings before it": lambda line: (
        "(main pid=1) {'actor': {'clip_ratio': 0.2,\n 'optim': {'lr': 0.1}}}\n" + line
    ),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(
    "name", ["ours_healthy.jsonl", "verl_healthy.jsonl", "verl_healthy.log", "openrlhf_healthy.log"]
)
def test_what_stands_around_a_row_is_passed_over(name, around):
    text = text_of(name)
    log = read_log("".join(AROUND[around](line) + "\n" for line in text.splitlines()))
    assert log.rows == read_log(text).rows and log.left_out == []


@pytest.mark.parametrize("around", AROUND)
def test_trls_console_with_something_around(around):
    rows = json.loads(text_of("trl_healthy.json"))["log_history"]
    log = read_log("".join(AROUND[around](str(row)) + "\n" for row in rows))
    assert log.rows == read_log(text_of("trl_healthy.json")).rows and log.left_out == []


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("step: 1  -  response_length/mean: 12.5  -  actor/pg_loss: 0.5\n", 12.5),
        ("step:1 - response_length/mean:1,234.5 - actor/pg_loss:5E-01\n", 1234.5),
        ("Step;response_length/mean;actor/pg_loss\n1;12.5;0.5\n", 12.5),
        ("Step;response_length/mean;actor/pg_loss\n1;12,5;0,5\n", 12.5),
        ('"Step";"a - response_length/mean";"a - response_length/mean__MIN";"a - actor/pg_loss"\n1;12.5;9;0.5\n', 12.5),
        ("Step\tresponse_length/mean\tactor/pg_loss\r\n1\t1,234.5\t5e-1\r\n", 1234.5),
        ('Step,response_length/mean,actor/pg_loss\n1,"1,234,567",0.5\n', 1234567.0),
    ],
)
def test_numbers_and_columns_as_spreadsheets_and_people_write_them(text, length):
    assert read_log(text).rows == [{"length": length, "policy_loss": 0.5}]


def test_a_version_in_a_row_is_no_number():
    row = read_log("{'loss': '0.5', 'transformers': '4.57.1', 'reward': '0.1'}\n").rows
    assert row == [{"policy_loss": 0.5, "score": 0.1}]


FILES = ["ours_healthy.jsonl", "verl_healthy.jsonl", "verl_healthy.log", "openrlhf_healthy.log"]


@pytest.mark.parametrize("name", FILES)
def test_of_several_runs_in_a_file_the_last_is_read_and_it_is_said(name):
    other = text_of(name.replace("healthy", "wrong_sign") if name != "verl_healthy.jsonl" else name)
    log = read_log(other + text_of(name))
    assert log.rows == read_log(text_of(name)).rows
    assert log.left_out == ["24 rows, whose steps come again later, are older"]


@pytest.mark.parametrize("name", FILES)
def test_steps_that_a_resume_did_again_count_once(name):
    lines = [line for line in text_of(name).splitlines(True) if "tep" in line or "iteration" in line]
    log = read_log("".join(lines[:15] + lines[10:]))
    assert log.rows == read_log(text_of(name)).rows
    assert log.left_out == ["5 rows, whose steps come again later, are older"]


def test_rows_of_one_step_are_no_second_run():
    both = [{"step": 1, "reward": 0.5}, {"step": 1, "eval_reward": 0.4}, {"epoch": 0.1, "reward": 0.6}]
    log = read_log(json.dumps(both))
    assert log.rows == [{"score": 0.5}, {"score": 0.6}] and log.left_out == []


# ---- what is half written, told twice, or of another kind ------------------------------------------------------------


@pytest.mark.parametrize("name", ["verl_healthy.log", "verl_healthy.jsonl", "verl_healthy.csv", "ours_healthy.jsonl"])
@pytest.mark.parametrize("cut", [2, 9, 60, 200])
def test_a_half_written_last_line_is_left_out_and_said(name, cut):
    whole = text_of(name)
    log = read_log(whole[:-cut])
    assert len(log.rows) == 23 and log.rows == read_log(whole).rows[:23]
    assert len(log.left_out) == 1 and "half written" in log.left_out[0]


@pytest.mark.parametrize("name", ["verl_healthy.jsonl", "openrlhf_healthy.log", "ours_healthy.jsonl"])
def test_a_whole_last_line_needs_no_line_end(name):
    assert read_log(text_of(name).rstrip("\n")) == read_log(text_of(name))


def test_a_half_written_line_of_openrlhf():
    whole = text_of("openrlhf_healthy.log")
    assert len(read_log(whole[:-40]).rows) == 23 and "half written" in read_log(whole[:-40]).left_out[0]


@pytest.mark.parametrize("name", ["verl_healthy.jsonl", "openrlhf_healthy.log", "verl_healthy.csv"])
def test_a_broken_line_before_the_last_is_refused_by_its_number(name):
    lines = text_of(name).splitlines()
    lines[4] = lines[4][: len(lines[4]) // 2]
    with pytest.raises(ValueError, match="line 5 of the log is broken"):
        read_log("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the log is empty"),
        (" \n\n", "the log is empty"),
        ("hello\nworld\n", "no line of numbers"),
        ("[]", "no line of numbers"),
        ("3", "no line of numbers"),
        ("{}", "no line of numbers"),
        ('{"log_history": []}', "no line of numbers"),
        ('{"log_history": [{"step": 1, "rew', "half written"),
        (2 * '{"log_history": [{"step": 1, "reward": 2.0}]}\n', "several trainer_state.json"),
        (2 * '{\n  "policy_loss": 0.5,\n  "score": 2.0\n}\n', "write each on a line of its own"),
        (2 * '{\n  "data": {"policy_loss": 0.5}\n}\n', "write each on a line of its own"),
        ('{"step": 1, "loss": 2.0, "mean_token_accuracy": 0.5}\n', "It looks like fine-tuning"),
        ('{"step": 1, "loss": 2.0, "rewards/chosen": 0.5}\n', "It looks like a trainer of preferences"),
        ('{"log_history": [{"step": 1, "loss": 2.0, "eval_loss": 1.0}]}', "supervised training"),
        ("global_step,train/policy_gradient_loss,train/value_loss\n1,2,3\n", "Stable-Baselines3"),
        ("a,b\n1,2\n", "it has a, b"),
        ("Step,one - actor/pg_loss,two - actor/pg_loss\n1,2,3\n", "several runs (one, two)"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_log(text)
