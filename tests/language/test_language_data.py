"""Readers of JSONL: every kind of bad line with its file, number and cause; nothing disappears without a word."""

import json
import re
import warnings

import pytest

from ppo_lesson.language.data import LISTED, Pair, Ranking, read_pairs, read_prompts, read_rankings, write

GOOD = {"prompt": "Why?", "reply": "So.", "replies": ["a", "b"]}
READERS = (read_prompts, read_pairs, read_rankings)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def file(tmp_path):
    def make(*lines, joint=b"\n"):
        """A file of these lines: bytes as they are, anything else as JSON."""
        path = tmp_path / "some.jsonl"
        path.write_bytes(joint.join(x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines) + joint)
        return path

    return make


# ---- good files ------------------------------------------------------------------------------------------------------


def test_the_three_kinds_are_read(file):
    assert read_prompts(file({"prompt": "你好？", "kind": "question"}, {"prompt": " B \n"})) == ["你好？", " B \n"]
    path = file({"prompt": "A", "reply": "a"}, {"prompt": "A", "response": "b"}, {"prompt": "A", "chosen": "c"})
    assert read_pairs(path) == [Pair("A", "a"), Pair("A", "b"), Pair("A", "c")]
    path = file({"prompt": "A", "replies": ["x", "y", "z"]}, {"prompt": "A", "rejected": "y", "chosen": "x"})
    assert read_rankings(path) == [Ranking("A", ("x", "y", "z")), Ranking("A", ("x", "y"))]
    path = file({"prompt": "A", "chosen": "x", "rejected": "y"})
    assert read_pairs(path) == [Pair("A", "x")], "a comparison also shows what a good reply is"


def test_a_ranking_remembers_which_replies_were_cut(file, tmp_path):
    path = file({"prompt": "A", "replies": ["x", "y", "z"], "cut": [2, 0]}, {"prompt": "B", "replies": ["x", "y"]})
    rankings = read_rankings(path)
    assert rankings == [Ranking("A", ("x", "y", "z"), (2, 0)), Ranking("B", ("x", "y"))]
    assert [r.ended for r in rankings] == [(False, True, False), (True, True)]
    assert "cut" not in rankings[1].row()
    write(tmp_path / "again.jsonl", [r.row() for r in rankings])
    assert read_rankings(tmp_path / "again.jsonl") == rankings


@pytest.mark.parametrize("read", READERS)
def test_line_ends_and_blank_lines_do_not_matter(read, file):
    expected = read(file(GOOD))
    assert read(file(GOOD, joint=b"\r\n")) == expected
    assert read(file(b"", GOOD, b"   \t", b"\r")) == expected
    path = file(GOOD)
    path.write_bytes(path.read_bytes().rstrip())
    assert read(path) == expected, "no newline at the end"
    assert len(expected) == 1


@pytest.mark.parametrize("read", READERS)
def test_a_byte_order_mark_does_not_matter(read, file):
    assert read(file(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())) == read(file(GOOD))


def test_prompts_that_come_again_are_reported_and_used_once(file):
    path = file(*({"prompt": p} for p in ("B", "A", "B", " B", "C", "A")))
    with pytest.warns(UserWarning, match=r"left out: 3 of 6 lines repeat an earlier prompt \(3, 4, 6\)") as caught:
        assert read_prompts(path) == ["B", "A", "C"]
    assert [str(w.filename) for w in caught] == [__file__], "the warning points at the caller's line"
    assert len(read_pairs(file(GOOD, GOOD))) == 2 and len(read_rankings(file(GOOD, GOOD))) == 2


def test_blanks_around_a_text_stay(file):
    """They were cut off: the indentation of code, and the newline at the end of a prompt."""
    row = {"prompt": "def f():\n", "reply": "    return 1\n", "replies": ["    return 1\n", "\treturn 2"]}
    assert read_prompts(file(row)) == ["def f():\n"] and read_pairs(file(row)) == [Pair("def f():\n", "    return 1\n")]
    assert read_rankings(file(row)) == [Ranking("def f():\n", ("    return 1\n", "\treturn 2"))]


def test_unusual_characters_arrive_whole(file):
    odd = "🙂 \u2028 é 龘 \\n \x85 <eos>"
    assert read_prompts(file({"prompt": odd})) == [odd]
    assert read_prompts(file(json.dumps({"prompt": odd}, ensure_ascii=False).encode())) == [odd]


def test_what_is_written_is_read_and_the_same_everywhere(tmp_path):
    rows = [{"prompt": "你好 🙂\n\u2028", "reply": "a\tb\\"}, {"prompt": "B", "reply": "c"}]
    write(tmp_path / "a", rows)
    assert (tmp_path / "a").read_bytes().count(b"\n") == 2 and b"\r" not in (tmp_path / "a").read_bytes()
    assert "你好" in (tmp_path / "a").read_text("utf-8")
    assert read_pairs(tmp_path / "a") == [Pair(r["prompt"], r["reply"]) for r in rows]


# ---- bad lines -------------------------------------------------------------------------------------------------------

