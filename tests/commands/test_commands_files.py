"""The three commands on the files that people have: what they say of a file, and that a line too long is named."""

import gzip
import json

import pytest
import shop

from ppo_lesson.commands import main as cli
from ppo_lesson.commands.train import hold_out
from ppo_lesson.language.data import Dialogue, Pair, turns_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("files"))


def turns(*texts):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def spoken(*texts):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(texts))


ASK = [f"{a} {b} tea" for a in shop.WORDS[:3] for b in shop.WORDS[3:5]]
FORMS = {  # command: (file, what it is said to be, the rows)
    "sft": [
        ("a.json", 'a JSON array with "messages", 12', [{"messages": turns(a, "tea", "of", "milk")} for a in ASK]),
        ("a.jsonl", 'JSON Lines with "prompt", "completion", 6', [{"prompt": a, "completion": "a cup"} for a in ASK]),
        (
            "hh.jsonl.gz",
            'JSON Lines, .gz with "chosen", "rejected", 6',
            [{"chosen": spoken(a, "tea", "of", "milk"), "rejected": spoken(a, "tea", "of", "red")} for a in ASK],
        ),
    ],
    "reward": [
        (
            "hh.jsonl.gz",
            'JSON Lines, .gz with "chosen", "rejected", 6',
            [{"chosen": spoken(a, "tea", "of", "milk"), "rejected": spoken(a, "tea", "of", "red")} for a in ASK],
        ),
        (
            "a.json.gz",
            'a JSON array, .gz with "prompt", "chosen", "rejected", 6',
            [{"prompt": turns(a), "chosen": turns(a, "tea")[1:], "rejected": turns(a, "cup")[1:]} for a in ASK],
        ),
    ],
    "rlhf": [
        ("a.json", 'a JSON array with "messages", 6', [{"messages": turns(a, "tea", "of", "milk")} for a in ASK]),
        (
            "hh.jsonl",
            'JSON Lines with "chosen", "rejected", 6',
            [{"chosen": spoken(a, "tea"), "rejected": spoken(a, "cup")} for a in ASK],
        ),
    ],
}


def command(folder, name, path, output):
    where = ["--model", f"{folder / 'model'}", "--output", f"{output}"]
    if name == "rlhf":
        return ["rlhf", "--prompts", f"{path}", "--reward", f"{folder / 'my_reward.py'}:score", *shop.SHORT, *where]
    return [name, "--data", f"{path}", "--steps", "2", "--batch", "4", *where]


def put(path, rows):
    text = json.dumps(rows) if ".json" in path.suffixes else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "file", "says", "rows"), [(name, *form) for name, forms in FORMS.items() for form in forms]
)
@pytest.mark.slow
def test_a_command_says_what_it_recognised_and_trains(name, file, says, rows, folder, tmp_path, capsys):
    path = put(tmp_path / file, rows)
    assert cli.main(command(folder, name, path, tmp_path / "run")) == 0
    kind = {"sft": "demonstrations", "reward": "rankings", "rlhf": "prompts"}[name]
    assert f"{path}: {says} {kind}\n" in capsys.readouterr().out
    report = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "tea" in report and ("hh" not in file or "Human: " in report)


@pytest.mark.parametrize("name", FORMS)
def test_a_text_too_long_for_the_model_is_named_by_line(name, folder, tmp_path, capsys):
    long = "red tea " * 100
    rows = [{"prompt": a, "reply": "tea", "replies": ["a cup", "red tea"]} for a in [*ASK, long, *ASK, long + "of"]]
    path = put(tmp_path / "a.jsonl", rows)
    assert cli.main(command(folder, name, path, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert "prompts are too long for the" in said and "which reads 64 tokens (line 7, line 14): 'red tea" in said


@pytest.mark.slow
def test_what_is_left_out_stands_in_the_same_line(folder, tmp_path, capsys):
    rows = [{"prompt": a} for a in ASK] * 2
    assert cli.main(command(folder, "rlhf", put(tmp_path / "a.jsonl", rows), tmp_path / "run")) == 0
    said = capsys.readouterr()
    left = "6 of 12 lines repeat an earlier prompt (7, 8, 9, 10, 11, 12)"
    assert f'a.jsonl: JSON Lines with "prompt", 6 prompts; left out: {left}\n' in said.out and "note:" not in said.err


@pytest.mark.parametrize("name", FORMS)
def test_a_table_is_named_with_the_line_that_converts_it(name, folder, tmp_path, capsys):
    (path := tmp_path / "a.csv").write_text("prompt,reply\nred tea,a cup\n")
    assert cli.main(command(folder, name, path, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path} is CSV.\nConvert it:\n  python -c ") and "a.rows.jsonl" in said


def test_an_export_keeps_the_turns_of_its_prompts(folder, tmp_path):
    chats = [[{"role": "system", "content": "Be brief."}, *turns("red", "tea", f"of {i}")] for i in range(63)]
    prompts = put(tmp_path / "a.json", [*({"prompt": chat} for chat in chats), {"prompt": "milk"}])
    given = ["--prompts", f"{prompts}", "--model", "M", "--reward", f"{folder / 'my_reward.py'}:score"]
    assert cli.main(["export", "verl", *given, "--output", f"{tmp_path / 'verl'}", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "verl" / "train.jsonl").read_text("utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == [*chats, [{"role": "user", "content": "milk"}]]


def test_a_dialogue_is_held_out_with_all_that_begins_like_it():
    """Later turns of a dialogue hold its earlier replies: trained on, they would tell the answer."""
    pairs = [Pair(Dialogue(turns(a, "tea", b)), "of") for a in ASK for b in ("milk", "cup")] + [
        Pair(a, "tea") for a in ASK
    ]
    held, rest = hold_out(pairs, 2)
    assert len(held) == 6 and len(rest) == 12
    assert not {turns_of(x.prompt)[0]["content"] for x in held} & {turns_of(x.prompt)[0]["content"] for x in rest}
