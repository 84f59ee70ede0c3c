"""`python -m ppo_lesson explain LOG`: what it names in sick logs of four libraries, what it answers, and refuses."""

import json
import sys
from pathlib import Path

import explain as page_of  # tools/explain.py
import pytest

from ppo_lesson.commands.explain import QUESTIONS, VERDICTS, answers, explain, history, read_log
from ppo_lesson.commands.main import main
from ppo_lesson.diagnose import RULES, diagnose

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "tests" / "bridge" / "logs"
NAMED = {  # disease: the symptom or the question that names it
    "constant_score": "score without spread",
    "wrong_sign": "reward falling",
    "large_steps": "clipping does the braking",
    "rate_0": "learning rate 0",
    "hot_sampler": "sampler and trainer",
}


def found_in(path):
    """Every symptom, and every question answered with "wrong"."""
    log = read_log(path.read_text("utf-8"))
    table = history(log)
    wrong = {question["name"] for question, verdict, _ in answers(log, table) if verdict == "sick"}
    return {symptom.name for symptom in diagnose(table)} | wrong


@pytest.mark.parametrize("library", ["verl", "trl", "openrlhf", "ours"])
@pytest.mark.parametrize("disease", NAMED)
def test_the_disease_is_named(disease, library):
    (path,) = LOGS.glob(f"{library}_{disease}.*")
    if (disease, library) == (
        "hot_sampler",
        "ours",
    ):  # our trainer scores replies again, and logs no number of the sampler
        assert not found_in(path)
    else:
        assert NAMED[disease] in found_in(path)
    if NAMED[disease] in {question["name"] for question in QUESTIONS} and library != "ours":
        assert f"Wrong by the questions below: {NAMED[disease]}" in explain(path.read_text("utf-8"))
    others = set(NAMED.values()) - {NAMED[disease]}
    assert not found_in(path) & others, "and no other of the five"


@pytest.mark.parametrize("path", sorted(LOGS.glob("*healthy*")), ids=lambda path: path.name)
def test_healthy_logs_are_left_in_peace(path):
    assert found_in(path) == set()


@pytest.mark.parametrize("path", sorted(LOGS.iterdir()), ids=lambda path: path.name)
def test_what_could_not_be_judged_is_said_and_each_question_answered(path, capsys):
    assert main(["explain", str(path)]) == 0
    said = capsys.readouterr().out
    unasked = said.partition("it has no number for: ")[2].partition(".\n")[0].split(", ")
    assert f"\n{len(RULES) - len(unasked)} of {len(RULES)} rules could be asked of this log;" in said
    assert {*unasked} < {rule.name for rule in RULES}
    for i, question in enumerate(QUESTIONS, 1):
        assert f"\n{i}. {question['title']} [" in said
    assert "{" not in said and "nan" not in said


def test_there_are_the_eight_questions_with_cells_that_exist():
    names = ["loss 0", "ratio 1", "negative KL", "entropy", "sampler and trainer", "token or sequence mean"]
    assert [question["name"] for question in QUESTIONS] == [*names, "which KL", "nothing learns"]
    cells = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        book = json.loads(path.read_text("utf-8"))["cells"]
        title = "".join(book[0]["source"]).splitlines()[0]
        cells |= {(title.partition("· ")[2], cell["id"]): path for cell in book}
    for question in QUESTIONS:
        for place in question["cells"]:
            title, _, cell = place.rpartition(": ")
            assert (title, cell) in cells, f"no cell {cell} in {title!r}; it is in " + ", ".join(
                there for there, name in cells if name == cell
            )


def test_the_page_is_what_its_tables_say():
    assert page_of.PAGE.read_text("utf-8") == page_of.page(), "run: python tools/explain.py --write"


def test_each_case_can_be_reached_and_names_what_is_known():
    known = {rule.name for rule in RULES}
    for question in QUESTIONS:
        for case in question["cases"]:
            assert set(case.get("symptoms", ())) <= known and case["verdict"] in VERDICTS
        last = question["cases"][-1]
        assert "symptoms" not in last, "what is there is always answered"


def verl(**more):
    """A log of verl with 24 steps, in which these metrics are the same number or a function of the step."""
    lines = []
    for step in range(1, 25):
        row = {"actor/pg_loss": 0.3, "actor/lr": 1e-6, "actor/grad_norm": 1.0, "critic/score/mean": step / 24}
        row |= {name: x(step) if callable(x) else x for name, x in more.items()}
        lines.append(f"step:{step} - " + " - ".join(f"{name}:{x}" for name, x in row.items()))
    return "\n".join(lines) + "\n"


def verdicts(text):
    log = read_log(text)
    return {question["name"]: (verdict, said) for question, verdict, said in answers(log, history(log))}


