"""The files in data/: texts made again byte for byte, checkpoints held against the numbers of the datasheet."""

import json
import re
import warnings

import make_desk as make
import pytest
import torch

from course.desk import measure, world
from course.desk.tiny import HAN
from ppo_lesson.language.data import read_pairs, read_prompts, read_rankings
from ppo_lesson.language.models import ScalarModel, load_language_model
from ppo_lesson.language.reward import score_rankings
from ppo_lesson.language.text import load_tokenizer, reply_ids

DATA = make.DATA


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(DATA / "tokenizer")


@pytest.fixture(scope="module")
def facts():
    return json.loads((DATA / "language.json").read_text("utf-8"))


# ---- texts -----------------------------------------------------------------------------------------------------------


def test_the_text_files_come_again_byte_for_byte(tmp_path):
    make.make_texts(tmp_path)
    for name in ("ppo_data.jsonl", "sft.jsonl"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), f"{name}: make it again with the command"


@pytest.mark.slow
def test_the_tokenizer_comes_again_byte_for_byte(tmp_path):
    make.make_tokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (DATA / "tokenizer" / "tokenizer.json").read_bytes()


def test_prompts_are_several_hundred_marked_and_none_comes_twice():
    lines = [json.loads(line) for line in (DATA / "ppo_data.jsonl").read_bytes().splitlines()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a prompt that comes again is reported as a warning
        assert read_prompts(DATA / "ppo_data.jsonl") == [line["prompt"] for line in lines]
    assert len(lines) >= 500
    for line in lines:
        case = world.read_prompt(line["prompt"])
        assert (line["kind"] == "help desk") == (case is not None)
        assert line["language"] == ("zh" if re.search(HAN, line["prompt"]) else "en")
        assert case is None or (case.category, case.item, case.problem) not in world.held_out()
    for kind in ("question", "help desk"):
        for language in ("en", "zh"):
            assert sum(x["kind"] == kind and x["language"] == language for x in lines) >= 80


def test_questions_are_questions_that_a_person_would_ask():
    lines = [json.loads(line) for line in (DATA / "ppo_data.jsonl").read_bytes().splitlines()]
    questions = [(line["language"], line["prompt"]) for line in lines if line["kind"] == "question"]
    assert len({re.sub(r"\W", "", text).lower() for _, text in questions}) == len(questions) >= 200
    for language, text in questions:
        assert text[-1] in ("?.!" if language == "en" else "？。！"), text
        assert text == text.strip() and "{" not in text and "  " not in text
        assert language == "en" or re.search(HAN, text)
        assert language == "zh" or text.isascii()
        assert 6 <= len(text) <= 160


def test_demonstrations_and_rankings_hold_nothing_held_out():
    pairs, rankings = read_pairs(DATA / "sft.jsonl"), read_rankings(DATA / "rankings.jsonl")
    assert len(pairs) == make.DEMONSTRATIONS and make.RANKED - 30 <= len(rankings) <= make.RANKED
    for prompt in [x.prompt for x in (*pairs, *rankings)]:
        case = world.read_prompt(prompt)
        assert (case.category, case.item, case.problem) not in world.held_out()
    assert all(len(r.replies) == measure.REPLIES for r in rankings)


# ---- the tokenizer ---------------------------------------------------------------------------------------------------


def test_transformers_4_knows_the_words_of_its_settings_too(tokenizer):
    """What transformers 5 writes by itself (TokenizersBackend, extra_special_tokens as a list) 4.56 cannot read."""
    said = json.loads((DATA / "tokenizer" / "tokenizer_config.json").read_text("utf-8"))
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast" and "extra_special_tokens" not in said
    assert tokenizer.all_special_tokens == ["<eos>", "<pad>", *said["additional_special_tokens"]]


def test_every_chinese_character_of_the_world_is_one_token(tokenizer):
    from course.desk import vocabulary

    characters = set(
        re.findall(HAN, json.dumps([vars(vocabulary)[n] for n in dir(vocabulary) if n.isupper()], ensure_ascii=False))
    )
    characters |= set(re.findall(HAN, "".join(make.documents(2000, seed=77))))
    assert len(characters) > 300
    assert not [c for c in characters if len(tokenizer.encode(c)) > 1]


def test_fewer_than_one_demonstration_in_two_hundred_is_longer_than_a_reply_may_be(tokenizer):
    lengths = [len(reply_ids(tokenizer, p.reply)) for p in read_pairs(DATA / "sft.jsonl")]
    assert sum(n > measure.LONGEST for n in lengths) / len(lengths) < 0.005


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_all_files_together_are_small():
    names = ["ppo_data.jsonl", "sft.jsonl", "rankings.jsonl", "language.json"]
    files = [DATA / name for name in names]
    for folder in ("tokenizer", "pretrained", "sft_model", "reward_model"):
        files += [file for file in (DATA / folder).rglob("*") if file.is_file()]
        assert not list((DATA / folder).rglob("*.bin")) and not list((DATA / folder).rglob("*.pkl"))
    assert sum(file.stat().st_size for file in files) < 10e6


@pytest.mark.parametrize(("folder", "stage"), [("pretrained", "pretraining"), ("sft_model", "fine-tuning")])
def test_a_language_model_is_as_good_as_the_datasheet_says(folder, stage, tokenizer, facts):
    model, said = load_language_model(DATA / folder), next(iter(facts["seeds"].values()))
    found = measure.quality(model, tokenizer, count=128, seed=31)  # other customers than those of the datasheet
    assert found["gold"] == pytest.approx(said[f"{stage}: gold"], abs=0.6)
    assert found["right tip"] == pytest.approx(said[f"{stage}: right tip"], abs=0.15)


@pytest.mark.slow
def test_the_reward_model_is_as_good_as_the_datasheet_says(tokenizer, facts):
    reward, said = ScalarModel.load(DATA / "reward_model"), next(iter(facts["seeds"].values()))
    held = measure.make_rankings(load_language_model(DATA / "sft_model"), tokenizer, 60, seed=31, unseen=True)
    found = measure.reward_quality(reward, tokenizer, held)
    for name in ("noisy accuracy", "gold accuracy"):
        assert found[name] == pytest.approx(said[f"reward model: {name}"], abs=0.09)
    scores = torch.cat(score_rankings(reward, tokenizer, read_rankings(DATA / "rankings.jsonl")[:500]))
    assert scores.mean().item() == pytest.approx(0, abs=1e-3) and scores.std().item() == pytest.approx(1, abs=1e-3)


def test_the_targets_hold_for_every_seed_that_was_measured(facts):
    assert len(facts["seeds"]) >= 3
    for run in facts["seeds"].values():
        assert run["fine-tuning: gold"] >= 0.4 and run["fine-tuning: right tip"] >= 0.35
        assert run["reward model: noisy accuracy"] >= 0.75 and run["reward model: gold accuracy"] >= 0.80
        assert 0.88 <= run["rankings: agreement with gold"] <= 0.93
        assert run["pretraining: right tip"] < 0.1 and run["pretraining: gold"] < -1


def test_the_datasheet_quotes_what_was_measured(facts):
    """Every row of the table of data/README.md is the mean over the seeds in language.json."""
    text = (DATA / "README.md").read_text("utf-8")
    runs = list(facts["seeds"].values())
    quoted = re.findall(r"^\| ([a-z -]+: [a-z ,]+) \| ([-0-9.]+) \|", text, re.M)
    assert len(quoted) >= 8
    for name, value in quoted:
        assert float(value) == pytest.approx(sum(run[name] for run in runs) / len(runs), abs=0.006), name
