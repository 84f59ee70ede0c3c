"""python -m ppo_lesson sft, reward, rlhf: what they leave behind, and that a run goes on where it was."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import shop
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ppo_lesson import checkpoint
from ppo_lesson.commands import main as cli
from ppo_lesson.commands import options, train
from ppo_lesson.commands.metrics import record
from ppo_lesson.commands.progress import Progress
from ppo_lesson.kl import FixedKL, ZieglerKL
from ppo_lesson.language.models import ScalarModel
from ppo_lesson.language.rlhf import RLHFConfig


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# ---- from data to a trained model ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_three_commands_one_after_the_other(folder, tmp_path, capsys):
    sft = ["--model", f"{folder / 'model'}", "--data", f"{folder / 'pairs.jsonl'}", "--output", f"{tmp_path / 'sft'}"]
    assert cli.main(["sft", *sft, "--steps", "30", "--batch", "8", "--lr", "0.01"]) == 0
    summary = json.loads((tmp_path / "sft" / "summary.json").read_text("utf-8"))
    assert summary["after"]["loss"] < 0.5 * summary["before"]["loss"] and summary["rows"] == 30
    assert not same(weights(tmp_path / "sft" / "model"), weights(folder / "model"))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "sft" / "model")) <= 300

    model = ["--model", f"{tmp_path / 'sft' / 'model'}"]
    data = ["--data", f"{folder / 'rankings.jsonl'}", "--output", f"{tmp_path / 'reward'}"]
    assert cli.main(["reward", *model, *data, "--steps", "30", "--batch", "8", "--lr", "0.01"]) == 0
    summary = json.loads((tmp_path / "reward" / "summary.json").read_text("utf-8"))
    assert summary["after"]["accuracy"] > 0.8 and ScalarModel.load(tmp_path / "reward" / "model").std != 1

    where = ["--prompts", f"{folder / 'prompts.jsonl'}", "--output", f"{tmp_path / 'rlhf'}"]
    judge = ["--reward", f"{tmp_path / 'reward' / 'model'}"]
    capsys.readouterr()
    assert cli.main(["rlhf", *model, *judge, *where, *shop.SHORT, "--show-every", "2"]) == 0
    said = capsys.readouterr()
    for name in ("actor", "critic"):
        assert (tmp_path / "rlhf" / name / "model.safetensors").exists()
    AutoModelForCausalLM.from_pretrained(tmp_path / "rlhf" / "actor")
    ScalarModel.load(tmp_path / "rlhf" / "critic")
    assert "left" in said.err and "4/4" in said.err and "| score " in said.out and "before:" in said.out
    assert said.out.count("\n    ") > 6, "sample replies while it runs"


@pytest.mark.slow
def test_what_a_run_leaves_behind(folder, tmp_path):
    assert shop.rlhf(folder, tmp_path) == 0
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["before"]["kl_ref"] == 0 and summary["after"]["kl_ref"] != 0
    assert set(summary["before"]) == set(summary["after"]) == {"score", "kl_ref", "length", "ended"}
    assert [set(sample) for sample in summary["samples"]] == [{"prompt", "before", "after"}] * 2
    rows = lines(tmp_path / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3] and not any("replies" in row for row in rows)
    pictures = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert {"score", "kl_ref", "length", "entropy", "approx_kl", "value_loss"} <= pictures
    text = (tmp_path / "report.md").read_text("utf-8")
    assert all(f"](plots/{name}.png)" in text for name in pictures) and "## Symptoms" in text
    assert (tmp_path / "plots" / "score.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_held_out_prompts_are_not_trained_on(folder, tmp_path, monkeypatch):
    asked = set()
    monkeypatch.setattr(train.loading, "reward_of", lambda *_: lambda prompt, reply: asked.add(prompt) or 1.0)
    real = train.follow
    monkeypatch.setattr(train, "follow", lambda *a: asked.clear() or [real(*a), seen.update(asked)][0])
    seen = set()
    assert shop.rlhf(folder, tmp_path, "--held", "12", "--iterations", "12") == 0
    held = {line["prompt"] for line in lines(folder / "prompts.jsonl")[::2]}
    assert seen and not seen & held


def test_a_report_shows_samples_from_all_over_the_file():
    """A file that begins with two hundred questions of one kind must not fill the report with them."""
    assert train.spread(list(range(50))) == [0, 12, 25, 37]
    for n in range(7):
        assert train.spread(list(range(n))) == ([0, 1, 2, 3, 4][:n] if n <= 4 else [0, n // 4, n // 2, 3 * n // 4])


def test_the_commands_of_the_readme_are_understood(monkeypatch):
    """Options and files of the three lines that "run as they stand"; that they train is tested above."""
    given = {}
    monkeypatch.setattr(train, "execute", lambda command, options: given.update({command: options}))
    root = Path(cli.__file__).parents[2]
    for line in re.findall(
        r"(?m)^python -m ppo_lesson ((?:sft|reward|rlhf) .*--output.*)$", (root / "README.md").read_text()
    ):
        assert cli.main(line.split()) == 0
    assert set(given) == {"sft", "reward", "rlhf"}
    for command, told in given.items():
        options.check_needed(command, told)
        files = [told.get(name) for name in ("model", "tokenizer", "data", "prompts")]
        assert all((root / file).exists() for file in files if file and file.startswith("data/"))
    assert given["reward"]["model"] == given["rlhf"]["model"] == given["sft"]["output"] + "/model"
    assert given["rlhf"]["reward"] == given["reward"]["output"] + "/model"


# ---- settings --------------------------------------------------------------------------------------------------------

NOTHING = {"set": None, "kl": None, "beta": None, "adaptive_kl": None, "lr": None}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"beta": 0.3}, {"kl": FixedKL(0.3)}),
        ({"kl": "none"}, {"kl": None}),
        ({"kl": "loss", "beta": 0.2}, {"kl": None, "kl_loss": 0.2}),
        ({"kl": "both"}, {"kl": FixedKL(0.1), "kl_loss": 0.1}),
        ({"adaptive_kl": 4.0}, {"kl": ZieglerKL(0.1, 4.0)}),
        (
            {"lr": 1e-4, "set": ["eps=0.3", "value_clip=none", "anneal=true", "advantages=group", "replies=4"]},
            {"lr": 1e-4, "eps": 0.3, "value_clip": None, "anneal": True, "advantages": "group", "replies": 4},
        ),
    ],
    ids=str,
)
def test_options_make_the_configuration(given, expected):
    given = NOTHING | given
    config = options.with_kl(options.changed(RLHFConfig(), given, ("lr",)), given)
    assert config == RLHFConfig(**expected)


def test_what_help_says_is_what_the_settings_are(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["rlhf", "--help"])
    text, config = " ".join(capsys.readouterr().out.split()), RLHFConfig()
    assert caught.value.code == 0
    for words, value in {
        "with its update ({})": config.iterations,
        "replies in a rollout ({})": config.batch,
        "passes over each rollout ({})": config.epochs,
        "longest reply ({})": config.max_new_tokens,
        "you began with ({})": config.kl.beta,
    }.items():
        assert words.format(value) in text
    assert float(re.search(r"learning rate \((\S+) for small models", text)[1]) == config.lr


def test_the_help_follows_the_settings(capsys, monkeypatch):
    """Another default is another word in the help: nothing there is typed a second time."""
    other = replace(
        RLHFConfig(), iterations=77, batch=78, epochs=9, max_new_tokens=79, lr=1.5e-4, kl=FixedKL(0.3), seed=5
    )
    monkeypatch.setattr("ppo_lesson.language.settings.RLHFConfig", lambda: other)
    for name, value in {"SMALL": 7_000_000, "BATCH": 71, "HELD": 72, "SHOW_EVERY": 73, "SMALL_LR": 2.5e-3}.items():
        monkeypatch.setattr(options, name, value)
    monkeypatch.setattr(options, "CHECKPOINT_EVERY", {"sft": 74, "reward": 75, "rlhf": 76})
    said = {}
    for command in ("sft", "rlhf"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        said[command] = " ".join(capsys.readouterr().out.split())
    for words in ("update (77)", "rollout (78)", "rollout (9)", "reply (79)", "(1.5e-4 for", "from 7 million", "(0.3)"):
        assert words in said["rlhf"]
    assert "random (5)" in said["rlhf"] and "checkpoints (76)" in said["rlhf"] and "(73; 0: none)" in said["rlhf"]
    assert all(f"({word}" in said["sft"] for word in ("71)", "2.5e-3 for", "a tenth, at most 72)"))
    assert "checkpoints (74)" in said["sft"]


@pytest.mark.slow
def test_large_models_get_small_learning_rates(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train.options, "SMALL", 1)
    short = ["--iterations", "1", "--batch", "4", "--max-new-tokens", "3"]
    assert shop.rlhf(folder, tmp_path / "a", short=short) == 0
    assert "lr 1e-06" in capsys.readouterr().out
    assert shop.rlhf(folder, tmp_path / "b", "--lr", "3e-4", short=short) == 0
    assert "lr 0.0003" in capsys.readouterr().out
    if importlib.util.find_spec("peft"):
        assert shop.rlhf(folder, tmp_path / "c", "--lora-rank", "2", short=short) == 0
        assert "lr 0.0001" in capsys.readouterr().out


# ---- stop and go on --------------------------------------------------------------------------------------------------

LONG = ["--iterations", "7", "--batch", "4", "--max-new-tokens", "5", "--lr", "1e-3", "--checkpoint-every", "2"]


@pytest.fixture(scope="session")
def whole(folder, tmp_path_factory):
    """The same run without an interruption."""
    output = tmp_path_factory.mktemp("whole")
    assert shop.rlhf(folder, output, short=LONG) == 0
    return output


def same_run(ours, whole):
    for name in ("actor", "critic"):
        a, b = ((path / name / "model.safetensors").read_bytes() for path in (ours, whole))
        assert a == b, name
    a, b = ([row | {"seconds": 0} for row in lines(path / "metrics.jsonl")] for path in (ours, whole))
    assert a == b and len(a) == 7


def deadly(folder, name, calls, action):
    """A reward like `score` that does something at its call number `calls`, once in a life."""
    (folder / f"{name}.py").write_text(
        f"import os, signal\ncount, mark = 0, {str(folder / name)!r}\ndef score(prompt, reply):\n    global count\n"
        f"    count += 1\n    if count == {calls} and not os.path.exists(mark):\n        open(mark, 'w').close()\n"
        f"        {action}\n    return reply.count('e') / 4\n"
    )
    return f"{name}.py:score"


@pytest.mark.slow
def test_control_c_saves_and_says_how_to_go_on(folder, tmp_path, whole, capsys):
    interrupting = deadly(
        folder, "interrupting", 2 + 3 * 4 + 2, "os.kill(os.getpid(), signal.SIGINT)"
    )  # in iteration 3
    handler = signal.getsignal(signal.SIGINT)
    assert shop.rlhf(folder, tmp_path, short=LONG, reward=interrupting) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    said = capsys.readouterr().err
    assert "4 iterations are saved" in said and f"python -m ppo_lesson rlhf --output {tmp_path} --resume" in said
    assert len(checkpoint.load(tmp_path / "run.safetensors")[1]["rows"]) == len(lines(tmp_path / "metrics.jsonl")) == 4
    assert cli.main(["rlhf", "--output", f"{tmp_path}", "--resume"]) == 0
    same_run(tmp_path, whole)


def test_a_second_control_c_stops_at_once(folder, tmp_path, capsys):
    twice = "[os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]"
    assert shop.rlhf(folder, tmp_path, short=LONG, reward=deadly(folder, "twice", 2 + 3 * 4 + 2, twice)) == 130
    assert "2 iterations are saved" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_program_goes_on_to_the_same_weights(folder, tmp_path, whole):
    """kill -9 in the middle of an iteration; lines of metrics after the checkpoint are cut off."""
    killer = deadly(folder, "killer", 2 + 5 * 4 + 2, "os.kill(os.getpid(), signal.SIGKILL)")
    words = f"""
