"""The recipe of examples/gsm8k: its reward on two dozen ways to write an answer, and all of it with a tiny model."""

import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import shop

from ppo_lesson.commands import main as cli

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "gsm8k"
sys.path.insert(0, str(EXAMPLE))
import evaluate  # noqa: E402
import expect  # noqa: E402
import prepare  # noqa: E402
import reward  # noqa: E402
import train  # noqa: E402

# what stands at the end of a reply: the number that it gives, or None
WRITTEN = {
    "#### 72": "72",
    "####72": "72",
    "####   72": "72",
    "#### 72.": "72",
    "#### 72.00": "72",
    "#### $72": "72",
    "#### $ 72": "72",
    "#### €72": "72",
    "#### **72**": "72",
    "#### \\boxed{72}": "72",
    "#### `72`": "72",
    "#### 72 clips": "72",
    "#### 72%": "72",
    "#### x = 72": "72",
    "#### 1,234": "1234",
    "#### 1,234,567.50": "1234567.5",
    "#### -5": "-5",
    "#### −5": "-5",
    "#### +5": "5",
    "#### -$5": "-5",
    "#### .5": "0.5",
    "#### 0": "0",
    "#### 007": "7",
    "#### 3\nwait, that was wrong\n#### 4": "4",
    "#### 4\nThis was easy.": "4",
    "The answer is 72": None,
    "": None,
    "####": None,
    "#### seventy-two": None,
    "#### 3 or 4": None,
    "#### 1/2": None,
    "#### 7:30": None,
    "#### 1e3": None,
    "#### 2^3": None,
    "#### 12,34": None,
    "72 ####": None,
    "### 72": None,
    "#### 5 dollars and 50 cents": None,
    # a minus, marks between thousands, LaTeX and markdown in their other looks
    "#### \u20135": "-5",
    "#### \uff0d5": "-5",
    "#### - 5": "-5",
    "#### minus 5": "-5",
    "#### negative $5": "-5",
    "#### Answer - 72": "72",
    "#### Answer \u2014 72": "72",
    "#### --5": None,
    "#### 1 234": "1234",
    "#### 1\u202f234\u202f567 km": "1234567",
    "#### 20 000 dollars": "20000",
    "#### 1{,}234": "1234",
    "#### 1\\,234": "1234",
    "#### \\$1,234.50.": "1234.50",
    "#### _72_": "72",
    "#### <answer>72</answer>": "72",
    "#### 72\\%": "72",
    "#### 72 km/h": "72",
    "#### 7 m\u00b2": "7",
    "#### 12 34": None,
    "#### 12 345 6789": None,
    "#### 1_234": None,
    "#### 1.234.567": None,
    "#### 1.234,50": None,
    "#### 5, 6": None,
    "#### $10\u2013$12": None,
    # the digits stand there, the number is another one
    "#### 10\u00b3": None,
    "#### 2\u00bd": None,
    "#### 3\u03c0": None,
    "#### \u221a9": None,
    "#### \\sqrt{9}": None,
    "#### 5x6": None,
    "#### 0x1F": None,
    "#### 1.5 \u00d7 10^3": None,
    "#### 1.5E+3": None,
    "#### 5k": None,
    "#### 5\u20446": None,
    "#### \\frac{1}{2}": None,
    "#### 12 * 6 = 72": None,
    'the final answer after "####". It is 72.': "72",  # a reply that repeats its task
}


@pytest.mark.parametrize(("reply", "value"), WRITTEN.items())
def test_one_number_behind_the_last_mark_is_the_answer(reply, value):
    assert reward.answer("First 70 + 2 = 72 and 3.\n" + reply) == (None if value is None else Decimal(value))


def test_the_stricter_rule_is_never_the_kinder_one():
    accepted = {reply for reply, value in WRITTEN.items() if reward.strict(reply) == value and value}
    assert {"#### 72", "#### 1,234", "#### -5"} <= accepted  # and these are the usual ways
    assert not accepted & {"####72", "#### $72", "#### 72.00", "#### 72."}


