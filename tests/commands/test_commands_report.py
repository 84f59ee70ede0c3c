"""What a report says: on how much it was measured, how sure that is, and that none of it was seen in training."""

import json
import math

import pytest
import shop
import torch

from ppo_lesson.commands import main as cli
from ppo_lesson.commands import report, train
from ppo_lesson.language.data import Dialogue, Pair, Ranking
from ppo_lesson.language.supervised import SupervisedConfig
from ppo_lesson.language.text import pair_ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report, "plot", lambda *_: [])


# ---- held out --------------------------------------------------------------------------------------------------------


def dialogue(*turns):
    """A prompt of several turns, the first of the system."""
    roles = ["system", *["user", "assistant"] * 9]
    return Dialogue([{"role": role, "content": text} for role, text in zip(roles, turns)])


KINDS = {
    "pairs": [Pair(f"prompt {i % 10}", f"reply {i}") for i in range(40)],
    "rankings": [Ranking(f"prompt {i % 10}", ("a", f"{i}")) for i in range(40)],
    "prompts": [f"prompt {i}" for i in range(40)],
    "dialogues": [Pair(dialogue("Be kind.", f"prompt {i % 10}", "answer", f"more {i}"), "end") for i in range(40)],
    "turns of one dialogue": [
        Pair(dialogue(*["Be kind.", f"prompt {i // 2}", "answer", "more"][: 2 + 2 * (i % 2)]), "end") for i in range(40)
    ],
}


@pytest.mark.parametrize("examples", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("count", [None, 0, 1, 3, 7])
def test_no_prompt_that_is_held_out_is_in_training_too(examples, count):
    held, rest = train.hold_out(examples, count)
    seen, unseen = ({train._begins(x) for x in side} for side in (rest, held))
    prompts = len(seen | unseen)
    assert not seen & unseen and len(held) + len(rest) == len(examples)
    assert len(unseen) == (prompts // 10 if count is None else count)
    assert [x for x in examples if x in held] == held and [x for x in examples if x in rest] == rest, "in order"


def test_the_same_prompt_in_every_line_cannot_be_held_out():
    same = [Pair("a", f"{i}") for i in range(40)]
    assert train.hold_out(same, None) == ([], same)
    with pytest.raises(ValueError, match="--held 1 must be at least 0 and less than the 1 different prompts"):
        train.hold_out(same, 1)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_the_error_of_a_quotient_is_that_of_repeated_samples():
    """4,000 samples of 50 replies whose losses go with their lengths: the quotients spread as each sample tells."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 20, (4000, 50), generator=generator).double()
    sums = lengths * (1 + 0.05 * lengths) + torch.randn(4000, 50, generator=generator, dtype=torch.float64)
    told = []
    for x, n in zip(sums.tolist(), lengths.tolist()):
        numbers = report.parts(x, n)
        assert math.isclose(math.fsum(numbers) / 50, math.fsum(x) / math.fsum(n), rel_tol=1e-12)
        told.append(report.error("loss", numbers))
    real = (sums.sum(-1) / lengths.sum(-1)).std().item()
    within = (
        4 * real / math.sqrt(2 * 4000) + 0.03 * real
    )  # a standard error of `real`, and the method's own bias, O(1/n)
    assert abs(sum(told) / 4000 - real) < within


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_an_interval_of_two_errors_about_a_share_mostly_holds_the_truth(share):
    """At 6 examples too, where a plain standard error is 0 in most samples of a high share."""
    generator = torch.Generator().manual_seed(0)
    samples = (torch.rand(2000, 6, generator=generator, dtype=torch.float64) < share).double().tolist()
    inside = [abs(sum(x) / 6 - share) <= 2 * report.error("accuracy", x) for x in samples]
    assert sum(inside) > 0.9 * 2000


def test_a_single_number_has_no_error_that_could_be_told():
    assert "0.67 ± ?" in report._table({"loss": [0.67]}, {"loss": [0.5]})


# ---- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["sft", "reward", "rlhf"])
def test_every_figure_of_a_report_has_its_n_and_its_error(command, folder, tmp_path, capsys):
    if command == "rlhf":
        assert shop.rlhf(folder, tmp_path, "--held", "6") == 0
    else:
        data = {"sft": "pairs", "reward": "rankings"}[command]
        where = ["--model", f"{folder / 'model'}", "--data", f"{folder / data}.jsonl", "--output", f"{tmp_path}"]
        assert cli.main([command, *where, "--steps", "2", "--held", "6"]) == 0
    text = (tmp_path / "report.md").read_text("utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|") and "--" not in line]
    head, *rows = [[cell.strip() for cell in row] for row in rows]
    assert head == ["", "before", "after", "n"] and len(rows) == (4 if command == "rlhf" else 1)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    for (name, n), (_, before, after, told) in zip(summary["n"].items(), rows):
        assert n == int(told) == 6
        assert before == f"{summary['before'][name]:.2f} ± {summary['before_error'][name]:.2f}"
        assert after == f"{summary['after'][name]:.2f} ± {summary['after_error'][name]:.2f}"
    assert "± is one standard error" in text


def test_a_loss_is_still_the_mean_over_all_tokens(folder, tmp_path):
    where = ["--model", f"{folder / 'model'}", "--data", f"{folder / 'pairs.jsonl'}", "--output", f"{tmp_path}"]
    assert cli.main(["sft", *where, "--steps", "1", "--held", "23", "--batch", "1"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    model = train.loading.language_model(f"{folder / 'model'}")
    tokenizer = train.loading.tokenizer_of(None, f"{folder / 'model'}", model)
    held, _ = train.hold_out(train.data.read_pairs(folder / "pairs.jsonl"), 23)
    total = tokens = 0
    for pair in held:
        prompt, reply = pair_ids(tokenizer, pair.prompt, pair.reply)
        logits = model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        total, tokens = total - sum(logits[t, i].item() for t, i in enumerate(reply)), tokens + len(reply)
    assert summary["before"]["loss"] == pytest.approx(total / tokens, rel=1e-5)


# ---- a short run leaves its warm-up ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (7, 1), (50, 10), (100, 20), (1000, 20)])
def test_a_warm_up_takes_a_fifth_of_a_run_at_most(steps, warmup):
    config = SupervisedConfig(steps=steps)
    assert train._warmed(config, steps, {"set": None}).warmup == warmup
    assert train._warmed(config, steps, {"set": ["warmup=30"]}) is config, "somebody said so"


@pytest.mark.parametrize("command", ["sft", "reward"])
def test_a_small_file_is_trained_at_the_learning_rate_that_is_told(command, folder, tmp_path, capsys):
    """24 demonstrations are 3 steps of 16: with a warm-up of 20 steps the rate would end at a seventh of it."""
    data = {"sft": "pairs", "reward": "rankings"}[command]
    where = ["--model", f"{folder / 'model'}", "--data", f"{folder / data}.jsonl", "--output", f"{tmp_path}"]
    assert cli.main([command, *where]) == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert max(row["lr"] for row in rows) == pytest.approx(1e-3) and "lr 0.001" in capsys.readouterr().out


def test_so_is_a_short_run_of_rlhf(folder, tmp_path):
    assert shop.rlhf(folder, tmp_path) == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert max(row["lr"] for row in rows) == pytest.approx(1e-3)
