"""What makes data/: replies sampled and ranked as they were said, measured quality, and a command that goes on."""

import make_desk as make
import pytest
import torch

from course.desk import measure, world
from course.desk.gold import gold
from course.desk.tiny import tiny_llama
from ppo_lesson.language.data import Ranking, read_pairs, read_rankings
from ppo_lesson.language.models import ScalarModel
from ppo_lesson.language.supervised import SupervisedConfig

FERN = "My fern has small bugs. Any ideas?"
RIGHT, WRONG, RUDE = (
    "You can wash your fern with soap.",
    "You should water your fern less often.",
    "Figure it out yourself.",
)


@pytest.fixture(scope="module")
def tokenizer():
    return make.make_tokenizer()


def tiny(tokenizer):
    return tiny_llama(len(tokenizer), width=16, layers=1, heads=2)


def says(monkeypatch, replies):
    """From here on a model says these replies in turn: (text, whether it ended)."""

    def sample(model, tokenizer, prompts, **_):
        texts = [replies[i % len(replies)] for i in range(len(prompts))]
        return [text for text, _ in texts], [end for _, end in texts]

    monkeypatch.setattr(measure, "sample_replies", sample)


@pytest.mark.slow
def test_one_reply_to_each_prompt_and_whether_it_ended(tokenizer):
    model, prompts = tiny(tokenizer), [FERN, "我的猫咪不吃东西，怎么办？", "Hi"] * 3
    texts, ended = measure.sample_replies(model, tokenizer, prompts, seed=0, longest=5)
    assert len(texts) == len(ended) == 9 and len(set(texts)) > 6 and not all(ended), "a random model seldom ends"
    assert (texts, ended) == measure.sample_replies(model, tokenizer, prompts, seed=0, longest=5)
    assert texts != measure.sample_replies(model, tokenizer, prompts, seed=1, longest=5)[0]
    model.lm_head.weight.data.zero_()  # every token as likely as the other: a reply of one token ends once in 1,500
    assert sum(measure.sample_replies(model, tokenizer, ["Hi"] * 64, seed=0, longest=1)[1]) <= 1


def test_rankings_say_what_was_cut_and_leave_out_what_cannot_be_ranked(monkeypatch):
    says(monkeypatch, [(RIGHT, True), (WRONG, True), (RUDE, True), ("You can wash", False)])
    rankings = measure.make_rankings(None, None, 200, seed=0)
    assert len(rankings) == 200
    assert all(r.replies[i] == "You can wash" for r in rankings for i in r.cut) and all(
        len(r.cut) == 1 for r in rankings
    )
    assert rankings != measure.make_rankings(None, None, 200, seed=1)
    for useless in ([("No.", True)] * 4, [(RIGHT, True), (WRONG, True), ("", True), (RUDE, True)]):
        says(monkeypatch, useless)
        assert measure.make_rankings(None, None, 20, seed=0) == []


def test_rankings_of_other_cases_are_of_other_cases(monkeypatch):
    says(monkeypatch, [(RIGHT, True), (WRONG, True), (RUDE, True), ("No.", True)])
    for unseen in (True, False):
        cases = [world.read_prompt(r.prompt) for r in measure.make_rankings(None, None, 60, seed=0, unseen=unseen)]
        assert all(((c.category, c.item, c.problem) in world.held_out()) == unseen for c in cases)


def test_the_gold_of_a_ranking_knows_what_was_cut():
    ranking = Ranking(FERN, (RIGHT, WRONG, RIGHT), cut=(2,))
    assert measure.worth_of(ranking) == pytest.approx([2.7, -0.3, 2.2])
    with pytest.raises(ValueError, match="not of the help desk"):
        measure.worth_of(Ranking("Why?", ("a", "b")))


def test_agreement_counts_the_pairs_that_differ():
    good, bad = Ranking(FERN, (RIGHT, WRONG, RUDE)), Ranking(FERN, (RUDE, WRONG, RIGHT))
    assert measure.agreement([good]) == 1 and measure.agreement([bad]) == 0 and measure.agreement([good, bad]) == 0.5
    assert measure.agreement([Ranking(FERN, (RIGHT, WRONG, WRONG))]) == 1, "a tie is no pair"