QUESTIONS = [(f"Tom has {i} apples and buys {i + 3} more. How many?", f"{i} + {i + 3}", 2 * i + 3) for i in range(30)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """GSM8K's form with questions of our own: 20 to train, 10 to test, prepared."""
    folder = tmp_path_factory.mktemp("gsm8k")
    rows = [{"question": q, "answer": f"{steps}\n#### {value}"} for q, steps, value in QUESTIONS]
    for name, some in (("train", rows[:20]), ("test", rows[20:])):
        shop.write(folder / f"{name}-raw.jsonl", some)
    prepare.main(
        ["--train", f"{folder}/train-raw.jsonl", "--test", f"{folder}/test-raw.jsonl", "--output", f"{folder}/ready"]
    )
    return folder / "ready"


def test_every_question_gets_its_answer_and_verls_ending(data):
    rows = [json.loads(line) for name in ("train", "test") for line in (data / f"{name}.jsonl").open()]
    assert [row["answer"] for row in rows] == [str(value) for *_, value in QUESTIONS]
    assert all(row["prompt"].endswith('final answer after "####".') for row in rows)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"problem": "?"}', r"row 1: .*\['problem'\]"),
        ('{"question": "?", "answer": "7"}', "row 1: .*#### NUMBER.*'7'"),
        ("question,answer", "not a JSONL file"),
        ("[]", "row 1: .*list"),
        ('{"question": null, "answer": "#### 7"}', 'row 1: "question" must be a text; got None'),
        ("", "has 0 questions .* GSM8K has 7,473 for training and 1,319 for testing: fetch the empty file again"),
        (None, "no file"),
        ("PAR1", "pyarrow"),
    ],
)
def test_another_file_is_named(raw, says, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "raw"
    if raw is not None:
        path.write_text(raw)
    with pytest.raises(SystemExit, match=says):
        prepare.main(["--train", str(path), "--test", str(path), "--output", str(tmp_path / "out")])


def test_half_a_parquet_file_is_named(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    table = arrow.table({"question": ["1 + 1?"] * 99, "answer": ["#### 2"] * 99})
    parquet.write_table(table, tmp_path / "whole")
    assert len(prepare.rows(tmp_path / "whole")) == 99
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-100])
    with pytest.raises(SystemExit, match=r"half is not a whole parquet file: .*\nFetch it again"):
        prepare.rows(tmp_path / "half")


def test_files_that_are_swapped_are_refused_and_other_ones_are_told(tmp_path, monkeypatch, capsys):
    for name, n in (("long", 3), ("short", 2)):
        shop.write(tmp_path / name, [{"question": f"{name} {i}?\u2028", "answer": f"#### {i}"} for i in range(n)])
    monkeypatch.setattr(prepare, "SIZES", (3, 2))
    where = ["--output", f"{tmp_path}/out"]
    with pytest.raises(SystemExit, match=r"short has 2 questions .*long 3; .*: the two are swapped"):
        prepare.main(["--train", f"{tmp_path}/short", "--test", f"{tmp_path}/long", *where])
    prepare.main(["--train", f"{tmp_path}/long", "--test", f"{tmp_path}/short", *where])
    assert "published" not in capsys.readouterr().out
    monkeypatch.setattr(prepare, "SIZES", (7473, 1319))
    prepare.main(["--train", f"{tmp_path}/long", "--test", f"{tmp_path}/short", *where])
    assert "7,473 and 1,319: a share of these is not to be compared with a published" in capsys.readouterr().out
    assert len(reward.answers(f"{tmp_path}/out")) == 5


@pytest.mark.parametrize("written", ["", "not JSON", "[1]", '{"prompt": "?"}', '{"prompt": "?", "answer": "x"}'])
def test_a_file_to_evaluate_that_prepare_did_not_write_is_named(written, tmp_path):
    (tmp_path / "test.jsonl").write_text(written)
    with pytest.raises(SystemExit, match=r"test\.jsonl (is empty|has no rows).*: run prepare.py"):
        evaluate.main(["--model", "none", "--data", f"{tmp_path}/test.jsonl"])
    with pytest.raises(SystemExit):
        evaluate.main(["--model", "none", "--data", f"{tmp_path}/test.jsonl", "--first", "0"])