BAD = [  # the readers that refuse it, the line, what they say
    (READERS, b"prompt: Why?", "not JSON (Expecting value at character 1): 'prompt: Why?'"),
    (
        READERS,
        '{"prompt": "这是一个很长很长很长很长很长很长很长很长很长很长的问题'.encode(),
        "not JSON (Unterminated string",
    ),
    (READERS, b'{"prompt": "a"} {"prompt": "b"}', "not JSON (Extra data at character 17)"),
    (READERS, b'{"prompt": "\xff\xfe"}', "not UTF-8 (invalid start byte at byte 13); save the file as UTF-8"),
    (READERS, b"{'prompt': 'a'}", "not JSON (Expecting property name"),
    (READERS, "你好".encode("gbk"), "not UTF-8"),
    (READERS, b'["prompt", "a"]', "must be an object like {...}; got ['prompt', 'a']"),
    (READERS, b"7", "must be an object like {...}; got 7"),
    (READERS, b"[" * 100_000, "is nested too deeply"),
    (READERS, b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}", "integer string conversion"),
    (READERS, b'{"prompt": "a", "prompt": "b"}', 'has "prompt" more than once'),
    (READERS, {"question": "a"}, "has no \"prompt\"; it has ['question']"),
    (READERS, {}, 'has no "prompt"; it has []'),
    (READERS, {**GOOD, "prompt": ""}, "\"prompt\" must be a text that is not empty; got ''"),
    (READERS, {**GOOD, "prompt": " \n\u3000"}, '"prompt" must be a text that is not empty'),
    (READERS, {**GOOD, "prompt": None}, '"prompt" must be a text that is not empty; got None'),
    (READERS, {**GOOD, "prompt": ["Why?"]}, '"prompt[0]" must have "content" and a "role"'),
    (READERS, b'{"prompt": "a\\ud83d"}', '"prompt" holds half a character (a lone surrogate such as \\ud83d)'),
    ((read_pairs,), {"prompt": "a"}, "has no \"reply\"; it has ['prompt']"),
    ((read_pairs,), {"prompt": "a", "replies": ["b", "c"]}, 'has "replies", which are ranked: that is for `reward`'),
    ((read_rankings,), {"prompt": "a", "reply": "b"}, "Demonstrations, of one reply each, are for `sft`"),
    ((read_pairs,), {"prompt": "a", "reply": 3}, '"reply" must be a text that is not empty; got 3'),
    ((read_pairs,), {"prompt": "a", "reply": "b", "response": "c"}, 'has "reply" and "response", which mean the same'),
    ((read_rankings,), {"prompt": "a"}, 'needs "replies", a list of two or more, or else "chosen" and "rejected"'),
    ((read_rankings,), {"prompt": "a", "replies": ["b"]}, 'needs "replies", a list of two or more'),
    ((read_rankings,), {"prompt": "a", "replies": "bc"}, 'needs "replies", a list of two or more'),
    ((read_rankings,), {"prompt": "a", "chosen": "b"}, "has ['chosen']"),
    ((read_rankings,), {"prompt": "a", "chosen": "b", "rejected": ""}, '"rejected" must be a text that is not empty'),
    *(
        ((read_rankings,), {**GOOD, "cut": cut}, '"cut" must list places of replies, each once, from 0 to 1; got')
        for cut in ([2], [-1], [0, 0], 1, [True], ["b"], None)
    ),
    ((read_rankings,), {"prompt": "a", "replies": ["b", None]}, '"replies[1]" must be a text'),
    ((read_rankings,), {"prompt": "a", "replies": ["b", "b "]}, "ranks a reply above itself: 'b'"),
]


@pytest.mark.parametrize(
    ("read", "line", "says"), [(read, line, says) for readers, line, says in BAD for read in readers]
)
def test_a_bad_line_is_named_with_its_number_and_cause(read, line, says, file):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        read(file(GOOD, b"", line, GOOD))
    message = str(caught.value)
    assert re.match(r".*some\.jsonl: 1 of 3 lines cannot be used; mend or delete them\n  line 3: ", message)
    assert len(message) < 600


def test_no_text_is_too_long_to_be_read(file):
    long = "word " * 100_000
    assert read_prompts(file({"prompt": long})) == [long]
    assert read_pairs(file({"prompt": "a", "reply": long})) == [Pair("a", long)]
    assert read_rankings(file({"prompt": "a", "replies": [long, "b"]})) == [Ranking("a", (long, "b"))]


def test_all_bad_lines_are_listed_up_to_a_number(file):
    bad = [b"?"] * (LISTED + 5)
    with pytest.raises(ValueError, match=f"{LISTED + 5} of {LISTED + 6} lines cannot be used") as caught:
        read_prompts(file(GOOD, *bad))
    lines = str(caught.value).splitlines()
    assert [x.split(":")[0] for x in lines[1:-1]] == [f"  line {i}" for i in range(2, LISTED + 2)]
    assert lines[-1] == "  and 5 more"


def test_two_bad_texts_in_one_line_are_one_bad_line(file):
    with pytest.raises(ValueError, match=r"1 of 1 lines") as caught:
        read_pairs(file({"prompt": 1, "reply": 2}))
    assert '"prompt" must be' in str(caught.value)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_an_empty_file_is_an_error(read, content, tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"empty.jsonl is empty: give at least one line"):
        read(tmp_path / "empty.jsonl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        read_prompts(tmp_path / "nothing.jsonl")


def test_a_file_in_utf16_is_refused_not_misread(tmp_path):
    (tmp_path / "notepad.jsonl").write_text(json.dumps(GOOD), "utf-16")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_prompts(tmp_path / "notepad.jsonl")