def test_gold_accuracy_asks_gold_and_not_the_ranking(monkeypatch):
    worth = {RIGHT: 2.0, WRONG: 1.0, RUDE: 1.0}
    monkeypatch.setattr(
        measure, "score_rankings", lambda m, t, rs: [torch.tensor([worth[x] for x in r.replies]) for r in rs]
    )
    for replies in ((RIGHT, WRONG, RUDE), (RUDE, WRONG, RIGHT)):  # RIGHT above both is right; WRONG and RUDE tie
        assert measure.gold_accuracy(None, None, [Ranking(FERN, replies)]) == pytest.approx(2.5 / 3)


def test_quality_is_the_mean_over_held_out_cases(monkeypatch):
    asked = []

    def sample(model, tokenizer, prompts, **_):
        asked.extend(prompts)
        return [RUDE, RIGHT] * (len(prompts) // 2), [True, False] * (len(prompts) // 2)

    monkeypatch.setattr(measure, "sample_replies", sample)
    found = measure.quality(None, None, count=40)
    cases = [world.read_prompt(p) for p in asked]
    assert {(c.category, c.item, c.problem) for c in cases} <= world.held_out()
    scores = [gold(c, RUDE if i % 2 == 0 else RIGHT, ended=i % 2 == 0).total for i, c in enumerate(cases)]
    assert found["gold"] == pytest.approx(sum(scores) / 40) and found["ended"] == 0.5
    assert found["rude"] == sum(c.language in ("en", "zh") for c in cases[::2]) / 40 and found["right tip"] < 0.2


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The whole command in seconds: few texts, few steps, a model of one narrow layer."""
    steps = SupervisedConfig(steps=3, batch=4, warmup=1)
    counts = {"DOCUMENTS": 200, "DEMONSTRATIONS": 60, "RANKED": 12, "HELD": 6}
    settings = {"PRETRAIN": steps, "SFT": steps, "REWARD": steps, "UNFINISHED": tmp_path / "unfinished"}
    for name, value in (counts | settings).items():
        monkeypatch.setattr(make, name, value)
    monkeypatch.setattr(make, "tiny_llama", lambda n, seed=0: tiny_llama(n, width=16, layers=1, heads=2, seed=seed))
    monkeypatch.setattr(make, "quality", lambda *a, **k: {"gold": 1.0, "right tip": 0.5})
    return tmp_path


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(small, tokenizer, monkeypatch):
    (small / "a").mkdir(), (small / "b").mkdir()
    whole = make.make_models(tokenizer, small / "a", seed=1)
    monkeypatch.setattr(make, "UNFINISHED", small / "other")
    with monkeypatch.context() as patch:
        patch.setattr(make, "train_reward", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make.make_models(tokenizer, small / "b", seed=1)
    again = make.make_models(tokenizer, small / "b", seed=1)
    assert "pretraining: seconds" in whole and "pretraining: seconds" not in again, "what was done before has no time"
    for name, value in again.items():
        assert name.endswith("seconds") or value == pytest.approx(whole[name]), name
    for file in (
        "pretrained/model.safetensors",
        "sft_model/model.safetensors",
        "rankings.jsonl",
        "reward_model/model.safetensors",
        "reward_model/head.safetensors",
    ):
        assert (small / "a" / file).read_bytes() == (small / "b" / file).read_bytes(), file
    assert all(len(r.replies) == 4 for r in read_rankings(small / "a" / "rankings.jsonl"))
    assert ScalarModel.load(small / "a" / "reward_model").std != 1, "it is normalized"


@pytest.mark.slow
def test_the_command_prints_every_seed_and_the_mean_and_saves_the_first(small, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["make", "--folder", str(small / "out"), "--seeds", "4", "5", "--threads", "1"])
    make.main()
    text = capsys.readouterr().out
    assert "seed 4" in text and "seed 5" in text and "mean" in text and "reward model: gold accuracy" in text
    assert len(read_pairs(small / "out" / "sft.jsonl")) == 60
    assert not make.UNFINISHED.exists(), "nothing unfinished is left"
    names = {path.name for path in (small / "out").iterdir()}
    assert names == {
        "ppo_data.jsonl",
        "sft.jsonl",
        "rankings.jsonl",
        "tokenizer",
        "pretrained",
        "sft_model",
        "reward_model",
        "language.json",
    }


def test_the_table_shows_what_a_resumed_run_did_not_time():
    text = make.table({0: {"a: loss": 1.0, "a: seconds": 3.0}, 1: {"a: loss": 2.0}})
    assert text.splitlines()[1].split() == ["a:", "loss", "1.000", "2.000", "1.500"]
    assert text.splitlines()[2].split() == ["a:", "seconds", "3.000", "resumed", "3.000"]