@pytest.mark.parametrize(
    ("metrics", "question", "verdict", "words"),
    [
        ({"actor/pg_loss": 1e-9}, "loss 0", "fine", "as it must be"),
        ({"actor/pg_loss": -0.4}, "loss 0", "fine", "Its size is about 0.4"),
        ({"actor/ppo_kl": 0.0, "actor/pg_clipfrac": 0.0}, "ratio 1", "fine", "right with one optimizer step"),
        ({"actor/ppo_kl": 0.001, "actor/pg_clipfrac": 0.0}, "ratio 1", "fine", "Nothing was ever clipped"),
        ({"actor/ppo_kl": 0.0}, "ratio 1", "open", "or a learning rate that moves nothing"),
        ({}, "ratio 1", "open", "neither clip fraction nor KL"),
        ({"actor/ppo_kl": lambda n: 0.001 * (-1) ** n}, "negative KL", "fine", "down to -0.001"),
        ({"actor/reward_kl_penalty": -0.2, "response_length/mean": 9.0}, "negative KL", "sick", "no KL can"),
        ({"actor/entropy": lambda n: 0.1 * n}, "entropy", "sick", "It explodes"),
        ({"actor/entropy": lambda n: 1 / n}, "entropy", "fine", "becomes surer"),
        ({"training/rollout_probs_diff_mean": 0.004}, "sampler and trainer", "fine", "rounding"),
        ({"training/rollout_probs_diff_mean": 0.04}, "sampler and trainer", "sick", "0.04 apart"),
        ({}, "sampler and trainer", "open", "calculate_log_probs=True"),
        ({"response_length/mean": 9.0}, "token or sequence mean", "open", "9 tokens"),
        ({"actor/ppo_kl": 0.001}, "which KL", "fine", "actor/ppo_kl: of one update"),
        ({"actor/ppo_kl": 2.0}, "which KL", "sick", "Too far"),
        (
            {"actor/reward_kl_penalty": 0.5, "response_length/mean": 60.0},
            "which KL",
            "open",
            "it reached 30 nats a reply",
        ),
        ({"actor/reward_kl_penalty": 1.0, "response_length/mean": 9.0}, "which KL", "fine", "from the reference"),
        (
            {"actor/reward_kl_penalty": 0.5, "response_length/mean": 60.0, "actor/entropy": 1.0},
            "which KL",
            "fine",
            "from the reference",
        ),
        ({"actor/reward_kl_penalty": 2.0, "response_length/mean": 9.0}, "which KL", "sick", "Too far"),
        ({}, "nothing learns", "fine", "The score rose"),
        ({"critic/score/mean": lambda n: n % 2}, "nothing learns", "sick", "the symptoms"),
    ],
)
def test_the_answers(metrics, question, verdict, words):
    found, said = verdicts(verl(**metrics))[question]
    assert found == verdict and words in said, said


def test_one_step_an_iteration_is_no_policy_that_stands_still():
    """The KL is measured before each step: of one step it is always 0."""
    assert found_names(verl(**{"actor/ppo_kl": 0.0})) == set()
    slow = verl(**{"actor/ppo_kl": 2e-6})
    assert found_names(slow) == {"policy stands still"}


def found_names(text):
    return {symptom.name for symptom in diagnose(history(read_log(text)))}


def test_a_log_without_scores_and_ends_is_not_told_that_no_episode_ended():
    text = "\n".join(f"step:{n} - actor/pg_loss:0.1 - actor/ppo_kl:0.001" for n in range(40)) + "\n"
    assert found_names(text) == set()


@pytest.mark.parametrize("each", [1, 2])
def test_a_log_with_the_newest_row_first_is_turned_round(each):
    """As tables are exported; it was cut down to its last row, as if 23 steps had come again later."""
    lines = [line for line in verl().splitlines() for _ in range(each)]
    usual, turned = (read_log("\n".join(x) + "\n") for x in (lines, lines[::-1]))
    assert [row.get("score") for row in turned.rows] == [row.get("score") for row in usual.rows]
    assert turned.left_out == usual.left_out == [] and len(turned.rows) == 24 * each


def test_few_rows_and_half_a_line_are_said():
    text = "".join(line + "\n" for line in verl().splitlines()[:3])
    said = explain(text + "step:4 - actor/pg_lo")
    assert said.startswith("3 rows of verl 0.9.1; the last line, 4, is half written and left out")
    assert "it has no number, or not 20 rows, for: " in said


def test_a_folder_of_a_run_and_a_console_of_windows(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_bytes((LOGS / "ours_healthy.jsonl").read_bytes())
    assert main(["explain", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("24 rows of ppo_lesson")
    for code in ("utf-16", "utf-8-sig"):
        (tmp_path / "verl.log").write_bytes(verl().replace("\n", "\r\n").encode(code))
        assert main(["explain", str(tmp_path / "verl.log")]) == 0
        assert capsys.readouterr().out.startswith("24 rows of verl")


def test_one_broken_letter_does_not_hide_a_log(tmp_path, capsys):
    """A progress bar cut in the middle of a letter."""
    (tmp_path / "verl.log").write_bytes(b"  4%|\xe2\x96 | 1/24\n" + verl().encode())
    assert main(["explain", str(tmp_path / "verl.log")]) == 0
    assert capsys.readouterr().out.startswith("24 rows of verl")


def test_a_kl_a_token_without_lengths_is_not_called_missing():
    found = verdicts(verl(**{"actor/reward_kl_penalty": 0.1}))
    assert all("a token's alone" in found[name][1] for name in ("negative KL", "which KL"))
    assert explain(verl().splitlines()[0] + "\n").startswith("1 row of verl")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the log is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is no text"),
        (b"abc\x00def", "is no text"),
        (b'{"loss": 2.0, "mean_token_accuracy": 0.5}', "fine-tuning"),
        (None, "there is no log"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(data, words, tmp_path, capsys):
    path = tmp_path / "some.log"
    if data is not None:
        path.write_bytes(data)
    assert main(["explain", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and words in said and said.count("\n") == 1
    assert main(["explain", str(path), "--eps", "7"]) == 2 and "eps" in capsys.readouterr().err


def test_explain_needs_its_log(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ppo-lesson", "explain"])
    with pytest.raises(SystemExit):
        main()
    assert "log" in capsys.readouterr().err