def test_a_file_that_is_named_twice_is_refused(tmp_path):
    shop.write(tmp_path / "raw", [{"question": "1 + 1?", "answer": "#### 2"}])
    with pytest.raises(SystemExit, match=r"1 questions .* named twice"):
        prepare.main(["--train", f"{tmp_path}/raw", "--test", f"{tmp_path}/raw", "--output", f"{tmp_path}/out"])


@pytest.mark.slow
def test_the_whole_recipe_with_a_tiny_model_and_twenty_questions(data, tmp_path, monkeypatch, capsys):
    """Prepare, train, go on, evaluate: the commands of docs/gsm8k.md, with a model that knows nothing."""
    monkeypatch.setenv("GSM8K", str(data))
    folder = shop.make(tmp_path, max_position_embeddings=512)
    more = ["--iterations", "2", "--batch", "8", "--max-new-tokens", "6", "--held", "2", "--profile", "cpu"]
    where = ["--model", f"{folder / 'model'}", "--data", str(data), "--output", str(tmp_path / "run")]
    assert train.main([*where, *more]) == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert all(part in settings for part in ("lam=1.0", "critic_lr=1e-05", "iterations=2", "FixedKL(beta=0.001)"))
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == 2 and all(json.loads(row)["score"] in (0, 1) for row in rows)
    where = ["--model", str(tmp_path / "run" / "actor"), "--data", str(data / "test.jsonl"), "--max-new-tokens", "6"]
    found = evaluate.main([*where, "--batch", "4", "--first", "7"])
    assert found["n"] == 7 and 0 <= found["strict"] <= found["right"] <= 1
    assert re.search(r"±.*of 7 questions", capsys.readouterr().out)


def test_the_evaluation_counts_right_replies(data, tmp_path, monkeypatch):
    rows = [json.loads(line) for line in (data / "test.jsonl").open()]
    written = {row["prompt"]: f"#### {row['answer']}" + (".0" if i == 4 else "") for i, row in enumerate(rows[:5])}

    def replies(model, tokenizer, prompts, longest):
        return [written.get(prompt, "#### 1") for prompt in prompts], [prompt not in written for prompt in prompts]

    monkeypatch.setattr(evaluate, "replies", replies)
    folder = shop.make(tmp_path)
    found = evaluate.main(["--model", f"{folder / 'model'}", "--data", str(data / "test.jsonl"), "--batch", "3"])
    assert found == {"right": 0.5, "strict": 0.4, "cut": 0.5, "n": 10}


def test_what_you_say_wins(tmp_path):
    given = type("Given", (), {"model": "m", "data": tmp_path, "output": tmp_path / "o"})
    line = train.words(given, ["--batch=32", "--set", "lam=0.95"])
    assert line.count("--batch") == 0 and "--batch=32" in line
    assert "lam=0.95" in line and "lam=1.0" not in line and "critic_lr=1e-05" in line
    assert train.words(given, ["--resume"]) == ["rlhf", "--output", str(tmp_path / "o"), "--resume"]


@pytest.mark.slow
def test_the_page_shows_the_settings_and_what_to_expect():
    """Settings and minutes to the letter; memory within a tenth, for another torch may keep other activations."""
    page = (ROOT / "docs" / "gsm8k.md").read_text("utf-8")
    assert train.table() in page
    stands = re.findall(r"^\| (.+GiB) \| ([\d.]+) \| (.+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(stands) == len(expect.GPUS)
    for name, gib, change, seconds, minutes in stands:
        changes, plan, took = expect.row(*expect.GPUS[name])
        assert abs(plan.peak / 2**30 - float(gib)) < 0.1 * float(gib)
        assert change == (", ".join(f"{key}={x}" for key, x in changes.items()) or "nothing")
        assert (seconds, minutes) == (f"{took:.0f}", f"{took * expect.config().iterations / 60:.0f}")


def test_every_option_has_a_reason_and_is_one_of_rlhfs(capsys):
    with pytest.raises(SystemExit):
        cli.main(["rlhf", "--help"])
    said, settings = capsys.readouterr().out, train.settings()
    assert all(f"--{option['name']} " in said for option in settings["option"])
    assert all(option["name"] in vars(expect.RLHFConfig()) for option in settings["set"])
    assert all(len(option["reason"].split()) > 3 for option in settings["option"] + settings["set"])
