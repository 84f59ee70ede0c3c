"""Whatever fails in a command is one message with a remedy: rewards, options, places, a Ctrl-C in the first second."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import shop
import torch
from safetensors import SafetensorError

from ppo_lesson import checkpoint
from ppo_lesson.commands import main as cli
from ppo_lesson.commands import report, train
from ppo_lesson.commands.loading import documents_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("my shop"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report, "plot", lambda *_: [])


def message(capsys, status, *words):
    """The one message of a command that ended with status 2."""
    said = capsys.readouterr().err
    assert status == 2 and "Traceback" not in said and said.count("error: ") == 1, said
    assert all(word in said for word in words), said
    return said


# ---- Ctrl-C before anything is there ---------------------------------------------------------------------------------

SAYS = """
import os, signal, sys
class Interrupting:  # as if Ctrl-C came while this module is looked for
    def find_spec(self, name, *_):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["ppo_lesson", *{argv!r}]
import runpy
runpy.run_module("ppo_lesson", run_name="__main__", alter_sys=True)
"""
RLHF = ["rlhf", "--model", "m", "--reward", "r.py:f", "--prompts", "p.jsonl"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill")
@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("torch", RLHF),
        pytest.param("torch", ["rlhf", "--help"], marks=pytest.mark.slow),
        pytest.param("ppo_lesson.commands.options", RLHF, marks=pytest.mark.slow),
        pytest.param("torch._C", RLHF, marks=pytest.mark.slow),
        pytest.param("transformers", RLHF, marks=pytest.mark.slow),
        pytest.param("ppo_lesson.commands.train", RLHF, marks=pytest.mark.slow),
        pytest.param("ppo_lesson.commands.export", ["export", "verl"], marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_while_libraries_are_imported(name, argv, tmp_path):
    where = [] if "--help" in argv else ["--output", str(tmp_path / "out")]
    words = SAYS.format(name=name, argv=[*argv, *where])
    ended = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr.strip()) == (130, "stopped before anything was begun")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill")
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.0, 1.5, 2.5])
def test_ctrl_c_at_any_moment_of_the_beginning(seconds, folder, tmp_path):
    words = ["--model", f"{folder / 'model'}", "--data", f"{folder / 'pairs.jsonl'}", "--output", f"{tmp_path / 'out'}"]
    asked = [sys.executable, "-m", "ppo_lesson", "sft", *words, "--steps", "100000"]
    program = subprocess.Popen(asked, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(seconds)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=120)
    assert program.returncode == 130 and "Traceback" not in said and "stop" in said, said


@pytest.mark.slow
def test_an_interrupt_within_an_exec_ends_with_our_status(tmp_path):
    """Dataclasses and named tuples are made by `exec`; Python remembers an interrupt that passes through one."""
    words = "from ppo_lesson.commands import main, train\n"
    words += "train.execute = lambda *_: exec('raise KeyboardInterrupt')\n"
    words += "raise SystemExit(main.main(['sft', '--output', 'out']))"
    (script := tmp_path / "stopped.py").write_text(words)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr.strip()) == (130, "stopped before anything was saved"), ended.stderr


def test_the_handler_is_the_old_one_afterwards(capsys):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        cli.main(["sft", "--no-such-option"])
    capsys.readouterr()
    message(capsys, cli.main(["sft", "--output", ""]), "--output is empty")
    assert signal.getsignal(signal.SIGINT) is before


# ---- reward files as people write them -------------------------------------------------------------------------------

WORKS = {
    "a dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n"
    "    x: int = 1\ndef score(p, r):\n    return A().x\n",
    "a module beside it": "from helper_of_this_reward import f\ndef score(p, r):\n    return f(r)\n",
    "the same, later": "def score(p, r):\n    from helper_of_this_reward import f\n    return f(r)\n",
    "pickled": "import pickle\nclass A:\n    pass\ndef score(p, r):\n    return len(pickle.dumps(A()))\n",
    "an object": "class S:\n    def __call__(self, p, r):\n        return True\nscore = S()\n",
    "scores with a model of its own": "import torch\ntorch.set_grad_enabled(False)\ndef score(p, r):\n"
    "    return len(r)\n",
    "goes elsewhere": "import os, tempfile\ndef score(p, r):\n    os.chdir(tempfile.gettempdir())\n    return 1\n",
    "goes elsewhere at once": "import os, tempfile\nos.chdir(tempfile.gettempdir())\ndef score(p, r):\n    return 1\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("source", WORKS.values(), ids=WORKS)
def test_reward_files_that_work(source, folder, tmp_path, monkeypatch):
    """All paths are relative, as they mostly are."""
    monkeypatch.chdir(folder)
    (folder / "helper_of_this_reward.py").write_text("def f(reply):\n    return len(reply)\n")
    (folder / "json.py").write_text(source)  # the name of a module that is there
    for file in ("json.py", "works.py"):
        (folder / file).write_text(source)
        monkeypatch.chdir(folder)
        where = ["--model", "model", "--prompts", "prompts.jsonl", "--reward", f"{file}:score"]
        assert cli.main(["rlhf", *where, "--output", os.path.relpath(tmp_path / file), *shop.SHORT]) == 0
        assert (tmp_path / file / "report.md").exists()
        (folder / file).unlink()
    assert json.loads("1") == 1


FAILS = {
    "async": ("async def score(p, r):\n    return 1\n", ["score is async", "asyncio.run"]),
    "NUL": ("def score(p, r):\n    return 1\n\0", ["cannot be loaded: source code string cannot contain null bytes"]),
    "no word for itself": (
        "class E(Exception):\n    def __str__(self):\n        raise KeyError\ndef score(p, r):\n    raise E\n",
        ["score failed: ", "(line 5 of fails.py)"],
    ),
    "another device": (
        "import torch\ntorch.set_default_device('meta')\ndef score(p, r):\n    return 1\n",
        ["fails.py sets torch's default device to meta; name device="],
    ),
    "another device later": (
        "import torch\ndef score(p, r):\n    torch.set_default_device('meta')\n    return 1\n",
        ["fails.py:score sets torch's default device to meta"],
    ),
}


@pytest.mark.parametrize(("source", "words"), FAILS.values(), ids=FAILS)
def test_reward_files_that_do_not(source, words, folder, tmp_path, capsys):
    (folder / "fails.py").write_text(source)
    message(capsys, shop.rlhf(folder, tmp_path, reward="fails.py:score"), *words)
    assert torch.get_default_device() == torch.device("cpu")


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["output", "model", "tokenizer", "reward", "prompts", "documents"])
@pytest.mark.parametrize("blank", ["", " "])
def test_an_option_that_is_empty_is_named_and_nothing_is_written(name, blank, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"model": folder / "model", "reward": folder / "my_reward.py:score", "prompts": folder / "prompts.jsonl"}
    given |= {"output": tmp_path / "out", name: blank}
    status = cli.main(["rlhf", *(f"--{key}={value}" for key, value in given.items())])
    message(capsys, status, f"--{name} is empty; say which, or leave it out")
    assert not list(tmp_path.iterdir())


def test_too_many_threads_are_not_started(folder, tmp_path, capsys):
    message(capsys, shop.rlhf(folder, tmp_path, "--threads", "100000"), "--threads must be at least 1 and at most")


def test_home_is_found_where_the_shell_did_not_look(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert shop.rlhf(folder, "~/out") == 0 and (tmp_path / "out" / "report.md").exists()


@pytest.mark.parametrize("command", ["sft", "rlhf"])
@pytest.mark.parametrize("over", ["", "model", "actor"])
def test_a_run_is_not_written_over_the_model_that_it_begins_with(command, over, folder, tmp_path, capsys):
    """`sft --model X/model --output X` trained, and then put its own model in the place of the one it began with."""
    shutil.copytree(folder / "model", model := tmp_path / "X" / over)
    before = (model / "model.safetensors").read_bytes()
    argv = ["--model", f"{model}", "--output", f"{tmp_path / 'X'}"]
    data = ["--data", f"{folder / 'pairs.jsonl'}"]
    reward = ["--prompts", f"{folder / 'prompts.jsonl'}", "--reward", f"{folder / 'my_reward.py'}:score"]
    status = cli.main([command, *argv, *(data if command == "sft" else reward)])
    message(capsys, status, f"--output {tmp_path / 'X'} would be written over --model; name another folder")
    assert (model / "model.safetensors").read_bytes() == before and not (tmp_path / "X" / "run.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a shell does")
@pytest.mark.slow
def test_a_shell_that_closed_its_streams_ends_no_run(folder, tmp_path):
    argv = [sys.executable, "-m", "ppo_lesson", "sft", "--model", folder / "model", "--data", folder / "pairs.jsonl"]
    words = shlex.join(map(str, [*argv, "--output", tmp_path / "out", "--steps", "2", "--batch", "4"]))
    assert subprocess.run(["sh", "-c", f"{words} <&- >&- 2>&-"]).returncode == 0
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


def test_documents_that_are_no_text(folder, tmp_path, capsys):
    (folder / "binary").write_bytes(b"\xff\xfe\x00a")
    status = shop.rlhf(folder, tmp_path, "--documents", f"{folder / 'binary'}", "--set", "ptx_coef=0.5")
    message(capsys, status, "--documents", "binary must be plain texts in UTF-8, one a line")
    (folder / "binary").write_bytes(("Red tea.\n" * 99).encode("utf-16-le"))  # each second byte of it is a NUL
    status = shop.rlhf(folder, tmp_path, "--documents", f"{folder / 'binary'}", "--set", "ptx_coef=0.5")
    message(capsys, status, "binary must be plain texts in UTF-8, one a line; it is not: it holds the character NUL")
    for rows in ('{"text": "Red  tea."}\n', '[\n {\n  "text": "Red  tea."\n }\n]'):
        (folder / "rows.json").write_text(rows)
        status = shop.rlhf(folder, tmp_path, "--documents", f"{folder / 'rows.json'}", "--set", "ptx_coef=0.5")
        message(capsys, status, "rows.json holds JSON, whose brackets and names would be learned", "python -c")
    (folder / "prose").write_text("\ufeff[1] A {brace} in prose.\n" + 49 * "So.\n", "utf-8")
    assert documents_of(folder / "prose") == ["[1] A {brace} in prose.", *49 * ["So."]]
    status = shop.rlhf(folder, tmp_path, "--documents", f"{folder / 'gone'}", "--set", "ptx_coef=0.5")
    message(capsys, status, "gone: No such file or directory. Is the name right")


# ---- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["a\0b", "file/in/it", "/proc/nowhere/x", "/" + "a" * 300])
def test_an_output_that_cannot_be(output, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    where = output if output.startswith("/") else f"{tmp_path}/{output}"
    message(capsys, shop.rlhf(folder, where), "--output: this folder cannot be made", "name one where you may write")


@pytest.mark.parametrize("name", ["actor", "plots", "report.md", "summary.json", "metrics.jsonl", ".lock", "run.json"])
def test_what_stands_in_the_way_of_the_end_is_told_at_the_beginning(name, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train.loading, "language_model", lambda name: pytest.fail("it was loaded"))
    path = tmp_path / name
    path.write_text("") if "." not in name else path.mkdir()
    message(capsys, shop.rlhf(folder, tmp_path), str(path), "move it, or name another --output")


@pytest.mark.parametrize("text", ["[]", '{"command": "rlhf", "options": 3}', '{"options": {}}', "\ufffe"])
@pytest.mark.slow
def test_a_run_file_that_is_none(text, folder, tmp_path, capsys):
    assert shop.rlhf(folder, tmp_path) == 0
    (tmp_path / "run.json").write_text(text, "utf-16")
    capsys.readouterr()
    message(capsys, cli.main(["rlhf", "--output", f"{tmp_path}", "--resume"]), "run.json cannot be read", "--output")
    (tmp_path / "run.json").write_text(text, "utf-8")
    message(capsys, cli.main(["rlhf", "--output", f"{tmp_path}", "--resume"]), "run.json cannot be read", "--output")


@pytest.mark.parametrize(
    "error",
    [OSError("no space")]
    + [pytest.param(kind("no space"), marks=pytest.mark.slow) for kind in (SafetensorError, RuntimeError)],
)
@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
def test_a_model_that_cannot_be_written_at_the_end_loses_no_run(command, error, folder, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise error

    real = train._written
    monkeypatch.setattr(train, "_written", lambda where, *writers: real(where, full))
    if command == "rlhf":
        status = shop.rlhf(folder, tmp_path)
    else:
        data = folder / {"sft": "pairs.jsonl", "reward": "rankings.jsonl"}[command]
        where = ["--model", f"{folder / 'model'}", "--data", f"{data}", "--output", f"{tmp_path}", "--steps", "4"]
        status = cli.main([command, *where])
    told = message(capsys, status, "could not write", "no space", "make room", "4 iterations are saved. Go on with")
    assert len(checkpoint.load(tmp_path / "run.safetensors")[1]["rows"]) == 4
    monkeypatch.setattr(train, "_written", real)
    again = shlex.split(told.strip().splitlines()[-1])
    assert again[:3] == ["python", "-m", "ppo_lesson"] and cli.main(again[3:]) == 0
    assert (tmp_path / ("actor" if command == "rlhf" else "model") / "model.safetensors").exists()


# ---- what is printed to be pasted ------------------------------------------------------------------------------------


def test_lines_to_paste_are_quoted(folder, tmp_path, capsys):
    output = tmp_path / "my runs (1)"
    where = ["--model", f"{folder / 'model'}", "--data", f"{folder / 'pairs.jsonl'}", "--output", f"{output}"]
    assert cli.main(["sft", *where, "--steps", "1"]) == 0
    said = capsys.readouterr().out.strip().splitlines()[-1].removeprefix("next:  ")
    assert shlex.split(said)[3:6] == ["reward", "--model", f"{output / 'model'}"]
    where[3] = f"{folder / 'rankings.jsonl'}"
    where[5] = f"{tmp_path / 'reward'}"
    assert cli.main(["reward", *where, "--steps", "1"]) == 0
    said = capsys.readouterr().out.strip().splitlines()[-1].removeprefix("next:  ")
    assert shlex.split(said)[3:6] == ["rlhf", "--model", f"{folder / 'model'}"]


@pytest.mark.slow
def test_a_console_without_a_letter_of_a_reply_ends_no_run(folder, tmp_path):
    """A run that prints Chinese into a pipe that knows ASCII alone."""
    (folder / "chinese.jsonl").write_text('{"prompt": "我的包裹在哪里？"}\n' * 3, "utf-8")
    words = ["rlhf", "--model", f"{folder / 'model'}", "--reward", f"{folder / 'my_reward.py'}:score", *shop.SHORT]
    words += ["--prompts", f"{folder / 'chinese.jsonl'}", "--output", f"{tmp_path}"]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-m", "ppo_lesson", *words], env=env, capture_output=True)
    assert ended.returncode == 0 and (tmp_path / "report.md").exists(), ended.stderr