import sys
from pathlib import Path
sys.path.insert(0, {os.path.dirname(os.path.dirname(__file__))!r})
import torch
torch.set_num_threads({torch.get_num_threads()})
import shop
shop.rlhf(Path(sys.argv[1]), Path(sys.argv[2]), short={LONG}, reward={killer!r})
"""
    program = subprocess.run([sys.executable, "-c", words, str(folder), str(tmp_path)], capture_output=True, text=True)
    assert program.returncode == -signal.SIGKILL, program.stderr
    assert len(lines(tmp_path / "metrics.jsonl")) == 5
    assert len(checkpoint.load(tmp_path / "run.safetensors")[1]["rows"]) == 4
    assert shop.rlhf(folder, tmp_path, "--resume", short=LONG, reward=killer) == 0
    same_run(tmp_path, whole)


@pytest.mark.slow
def test_a_finished_run_can_be_resumed_and_changes_nothing(folder, tmp_path, whole, capsys):
    before = (whole / "actor" / "model.safetensors").read_bytes(), (whole / "metrics.jsonl").read_bytes()
    assert cli.main(["rlhf", "--output", f"{whole}", "--resume"]) == 0
    assert ((whole / "actor" / "model.safetensors").read_bytes(), (whole / "metrics.jsonl").read_bytes()) == before


@pytest.mark.slow
def test_resume_where_nothing_is_begins(folder, tmp_path, capsys):
    assert shop.rlhf(folder, tmp_path, "--resume") == 0
    assert "a new run begins" in capsys.readouterr().out


# ---- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_keep_what_is_told_again_and_cut_what_comes_after(tmp_path):
    path, rows = tmp_path / "deep" / "metrics.jsonl", [{"iteration": i, "x": i / 3} for i in range(6)]
    assert list(record(iter(rows[:5]), path)) == rows[:5]
    before = path.stat().st_ino
    list(record([*rows[:3], {"iteration": 3, "x": -1.0}], path))
    assert [row["x"] for row in lines(path)] == [0, 1 / 3, 2 / 3, -1.0] and path.stat().st_ino == before
    list(record(iter(rows[:2]), path))
    assert len(lines(path)) == 2


def test_a_run_that_does_not_begin_loses_no_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    list(record([{"x": 1}], path))

    def broken():
        raise ValueError("not the same run")
        yield

    with pytest.raises(ValueError, match="not the same run"):
        list(record(broken(), path))
    assert lines(path) == [{"x": 1}]


def test_metrics_take_arrays_and_leave_words_out(tmp_path):
    row = {"kl": torch.tensor([0.5, 1.0]), "replies": [("a", "b", 1.0, True)], "who": "me", "none": None, "n": 3}
    assert next(record([row], tmp_path / "m.jsonl")) is row
    assert lines(tmp_path / "m.jsonl") == [{"kl": [0.5, 1.0], "n": 3}]


def test_tensorboard_gets_the_numbers_where_it_is_installed(tmp_path, monkeypatch):
    class Writer:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, *arguments):
            told.append(arguments)

        def close(self):
            told.append("closed")

    told, rows = [], [{"iteration": 5, "x": 1.0}, {"iteration": 6, "x": 2.0}]
    fake = type(sys)("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    list(record(rows[:1], tmp_path / "m.jsonl"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    list(record(rows, tmp_path / "m.jsonl", tensorboard=tmp_path / "tb"))
    assert told == [(str(tmp_path / "tb"), 1), ("iteration", 6, 6), ("x", 2.0, 6), "closed"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not there
    assert list(record(rows, tmp_path / "n.jsonl", tensorboard=tmp_path / "tb")) == rows


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


NUMBERS = {"score": 1.0, "kl_ref": 2.0, "length": 20.0}


def left(text):
    """The seconds left that each line tells."""
    found = re.findall(r"(?:(\d+):)?(\d\d):(\d\d) left", text)
    return [3600 * int(h or 0) + 60 * int(m) + int(s) for h, m, s in found]


def test_the_line_of_progress_on_a_terminal(capsys, clock, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = Progress(40)
    for i in range(1, 4):
        clock.now += 30
        line.show(NUMBERS, i)
    line.say("hello")
    line.close()
    said = capsys.readouterr()
    assert "\r[#                   ] 3/40  score 1.00  KL 2.00  20 tokens  18:30 left" in said.err
    assert said.out.strip("\r ") == "hello\n"


def test_the_line_of_progress_in_a_file(capsys, clock):
    """A line for each twentieth, and no character that only a terminal understands."""
    line = Progress(60)
    for i in range(1, 61):
        clock.now += 2
        line.show(NUMBERS, i)
    line.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20 and lines[0] == "[#                   ] 3/60  score 1.00  KL 2.00  20 tokens  01:54 left"


def test_the_time_left_does_not_jump(capsys, clock):
    """Iterations of 1 s of which every tenth takes 31 s (a checkpoint): 4 s on average, whatever came last."""
    line = Progress(400, stored=100)
    for i in range(1, 401):
        clock.now += 0.0 if i <= 100 else 31.0 if i % 10 == 0 else 1.0
        line.show(NUMBERS, i)
    line.close()
    told = left(capsys.readouterr().err)
    assert told == [4 * (400 - done) for done in range(120, 401, 20)]


@pytest.mark.slow
def test_commands_say_how_long_they_need_nothing_heavy():
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "ppo_lesson", "rlhf", "--help"], check=True, capture_output=True)
    words = "import sys, ppo_lesson.commands.main; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True)
    assert time.monotonic() - start < 60
