"""The files that people have: every form of rows, in every container; any other is named, with what converts it."""

import contextlib
import copy
import gzip
import io
import json
import math
import pickle
import shlex
import sqlite3
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from ppo_lesson.language.data import Dialogue, Pair, Ranking, read, read_pairs, read_prompts, read_rankings
from ppo_lesson.language.files import KNOWN, read_rows

ASK, SAY, MORE, END = "What is a dog?", "An animal.", "Which one?", "A tame wolf."


def turns(*texts, system=None):
    """User and assistant by turns."""
    said = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return [{"role": "system", "content": system}] * (system is not None) + said


def spoken(*texts, end=""):
    """The same as hh-rlhf writes it."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(texts)) + end


ASKED = "\n\nAssistant:"


@pytest.fixture
def file(tmp_path):
    def make(*rows, name="some.jsonl"):
        text = (
            json.dumps(rows)
            if ".json" in name and ".jsonl" not in name
            else "".join(json.dumps(row) + "\n" for row in rows)
        )
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return make


def is_dialogue(prompt, chat, written=False):
    return isinstance(prompt, Dialogue) and prompt.turns == chat and prompt.spoken == written


# ---- forms -----------------------------------------------------------------------------------------------------------

PAIR = [  # rows that say: to ASK, answer SAY
    {"prompt": ASK, "reply": SAY},
    {"prompt": ASK, "response": SAY},
    {"prompt": ASK, "completion": SAY},
    {"prompt": ASK, "chosen": SAY, "rejected": END},
    {"prompt": ASK, "chosen": SAY},
    {"chosen": f"{ASK} {SAY}", "rejected": f"{ASK} {END}"},
    {"messages": turns(ASK, SAY)},
    {"prompt": turns(ASK), "completion": turns(ASK, SAY)[1:]},
    {"prompt": turns(ASK), "completion": SAY},
    {"prompt": turns(ASK), "chosen": turns(ASK, SAY)[1:], "rejected": turns(ASK, END)[1:]},
    {"prompt": ASK, "chosen": turns(ASK, SAY), "rejected": turns(ASK, END)},
    {"chosen": turns(ASK, SAY), "rejected": turns(ASK, END)},
]


@pytest.mark.parametrize("row", PAIR, ids=lambda row: " ".join(row))
def test_every_form_gives_the_same_pair_and_prompt(row, file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_pairs(file(row)) == [Pair(ASK, SAY)]
        assert read_prompts(file(row)) == [ASK]
        assert type(read_prompts(file(row))[0]) is str


@pytest.mark.parametrize("row", [row for row in PAIR if "rejected" in row], ids=lambda row: " ".join(row))
def test_every_comparison_gives_the_same_ranking(row, file):
    assert read_rankings(file(row)) == [Ranking(ASK, (SAY, END))]


SEVERAL = [  # rows that say: to ASK, SAY, MORE, answer END
    {"messages": turns(ASK, SAY, MORE, END)},
    {"prompt": turns(ASK, SAY, MORE), "completion": turns(ASK, END)[1:]},
    {"prompt": turns(ASK, SAY, MORE), "reply": END},
    {"chosen": turns(ASK, SAY, MORE, END), "rejected": turns(ASK, SAY, MORE, ASK)},
    {"prompt": turns(ASK, SAY, MORE), "chosen": END, "rejected": ASK},
    {"prompt": turns(ASK, SAY, MORE), "chosen": turns(ASK, SAY, MORE, END), "rejected": turns("", ASK)[1:]},
    {"chosen": spoken(ASK, SAY, MORE, END), "rejected": spoken(ASK, SAY, MORE, ASK)},
    {"prompt": spoken(ASK, SAY, MORE, end=ASKED), "chosen": f" {END}", "rejected": f" {ASK}"},
    {
        "prompt": spoken(ASK, SAY, MORE, end=ASKED),
        "chosen": spoken(ASK, SAY, MORE, END),
        "rejected": spoken(ASK, SAY, MORE, ASK),
    },
    {"prompt": spoken(ASK, SAY, MORE, end=ASKED), "reply": END},
]


@pytest.mark.parametrize("row", SEVERAL, ids=lambda row: " ".join(row))
def test_dialogues_keep_their_turns(row, file):
    was_spoken = any(isinstance(x, str) and "Human:" in x for x in row.values())
    pairs = read_pairs(file(row))
    assert len(pairs) == (2 if "messages" in row else 1), "each turn of the assistant is a reply to what stands before"
    assert is_dialogue(pairs[-1].prompt, turns(ASK, SAY, MORE), was_spoken) and pairs[-1].reply == END
    assert [pairs[0], read_prompts(file(row))] == [
        Pair(ASK, SAY) if "messages" in row else pairs[0],
        [pairs[-1].prompt],
    ]
    assert str(pairs[-1].prompt) == spoken(ASK, SAY, MORE, end=ASKED), "what a reward function reads"
    if "rejected" in row:
        (ranking,) = read_rankings(file(row))
        assert is_dialogue(ranking.prompt, turns(ASK, SAY, MORE), was_spoken) and ranking.replies == (END, ASK)


def test_one_question_as_in_hh_rlhf_stays_as_it_was_written_for_models_without_a_template(file):
    """prompt and reply both began with the question: it was read twice."""
    whole = {"chosen": spoken(ASK, SAY), "rejected": spoken(ASK, END)}
    for row in (whole, {"prompt": spoken(ASK, end=ASKED)} | whole, {"prompt": ASK} | whole):
        (ranking,) = read_rankings(file(row))
        assert is_dialogue(ranking.prompt, turns(ASK), True) and ranking.prompt == spoken(ASK, end=ASKED)
        assert ranking.replies == (SAY, END)


def test_a_system_prompt_stands_before_every_reply(file):
    first, second = read_pairs(file({"messages": turns(ASK, SAY, MORE, END, system="Be brief.")}))
    assert is_dialogue(first.prompt, turns(ASK, system="Be brief.")) and first.reply == SAY
    assert is_dialogue(second.prompt, turns(ASK, SAY, MORE, system="Be brief.")) and second.reply == END
    (prompt,) = read_prompts(file({"prompt": turns(ASK, system="Be brief.")}))
    assert is_dialogue(prompt, turns(ASK, system="Be brief."))
    (prompt,) = read_prompts(file({"messages": turns(ASK, SAY, MORE)}))
    assert is_dialogue(prompt, turns(ASK, SAY, MORE)), "a last question is a prompt, too"


def test_a_completion_of_several_turns_is_learned_turn_by_turn(file):
    pairs = read_pairs(file({"prompt": turns(ASK), "completion": turns(ASK, SAY, MORE, END)[1:]}))
    assert pairs == read_pairs(file({"messages": turns(ASK, SAY, MORE, END)})) and len(pairs) == 2


def test_a_dialogue_survives_other_processes_and_files(file):
    ranking = Ranking(Dialogue(turns(ASK, SAY, MORE)), (END, ASK))
    for again in (copy.deepcopy(ranking), pickle.loads(pickle.dumps(ranking)), *read_rankings(file(ranking.row()))):
        assert again == ranking and is_dialogue(again.prompt, turns(ASK, SAY, MORE))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.json.gz", "no_suffix"])
def test_every_container_holds_the_same(name, file):
    rows, places, said = read(file(*PAIR[:3], name=name), "demonstrations")
    unit = "row" if "json" in name.split(".") else "line"
    assert rows == [Pair(ASK, SAY)] * 3 and places == [f"{unit} {i}" for i in (1, 2, 3)]
    container = ("a JSON array" if unit == "row" else "JSON Lines") + ", .gz" * name.endswith("gz")
    fields = "; or ".join(f'"prompt", "{x}"' for x in ("reply", "response", "completion"))
    assert said.endswith(f"{name}: {container} with {fields}, 3 demonstrations")


def test_byte_order_marks_line_ends_and_blank_lines_do_not_matter_in_arrays_either(file):
    path = file(*PAIR[:2], name="a.json")
    path.write_bytes(b"\xef\xbb\xbf\r\n" + json.dumps(PAIR[:2], indent=2).replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert read_pairs(path) == [Pair(ASK, SAY)] * 2


# ---- rows that are left out, or refused ------------------------------------------------------------------------------


def test_copies_in_a_ranking_are_counted(file):
    rows = [{"prompt": ASK, "replies": [SAY, END, SAY]}, {"prompt": ASK, "replies": [SAY, END]}]
    rows += [{"prompt": ASK, "replies": [SAY, SAY, END]}, {"prompt": ASK, "replies": [SAY, SAY, END], "cut": [1]}]
    found, _, said = read(file(*rows), "rankings")
    assert said.endswith(
        "4 rankings; 2 of them rank a reply beside its own copy, and such a pair teaches nothing ('line 1, line 3')"
    ), "a text that was cut is no copy of one that ended: it has no EOS"
    assert found[0].replies == (SAY, END, SAY), "they are used as they stand"


def test_the_copies_of_the_courses_own_rankings_are_told():
    path = Path(__file__).parents[2] / "data" / "rankings.jsonl"
    lists = [json.loads(line)["replies"] for line in path.read_text("utf-8").splitlines()]
    copies = sum(len(set(replies)) < len(replies) for replies in lists)
    assert f"2999 rankings; {copies} of them rank a reply beside its own copy" in read(path, "rankings")[2] and copies


def test_what_has_nothing_to_teach_is_counted_by_its_reason(file):
    rows = [
        {"chosen": spoken(ASK, SAY), "rejected": spoken(ASK, END)},
        {"chosen": spoken(ASK, SAY), "rejected": spoken(ASK, SAY)},
        {"chosen": spoken(ASK, SAY, MORE, END), "rejected": spoken(ASK, END, MORE, END)},
        {"chosen": spoken(ASK, SAY), "rejected": spoken(ASK, "")},
        {"chosen": spoken(ASK, SAY), "rejected": spoken(ASK, SAY, MORE)},
        {"chosen": spoken(ASK, END), "rejected": spoken(ASK, SAY)},
    ]
    left = (
        "left out: 1 of 6 lines hold the same reply twice (2), 1 of 6 lines part before their last reply (3), "
        "2 of 6 lines have an empty turn, two of one speaker in a row, or no reply (4, 5)"
    )
    found, places, said = read(file(*rows), "rankings")
    assert [r.replies for r in found] == [(SAY, END), (END, SAY)] and places == ["line 1", "line 6"]
    assert said.endswith(f'JSON Lines with "chosen", "rejected", 2 rankings; {left}')
    with pytest.warns(UserWarning, match="part before their last reply") as caught:
        read_rankings(file(*rows))
    assert caught[0].filename == __file__
    assert len(read_pairs(file(*rows))) == 6, "for demonstrations only what was chosen counts"
    with pytest.raises(ValueError, match=r"nothing is left of .*1 of 1 lines hold the same reply twice"):
        read_rankings(file({"prompt": ASK, "chosen": SAY, "rejected": f"{SAY} "}))


WRONG = [  # reader, row, what it says
    (read_pairs, {"messages": None}, '"messages" must be a text that is not empty; got None'),
    (read_pairs, {"messages": []}, '"messages" must be a text that is not empty; got []'),
    (read_pairs, {"messages": "Hello"}, '"messages": user and assistant must take turns'),
    (read_pairs, {"messages": [turns(ASK, SAY)]}, '"messages[0]" must have "content" and a "role"'),
    (read_pairs, {"messages": [*turns(ASK), {"role": "bot", "content": SAY}]}, '"messages[1]" must have "content"'),
    (read_pairs, {"messages": [*turns(ASK), {"role": ["user"], "content": SAY}]}, '"messages[1]" must have "content"'),
    (read_pairs, {"messages": [*turns(ASK), {"role": "assistant"}]}, '"messages[1].content" must be a text'),
    (read_pairs, {"messages": turns(ASK, "")}, "\"messages[1].content\" must be a text that is not empty; got ''"),
    (read_pairs, {"messages": turns(ASK, 3)}, '"messages[1].content" must be a text that is not empty; got 3'),
    (read_pairs, {"messages": turns(ASK, [{"type": "text", "text": SAY}])}, '"messages[1].content" must be a text'),
    (read_pairs, {"messages": turns(ASK)}, "user and assistant must take turns, up to a reply"),
    (read_pairs, {"messages": turns(ASK, SAY, MORE)}, "up to a reply"),
    (read_pairs, {"messages": turns(ASK, SAY)[::-1]}, "got ['assistant', 'user']"),
    (read_pairs, {"messages": turns(ASK) + turns(MORE, END)}, "got ['user', 'user', 'assistant']"),
    (read_pairs, {"messages": turns(ASK, SAY) + turns(MORE, END, system="S")}, "nothing but a system prompt before"),
    (read_pairs, {"messages": turns(system="Be brief.")}, "user and assistant must take turns"),
    (read_pairs, {"messages": [*turns(ASK), turns(ASK, SAY)[1] | {"weight": 0}]}, '"messages[1]" has "weight"'),
    (read_pairs, {"messages": [*turns(ASK), turns(ASK, SAY)[1] | {"tool_calls": [{}]}]}, '[1]" has "tool_calls"'),
    (read_pairs, {"messages": [*turns(ASK), turns(ASK, SAY)[1] | {"train": False}]}, '"messages[1]" has "train"'),
    (read_pairs, {"messages": [*turns(ASK), turns(ASK, SAY)[1] | {"thinking": "Hm"}]}, '[1]" has "thinking"'),
    (read_pairs, {"messages": json.dumps(turns(ASK, SAY))}, '"messages" is a list of turns that somebody put into'),
    (read_prompts, {"prompt": str(turns(ASK))}, '"prompt" is a list of turns that somebody put into a text'),
    (read_prompts, {"messages": turns(system="Be brief.")}, "user and assistant must take turns"),
    (read_prompts, {"prompt": turns(ASK, SAY)}, '"prompt": user and assistant must take turns'),
    (read_prompts, {"prompt": []}, '"prompt" must be a text that is not empty; got []'),
    (read_prompts, {"prompt": {"role": "user"}}, '"prompt" must be a text that is not empty; got {'),
    (read_rankings, {"messages": turns(ASK, SAY)}, 'needs "replies", a list of two or more, or else "chosen"'),
    (read_rankings, {"prompt": ASK, "completion": SAY}, 'needs "replies", a list of two or more, or else'),
    (read_pairs, {"prompt": ASK, "completion": None}, '"completion" must be a text that is not empty; got None'),
    (read_pairs, {"completion": SAY}, "has no \"prompt\"; it has ['completion']"),
    (read_pairs, {"prompt": ASK, "completion": turns(SAY)}, '"completion": user and assistant must take turns'),
    (read_pairs, {"prompt": ASK, "completion": turns(MORE, END)}, '"completion": user and assistant must take turns'),
    (read_pairs, {"prompt": ASK, "completion": turns(ASK)}, '"completion": user and assistant must take turns'),
    (
        read_rankings,
        {"prompt": ASK, "chosen": SAY, "rejected": 7},
        '"rejected" must be a text that is not empty; got 7',
    ),
    (read_rankings, {"chosen": turns(ASK, SAY), "rejected": None}, '"rejected" must be a text'),
    (read_rankings, {"chosen": turns(ASK, SAY), "rejected": turns(ASK)}, '"rejected": user and assistant must take'),
    (read_rankings, {"chosen": turns(ASK, SAY)[1:], "rejected": turns(ASK, END)[1:]}, '"chosen": user and assistant'),
    (read_rankings, {"chosen": "I like tea", "rejected": "I hate tea"}, "do not begin with the same sentence or line"),
    (read_pairs, {"chosen": SAY}, '"rejected" must be a text'),
    (read_pairs, {"rejected": SAY}, '"chosen" must be a text'),
]


@pytest.mark.parametrize(("reader", "row", "says"), WRONG)
def test_a_wrong_field_is_named_by_line_and_name(reader, row, says, file):
    good = PAIR[3]
    for name, place in (("a.jsonl", "line 2"), ("a.json", "row 2"), ("a.jsonl.gz", "line 2")):
        with pytest.raises(ValueError, match=r"1 of 3 (line|row)s cannot be used") as caught:
            reader(file(good, row, good, name=name))
        assert f"\n  {place}: " in str(caught.value) and says in str(caught.value)


TWO = [
    (read_pairs, {"prompt": ASK, "reply": SAY, "completion": SAY}, "['reply', 'completion']"),
    (read_pairs, {"prompt": ASK, "reply": SAY, "chosen": SAY, "rejected": END}, "['reply', 'chosen', 'rejected']"),
    (read_rankings, {"prompt": ASK, "replies": [SAY, END], "chosen": SAY, "rejected": END}, "['replies', 'chosen'"),
    (read_pairs, {"prompt": ASK, "messages": turns(ASK, SAY)}, "['messages', 'prompt']"),
    (read_prompts, {"prompt": ASK, "messages": turns(ASK, SAY)}, "['messages', 'prompt']"),
    (read_rankings, {"prompt": ASK, "messages": turns(ASK, SAY), "chosen": SAY, "rejected": END}, "['messages'"),
]


def converted(message, path, *, apart=False):
    """What the line under "Convert it:" makes of the file.

    A line that imports this module runs here, where torch is loaded already, unless apart: in a Python of its own.
    """
    line = message.split(":\n  ")[-1].split(" (")[0]
    program, *rest = shlex.split(line)
    made = path.with_suffix(".rows.jsonl")
    assert program == "python" and rest[-1] == str(made)
    words = rest[:-2] if ">" in rest else rest
    if "from ppo_lesson" in line and not apart:
        assert words[0] == "-c"
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
            patch.setattr(sys, "argv", [words[0], *words[2:]])
            exec(words[1], {"__name__": "__main__"})
        printed = said.getvalue().encode("ascii")  # in whatever encoding a shell writes it
    else:
        printed = subprocess.run([sys.executable, *words], capture_output=True, check=True).stdout
    if ">" in rest:
        made.write_bytes(printed)
    return made


@pytest.mark.parametrize(("reader", "row", "says"), TWO)
def test_a_file_that_fits_two_forms_is_refused_with_a_line_that_keeps_one(reader, row, says, file):
    with pytest.raises(ValueError, match="fits two forms") as caught:
        reader(path := file(row))
    assert f"line 1: fits two forms, as it has {says}" in str(caught.value)
    assert len(reader(converted(str(caught.value), path))) == 1


@pytest.mark.slow
def test_these_lines_run_in_a_python_of_their_own(file):
    """One of each place that they stand in: `two`, `repeated`, and a form of rows."""
    for row in (TWO[0][1], {"prompt": ASK, "reply": f"{ASK} {SAY}"}, OTHERS[0][0]):
        with pytest.raises(ValueError, match=r"fits two forms|begin with their own prompt|ShareGPT") as caught:
            read_pairs(path := file(row))
        assert read_pairs(converted(str(caught.value), path, apart=True)) == [Pair(ASK, SAY)]


def test_replies_that_all_begin_with_their_prompt_are_refused_with_a_line_that_cuts_it_off(file):
    path = file(*({"prompt": ask, "chosen": f"{ask} {SAY}", "rejected": f"{ask} {END}"} for ask in (ASK, MORE)))
    for reader in (read_pairs, read_rankings):
        with pytest.raises(ValueError, match="replies begin with their own prompt") as caught:
            reader(path)
    assert read_rankings(converted(str(caught.value), path)) == [Ranking(ask, (SAY, END)) for ask in (ASK, MORE)]
    with pytest.raises(ValueError, match="replies begin with their own prompt"):
        read_pairs(file({"prompt": f"{ASK}\n", "reply": f"\n{ASK} {SAY}"}))  # the blanks between them are others
    for ask in ("Q: why?\nA:", "Why?\n", "Why? "):
        with pytest.raises(ValueError, match="replies begin with their own prompt") as caught:
            read_pairs(path := file({"prompt": ask, "reply": f"{ask}{SAY}"}))
        assert read_pairs(converted(str(caught.value), path)) == [Pair(ask, SAY)]
    assert read_pairs(file({"prompt": "a", "reply": "ab"}, {"prompt": ASK, "reply": ASK})), "nor is an echo"
    mixed = [{"prompt": ASK, "reply": f"{ASK} {SAY}"}] * 9 + [{"prompt": ASK, "reply": SAY}]
    with pytest.raises(ValueError, match="9 of 10 replies begin with their own prompt") as caught:
        read_pairs(path := file(*mixed))  # one that does not had hidden all others
    assert read_pairs(converted(str(caught.value), path)) == [Pair(ASK, SAY)] * 10
    some = file({"prompt": "Hello", "reply": "Hello there."}, {"prompt": ASK, "reply": SAY})
    assert len(read_pairs(some)) == 2, "one that greets back is no such file"


TALK = [{"from": "human", "value": ASK}, {"from": "gpt", "value": SAY}]
OTHERS = [
    ({"conversations": TALK}, "ShareGPT"),
    ({"instruction": ASK, "input": "", "output": SAY}, "Alpaca"),
    ({"question": ASK, "answer": SAY}, "questions and answers"),
    ({"query": ASK, "response": SAY}, "queries and responses"),
    ({"instruction": ASK, "response": SAY}, "instructions and responses"),
    ({"prompt": ASK, "completion": SAY, "label": True}, "KTO"),
    ({"prompt": ASK, "response": SAY, "label": 1}, "KTO"),
    ({"prompt": ASK, "reply": SAY, "label": True}, "KTO"),
    ({"data": [PAIR[0]]}, "an object around its rows"),
    ({"rows": [{"row": PAIR[0]}]}, "an object around its rows"),
    ({"train": [PAIR[0]]}, "an object around its rows"),
    ({"examples": [PAIR[0]]}, "an object around its rows"),
    ({"messages": turns(ASK, SAY), "label": "true"}, "KTO"),
]


@pytest.mark.parametrize(("row", "name"), OTHERS, ids=lambda x: x if isinstance(x, str) else "")
def test_rows_of_other_programs_are_named_and_converted(row, name, file):
    with pytest.raises(ValueError, match=name) as caught:
        read_pairs(path := file(row))
    assert read_pairs(converted(str(caught.value), path)) == [Pair(ASK, SAY)]
    if not {"data", "rows", "train", "examples"} & set(row):
        more = {k: x for k, x in row.items() if k not in ("prompt", "completion", "response", "messages")}
        assert name == "KTO" or read_pairs(file(PAIR[0] | more)) == [Pair(ASK, SAY)], "other names mean nothing"


BESIDE = [  # rows of other programs with something beside that changes what is to be learned
    ({"instruction": ASK, "response": SAY, "context": MORE}, f"{ASK}\n\n{MORE}"),  # Dolly: the text that it is about
    ({"instruction": ASK, "input": MORE, "response": SAY}, f"{ASK}\n\n{MORE}"),
    ({"question": ASK, "context": MORE, "answer": SAY}, f"{MORE}\n\n{ASK}"),
    ({"query": ASK, "response": SAY, "history": [[MORE, END]]}, 'has "history"'),
    ({"query": ASK, "response": SAY, "system": MORE}, 'has "system"'),
    ({"question": ASK, "answer": SAY, "system_prompt": MORE}, 'has "system_prompt"'),
    ({"instruction": ASK, "output": SAY, "kto_tag": False}, 'has "kto_tag"'),
    ({"instruction": ASK, "output": SAY, "label": False}, "is of the form KTO"),
    ({"query": ASK, "response": SAY, "label": "rejected"}, "is of the form KTO"),
    ({"conversations": TALK, "label": False}, "is of the form KTO"),
    ({"conversations": TALK, "kto_tag": False}, 'has "kto_tag"'),
    ({"conversations": [TALK[0], TALK[1] | {"weight": 0}]}, r'"messages\[1\]" has "weight"'),
    ({"conversations": TALK, "system_prompt": MORE}, Dialogue(turns(ASK, system=MORE))),
    ({"prompt": ASK, "completion": SAY, "label": True, "system": MORE}, 'has "system"'),
]


@pytest.mark.parametrize(("row", "expected"), BESIDE, ids=lambda x: " ".join(x) if isinstance(x, dict) else "")
def test_a_line_that_converts_rows_loses_nothing_that_changes_what_is_learned(row, expected, file):
    """The line kept two fields and dropped the rest: the text asked about, or that the answer was a bad one."""
    with pytest.raises(ValueError, match="Convert it") as caught:
        read_pairs(path := file(row))
    made = converted(str(caught.value), path)
    if expected.startswith(("has", "is of", '"messages')):
        with pytest.raises(ValueError, match=f"line 1: {expected}"):
            read_pairs(made)
    else:
        assert read_pairs(made) == [Pair(expected, SAY)]


@pytest.mark.parametrize("name", ["loss", "loss_weight", "trainable"])
def test_a_turn_that_is_not_to_be_learned_is_not(name, file):
    talk = turns(ASK, SAY)
    assert len(read_pairs(file({"messages": [talk[0], talk[1] | {name: True}]}))) == 1
    with pytest.raises(ValueError, match=f'has "{name}"'):
        read_pairs(file({"messages": [talk[0], talk[1] | {name: False}]}))


@pytest.mark.parametrize(
    ("name", "learned"), [("mask", False), ("masked", 0), ("loss_mask", 1), ("prefix", False), ("partial", 0)]
)
def test_nor_one_that_is_masked(name, learned, file):
    """What mask says is the opposite of loss: with true nothing is to be learned, or not that it ends there."""
    talk = turns(ASK, SAY)
    assert len(read_pairs(file({"messages": [talk[0], talk[1] | {name: learned}]}))) == 1
    with pytest.raises(ValueError, match=f'has "{name}"'):
        read_pairs(file({"messages": [talk[0], talk[1] | {name: not learned}]}))


SAYS = [{"from": "gpt", "value": x} for x in (SAY, END)]
COMPARED = [  # rows of other programs that say: to ASK, SAY is better than END
    ({"conversations": TALK[:1], "chosen": SAYS[0], "rejected": SAYS[1]}, "ShareGPT with a comparison"),
    ({"conversations": TALK[:1], "chosen": SAYS[:1], "rejected": SAYS[1:]}, "ShareGPT with a comparison"),
    ({"conversations": TALK[:1], "chosen": SAY, "rejected": END}, "ShareGPT with a comparison"),
    ({"messages": turns(ASK), "chosen": turns(ASK, SAY)[1], "rejected": turns(ASK, END)[1]}, "messages with a comp"),
    (
        {
            "input": {"messages": turns(ASK), "tools": [], "parallel_tool_calls": True},
            "preferred_output": turns(ASK, SAY)[1:],
            "non_preferred_output": turns(ASK, END)[1:],
        },
        "OpenAI's comparisons",
    ),
]


@pytest.mark.parametrize(("row", "name"), COMPARED, ids=lambda x: x if isinstance(x, str) else "")
def test_comparisons_of_other_programs_are_named_and_converted(row, name, file):
    for reader in (read_rankings, read_pairs, read_prompts):
        with pytest.raises(ValueError, match=name) as caught:
            reader(path := file(row))
    made = converted(str(caught.value), path)
    assert read_rankings(made) == [Ranking(ASK, (SAY, END))]
    assert read_pairs(made) == [Pair(ASK, SAY)] and read_prompts(made) == [ASK]
    if "conversations" in row:  # and nothing that changes what is learned is lost on the way
        with pytest.raises(ValueError, match=name) as caught:
            read_rankings(path := file(row | {"system": MORE}))
        system = Dialogue(turns(ASK, system=MORE))
        assert read_rankings(converted(str(caught.value), path)) == [Ranking(system, (SAY, END))]
    for more in ({"input": row["input"] | {"tools": ["x"]}} if "input" in row else {"tools": ["x"]}, {"weight": 0}):
        with pytest.raises(ValueError, match=name) as caught:
            read_rankings(path := file(row | more))
        with pytest.raises(ValueError, match="changes what is to be learned"):
            read_rankings(converted(str(caught.value), path))


@pytest.mark.parametrize("row", [{"kto_tag": False}, {"desirable": False}, {"label": "undesirable"}], ids=str)
def test_a_bad_answer_is_told_by_each_of_its_names(row, file):
    for more in ({"prompt": ASK, "completion": SAY}, {"messages": turns(ASK, SAY)}):
        with pytest.raises(ValueError, match=r"KTO|changes what is to be learned"):
            read_pairs(file(more | row))


def test_messages_of_open_assistant_become_dialogues(file):
    said = {"a": (None, "prompter", ASK), "b": ("a", "assistant", SAY), "c": ("b", "prompter", MORE)}
    said |= {"d": ("c", "assistant", END)}
    rows = [{"message_id": i, "parent_id": up, "role": role, "text": x} for i, (up, role, x) in said.items()]
    with pytest.raises(ValueError, match="Open Assistant") as caught:
        read_prompts(path := file(*rows))
    first, second = read_pairs(converted(str(caught.value), path))
    assert first == Pair(ASK, SAY) and is_dialogue(second.prompt, turns(ASK, SAY, MORE)) and second.reply == END


@pytest.mark.parametrize("name", ["completion", "response", "reply"])
@pytest.mark.parametrize("label", [False, 0, "false", -1, "Bad"])
def test_a_reply_that_is_said_to_be_bad_is_not_learned(name, label, file):
    with pytest.raises(ValueError, match="KTO") as caught:
        read_pairs(path := file({"prompt": ASK, name: END, "label": label}, {"prompt": ASK, name: SAY, "label": 1}))
    assert read_pairs(converted(str(caught.value), path)) == [Pair(ASK, SAY)]


@pytest.mark.parametrize("name", ["system", "history", "tools", "images", "weight", "margin", "chat_template_kwargs"])
def test_what_stands_beside_a_row_and_changes_what_is_learned_is_refused(name, file):
    for row in (PAIR[0], {"messages": turns(ASK, SAY)}, {"prompt": ASK, "chosen": SAY, "rejected": END}):
        assert len(read_prompts(file(row | {name: None}))) == 1
        for reader in (read_prompts, read_pairs):
            with pytest.raises(ValueError, match=f'line 1: has "{name}", which is not read here'):
                reader(file(row | {name: ["x"]}))


def test_a_system_prompt_beside_a_row_of_another_program_is_not_lost_on_the_way(file):
    with pytest.raises(ValueError, match="ShareGPT") as caught:
        read_pairs(path := file({"conversations": TALK, "system": "Be kind."}))
    assert read_pairs(converted(str(caught.value), path))[0].prompt.turns == turns(ASK, system="Be kind.")
    for row in ({"conversations": TALK, "tools": "[]"}, {"instruction": ASK, "output": SAY, "system": "Be kind."}):
        with pytest.raises(ValueError, match="Convert it") as caught:
            read_pairs(path := file(row))
        with pytest.raises(ValueError, match="which is not read here"):
            read_pairs(converted(str(caught.value), path))


def test_columns_that_a_table_left_empty_make_no_second_form(file):
    """As in rows of a Parquet file, which all have every column."""
    table = dict.fromkeys(("messages", "reply", "replies", "completion", "chosen", "rejected"))
    assert read_pairs(file(table | {"prompt": ASK, "completion": SAY})) == [Pair(ASK, SAY)]
    assert read_pairs(file(table | {"prompt": ASK, "chosen": SAY, "rejected": END})) == [Pair(ASK, SAY)]
    assert read_rankings(file(table | {"prompt": ASK, "replies": [SAY, END]})) == [Ranking(ASK, (SAY, END))]
    assert read_prompts(file(table | {"prompt": ASK})) == [ASK]


def test_ultrafeedback_becomes_rankings(file):
    completions = [{"response": END, "overall_score": 2.0}, {"response": SAY, "overall_score": 4.5}]
    with pytest.raises(ValueError, match="UltraFeedback") as caught:
        read_rankings(path := file({"instruction": ASK, "completions": completions}))
    assert read_rankings(converted(str(caught.value), path)) == [Ranking(ASK, (SAY, END))]


SCORES = ["scores", "score", "labels", "rewards", "ratings", "ranks", "rank", "ranking"]


@pytest.mark.parametrize("name", SCORES)
def test_replies_that_stand_in_another_order_than_their_scores_are_not_taken_for_a_ranking(name, file):
    with pytest.raises(ValueError, match=f"replies with their {name}") as caught:
        read_rankings(path := file({"prompt": ASK, "replies": [END, SAY], name: [2, 1] if "rank" in name else [1, 2]}))
    assert read_rankings(converted(str(caught.value), path)) == [Ranking(ASK, (SAY, END))]


def test_an_order_beside_replies_may_mean_two_things_and_is_refused(file):
    with pytest.raises(ValueError, match=r"an order of their own\nConvert it:\n.*best first"):
        read_rankings(file({"prompt": ASK, "replies": [END, SAY, MORE], "order": [2, 0, 1]}))


def test_of_replies_with_one_score_none_is_taken_for_the_better(file):
    """They stood in the order of the file, as if the first had won; NaN left all of them in that order."""
    for row in (
        {"prompt": ASK, "replies": [SAY, MORE, END], "scores": [2, 2, 1]},
        {"prompt": ASK, "replies": [END, SAY, MORE], "scores": [1, math.nan, 2]},
        {"prompt": ASK, "replies": [END, MORE], "rewards": ["9", "10"]},
    ):
        with pytest.raises(ValueError, match="replies with their") as caught:
            read_rankings(path := file(row, row | {"prompt": MORE, next(reversed(row)): [0] * len(row["replies"])}))
        assert read_rankings(converted(str(caught.value), path)) == [Ranking(ASK, (MORE, END))], (
            "nothing from all alike"
        )
    alike = [{"response": x, "overall_score": score} for x, score in ((SAY, 4.0), (MORE, 4.0), (END, 1.0))]
    with pytest.raises(ValueError, match="UltraFeedback") as caught:
        read_rankings(path := file({"instruction": ASK, "completions": alike}))
    assert read_rankings(converted(str(caught.value), path)) == [Ranking(ASK, (MORE, END))]


def test_fields_of_another_name_are_told_how_to_rename_them(file):
    for row in ({"Prompt": ASK, "Reply": SAY}, {"prompt": ASK, "Antwort": SAY}):
        with pytest.raises(ValueError, match=r"(?s)has no .*Convert it:.*ASKED.*SAID") as caught:
            read_pairs(path := file(row))
        asked, said = row
        message = str(caught.value).replace("ASKED", asked, 1).replace("SAID", said, 1)
        assert read_pairs(converted(message, path)) == [Pair(ASK, SAY)]
    with pytest.raises(ValueError, match="1 of 2 lines") as caught:
        read_pairs(file(PAIR[0], {"prompt": ASK}))
    assert "Convert it" not in str(caught.value), "in a file whose other rows are read nothing is to be renamed"


def test_json_behind_a_comment_is_no_plain_text_that_would_be_learned(file):
    for first in ("# of Monday", "// of Monday", "null"):
        path = file(PAIR[0])
        path.write_text(f"{first}\n{LINE}\n")
        with pytest.raises(ValueError, match=r"1 of 2 lines cannot be used.*\n  line 1: (not JSON|must be an object)"):
            read_pairs(path)


def test_what_is_recognised_names_only_fields_that_hold_something(file):
    said = read(file({"prompt": ASK, "reply": SAY, "messages": None}), "demonstrations")[2]
    assert '"prompt", "reply", 1 demonstrations' in said and "messages" not in said


# ---- other files -----------------------------------------------------------------------------------------------------


def zipped(*names):
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return into.getvalue()


def tarred():
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"))
    return into.getvalue()


def saved(save_into, x):
    save_into(x, into := io.BytesIO()) if save_into is not np.save else np.save(into := io.BytesIO(), x)
    return into.getvalue()


LINE = json.dumps(PAIR[0])
FILES = [  # bytes, what they are called
    (b"PAR1\x15\x04\x15", "a Parquet file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"\xff\xff\xff\xff\x10\0\0\0", "an Arrow stream"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
    (zipped("word/document.xml"), "a Word document"),
    (saved(torch.save, [PAIR[0]]), "a PyTorch file"),
    (zipped("a.jsonl"), "a zip archive"),
    (b"%PDF-1.7\n%\xe2", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"{\\rtf1\\ansi", "a Rich Text document"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "a Git LFS pointer"),
    (save({"w": torch.zeros(3)}), "weights in safetensors"),
    (save({f"w{i}": torch.zeros(1) for i in range(3)}, {"x": "y" * 200}), "weights in safetensors"),
    (b"GGUF\x03\0\0\0", "weights in GGUF"),
    (b"\n<!DOCTYPE html>\n<html>", "a web page"),
    (b"<HTML><body>", "a web page"),
    (b"<?xml version='1.0'?><a/>", "XML"),
    (b"(\xb5/\xfd\x04X", "compressed with zstd"),
    (tarred(), "a tar archive"),
    (b"7z\xbc\xaf'\x1c\0\x04", "a 7z archive"),
    (b"Rar!\x1a\x07\x01\0", "a rar archive"),
    (b"\x04\x22\x4d\x18\x64", "compressed with lz4"),
    (pickle.dumps([PAIR[0]]), "a Python pickle"),
    (saved(np.save, np.array([ASK])), "an array of numpy"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (LINE.encode("utf-16"), "text in UTF-16, not UTF-8"),
    (LINE.encode("utf-16-le"), "text in UTF-16, not UTF-8"),
    (LINE.encode("utf-16-be"), "text in UTF-16, not UTF-8"),
    (LINE.encode("utf-32"), "text in UTF-32, not UTF-8"),
    (LINE.encode("utf-32-le"), "text in UTF-32, not UTF-8"),
    (LINE.encode("utf-32-be"), "text in UTF-32, not UTF-8"),
    (b"\x01\x02\0\x03", "a binary file"),
    (f"prompt,reply\r\n{ASK},{SAY}\r\n".encode(), "CSV. "),
    (f'"prompt","reply"\n"{ASK}","{SAY}"\n'.encode("utf-8-sig"), "CSV. "),
    (f"prompt\treply\n{ASK}\t{SAY}\n".encode(), "TSV"),
    (f"prompt;reply\n{ASK};{SAY}\n".encode(), "CSV with semicolons"),
    (f"prompt|reply\n{ASK}|{SAY}\n".encode(), "CSV with vertical bars"),
    (f"prompt\n{ASK}\n{MORE}\n".encode(), "CSV with one column"),
    (f",prompt,reply\n0,{ASK},{SAY}\n".encode(), "CSV. "),  # as pandas writes it
    (f"Unnamed: 0,prompt,reply\n0,{ASK},{SAY}\n".encode(), "CSV. "),
    (f"sep=;\r\nprompt;reply\r\n{ASK};{SAY}\r\n".encode(), "CSV with semicolons"),
    (f"#\tprompt\treply\n1\t{ASK}\t{SAY}\n".encode(), "TSV"),
    (f"番号,prompt,reply,score (%)\n1,{ASK},{SAY},3\n".encode(), "CSV. "),
    (f"- prompt: {ASK}\n  reply: {SAY}\n".encode(), "YAML"),
    (f"{LINE} {LINE}\n".encode(), "JSON with several objects on a line"),
    (f"{LINE}\r{LINE}\r".encode(), "JSON with several objects on a line"),
    (f"{LINE},\n{LINE},\n".encode(), "JSON with commas between its lines"),
    (json.dumps({name: [x] for name, x in PAIR[0].items()}).encode(), "JSON of columns, not of rows"),
    (json.dumps({name: {"0": x} for name, x in PAIR[0].items()}).encode(), "JSON of columns, not of rows"),
    (f"{PAIR[0]}\n{PAIR[0]}\n".encode(), "Python's words, not JSON"),
    (f"[{PAIR[0]}, {PAIR[0]}]".encode(), "Python's words, not JSON"),
    (f"{ASK}\n\n{MORE}\n".encode(), "plain text"),
    (b"Well, who knows?\n", "plain text"),
    (b'"Well", he said\n', "plain text"),
    ("你好，世界\n".encode("gbk"), "plain text"),
    (json.dumps(PAIR[0], indent=2).encode(), "JSON with objects of several lines"),
    ("\n".join(json.dumps(row, indent=1) for row in PAIR[:2]).encode(), "JSON with objects of several lines"),
]


@pytest.mark.parametrize(("data", "name"), FILES, ids=[name for _, name in FILES])
def test_any_other_file_is_named_by_its_first_bytes(data, name, tmp_path):
    for suffix, packed in ((".jsonl", data), (".jsonl.gz", gzip.compress(data))):
        (path := tmp_path / f"my data{suffix}").write_bytes(packed)
        with pytest.raises(ValueError, match="my data") as caught:
            read_prompts(path)
        message = str(caught.value)
        assert f"{path} is {name.rstrip('. ')}" in message and len(message.splitlines()) == 3
        assert (" in a .gz.\n" in message) == (suffix == ".jsonl.gz")
        assert "Convert it" in message and "{" + "file}" not in message and "{new}" not in message


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        *((data, [Pair(ASK, SAY)]) for data, name in FILES if name in ("CSV. ", "TSV", "CSV with semicolons")),
        *((data, [Pair(ASK, SAY)]) for data, name in FILES if name.startswith(("text in UTF", "JSON of columns"))),
        *((data, [Pair(ASK, SAY)]) for data, name in FILES if name in ("CSV with vertical bars", "YAML")),
        *(
            (data, [Pair(ASK, SAY)] * 2)
            for data, name in FILES
            if name.startswith(("JSON with several", "JSON with com"))
        ),
        *((data, [Pair(ASK, SAY)] * 2) for data, name in FILES if name.startswith("Python's words")),
        (f"prompt\n{ASK}\n{MORE}\n".encode(), [ASK, MORE]),
        (json.dumps(PAIR[0] | {"reply": "Café."}, ensure_ascii=False).encode("cp1252"), [Pair(ASK, "Café.")]),
        (pickle.dumps([PAIR[0]]), [Pair(ASK, SAY)]),
        (saved(torch.save, [PAIR[0]]), [Pair(ASK, SAY)]),
        (json.dumps(PAIR[0], indent=2).encode(), [Pair(ASK, SAY)]),
        ("\n".join(json.dumps(row, indent=1) for row in PAIR[:2]).encode(), [Pair(ASK, SAY)] * 2),
        (__import__("lzma").compress(LINE.encode()), [Pair(ASK, SAY)]),
        (__import__("bz2").compress(LINE.encode()), [Pair(ASK, SAY)]),
        (gzip.compress(gzip.compress(LINE.encode(), mtime=0), mtime=0), [Pair(ASK, SAY)]),
        (f"<?xml version='1.0'?><r><x><prompt>{ASK}</prompt><reply>{SAY}</reply></x></r>".encode(), [Pair(ASK, SAY)]),
        (f"{ASK}\n\n{MORE}\n".encode(), [ASK, MORE]),
        (saved(np.save, np.array([ASK])), [ASK]),
    ],
)
@pytest.mark.slow
def test_the_line_that_converts_a_file_does_so(data, expected, tmp_path):
    (path := tmp_path / "it's my data.jsonl").write_bytes(data)
    reader = read_pairs if isinstance(expected[0], Pair) else read_prompts
    for _ in range(2):  # what was packed twice is unpacked twice
        try:
            assert reader(path) == expected
            return
        except ValueError as error:
            path = converted(str(error), path)
    assert reader(path) == expected


@pytest.mark.slow
def test_a_table_whose_rows_do_not_fit_its_head_is_not_cut(tmp_path):
    """A comma without quotes had cut the prompt, and made a reply of its rest."""
    for text, says in (
        ("prompt,reply\nWhy, oh why?,So.\n", "more columns than names"),
        ("prompt,reply\nWhy\n", '"reply" must be a text'),
    ):
        (path := tmp_path / "a.csv").write_text(text)
        with pytest.raises(ValueError, match="is CSV") as caught:
            read_pairs(path)
        with pytest.raises(ValueError, match=f"line 1: .*{says}"):
            read_pairs(converted(str(caught.value), path))
    (path := tmp_path / "a.csv").write_text('prompt\treply\n"Why" he asked\tSo.\n')  # else quotes would vanish
    with pytest.raises(ValueError, match="is TSV") as caught:
        read_pairs(path)
    with pytest.raises(subprocess.CalledProcessError):
        converted(str(caught.value), path)
    for between in ",;\t|":  # a name that stands twice: the last column had the word
        path.write_text(between.join(("prompt", "reply", "reply\n")) + between.join((ASK, SAY, f"{END}\n")))
        with pytest.raises(ValueError, match=r"is (CSV|TSV)") as caught:
            read_pairs(path)
        with pytest.raises(subprocess.CalledProcessError) as refused:
            converted(str(caught.value), path)
        assert b"two columns are called reply" in refused.value.stderr
    (path := tmp_path / "a.csv").write_text(f"prompt,reply\n{ASK},{'x' * 200_000}\n")
    with pytest.raises(ValueError, match="is CSV") as caught:
        read_pairs(path)
    assert len(read_pairs(converted(str(caught.value), path))[0].reply) == 200_000


def test_a_table_of_a_database_becomes_rows(tmp_path):
    with sqlite3.connect(path := tmp_path / "a.db") as database:
        database.execute("create table t (prompt text, reply text)")
        database.execute("insert into t values (?, ?)", (ASK, SAY))
    with pytest.raises(ValueError, match="a SQLite database") as caught:
        read_pairs(path)
    assert read_pairs(converted(str(caught.value), path)) == [Pair(ASK, SAY)]


@pytest.mark.parametrize("package", ["pyarrow", "openpyxl"])
def test_tables_that_need_a_package_become_rows(package, tmp_path):
    module = pytest.importorskip(package)
    if package == "openpyxl":
        book = module.Workbook()
        book.active.append(["prompt", "reply"])
        book.active.append([ASK, SAY])
        book.save(tmp_path / "a.xlsx")
    else:
        import pyarrow.parquet

        table = module.Table.from_pylist([{"messages": turns(ASK, SAY)}])
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        raw = module.Table.from_pylist([{"prompt": ASK.encode(), "reply": SAY.encode()}])  # texts without their type
        pyarrow.parquet.write_table(raw, tmp_path / "raw.parquet")
        for name, writer in (("a.arrow", module.ipc.new_file), ("b.arrow", module.ipc.new_stream)):
            with writer(str(tmp_path / name), table.schema) as sink:
                sink.write_table(table)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=f"pip install {package}") as caught:
            read_pairs(path)
        assert read_pairs(converted(str(caught.value), path)) == [Pair(ASK, SAY)]


def test_a_gz_that_is_cut_short_and_a_broken_array_are_named(tmp_path):
    (path := tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINE.encode() * 50)[:-9])
    with pytest.raises(ValueError, match=r"a.jsonl.gz is a .gz that was cut short or damaged"):
        read_pairs(path)
    (path := tmp_path / "a.json").write_text(f"[{LINE},\n{LINE},]")
    with pytest.raises(ValueError, match=r"a.json begins as a JSON array, and as a whole is not JSON \("):
        read_pairs(path)
    (path := tmp_path / "b.json").write_text("[]")
    with pytest.raises(ValueError, match=r"b.json is empty: give at least one"):
        read_pairs(path)
    (path := tmp_path / "c.json").write_text(f"[{LINE}, 3]")
    with pytest.raises(ValueError, match=r"row 2: must be an object like {...}; got 3"):
        read_pairs(path)


def test_the_table_of_files_is_whole():
    assert len({kind["begins"] for kind in KNOWN["kind"]}) > 25
    for entry in (*KNOWN["kind"], *KNOWN["form"], KNOWN["two"], KNOWN["repeated"], KNOWN["packed"]):
        assert entry["convert"].count('"') % 2 == 0 and "\n" not in entry["convert"], "one line for any shell"
    assert {"prompt", *KNOWN["form_of"]} == {name for names in KNOWN["fields"].values() for name in names}
    assert read_rows.__doc__
