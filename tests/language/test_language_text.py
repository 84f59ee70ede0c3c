"""The tokenizer: nothing is lost, EOS is not PAD, one chat format however it is made; and padding."""

import json
import random
import re

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from course.desk import tiny, world
from course.desk.tiny import SPECIAL, train_tokenizer
from ppo_lesson.language.data import Dialogue
from ppo_lesson.language.text import CHAT, load_tokenizer, pad_left, pad_right, prompt_ids, reply_ids, reply_text

ODD = [
    "🙂",
    "龘靐",
    "naïve café",
    "a\tb\nc",
    "<eos> <user>x<reply> <pad>",
    "1,000.50 €",
    "\u200d",
    "ﬁ",
    "日本語 です",
    "?!",
]


def grammar(count, seed=0):
    rng = random.Random(seed)
    for i in range(count):
        case = world.draw_case(rng, unseen=i % 3 == 0)
        yield world.prompt(case, rng), world.demonstration(case, rng), world.document(rng)


@pytest.fixture(scope="module")
def trained():
    rng = random.Random(1)
    documents = [world.document(rng) for _ in range(1500)]
    cases = [world.draw_case(rng) for _ in range(700)]
    pairs = [(world.prompt(case, rng), world.demonstration(case, rng)) for case in cases]
    texts = [*documents, *(p for p, _ in pairs), *(" " + r for _, r in pairs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "OFTEN", 1500)  # as often as there are documents: in a sixth of the time
        return train_tokenizer(texts, vocab_size=1024)


@pytest.fixture(scope="module")
def tokenizer(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    trained.save_pretrained(folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def foreign():
    """A tokenizer like GPT-2's: no chat template, no PAD."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["Why is it so? It is so."], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


# ---- the tokenizer ---------------------------------------------------------------------------------------------------


def test_the_end_is_not_padding(tokenizer):
    assert len(tokenizer) == 1024
    assert tokenizer.convert_tokens_to_ids(SPECIAL) == [0, 1, 2, 3]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1) and tokenizer.padding_side == "left"


@pytest.mark.slow
def test_training_it_again_gives_the_same():
    texts = [text for row in grammar(200) for text in row]
    a, b = (train_tokenizer(texts, vocab_size=400).backend_tokenizer.to_str() for _ in range(2))
    assert a == b


def test_every_text_of_the_grammar_comes_back(tokenizer):
    for prompt, reply, document in grammar(600):
        assert reply_text(tokenizer, reply_ids(tokenizer, reply)) == reply
        for text in (prompt, document):
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("text", ODD)
def test_what_it_never_saw_comes_back_byte_by_byte(tokenizer, text):
    ids = reply_ids(tokenizer, text)
    assert reply_text(tokenizer, ids) == text.strip()
    assert ids.count(1) == 1 and ids[-1] == 1 and not set(ids[:-1]) & {0, 1, 2, 3}, "written markup is plain text"


def test_chinese_characters_stay_apart(tokenizer):
    for token in tokenizer.get_vocab():
        text = tokenizer.convert_tokens_to_string([token])
        if re.search(r"[\u4e00-\u9fff]", text):
            assert len(text) == 1, "no token holds a Chinese character and anything else"
    assert len([t for t in tokenizer.get_vocab() if tokenizer.convert_tokens_to_string([t]) in "您可以给它"]) >= 5


def test_english_words_of_a_reply_are_those_inside_a_text(tokenizer):
    first = reply_ids(tokenizer, "You can wash it.")[0]
    assert first in reply_ids(tokenizer, "Hello! You can wash it.")[1:]
    assert tokenizer.decode([first]) == " You"


def test_a_saved_folder_is_a_hugging_face_folder_and_the_same(trained, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert plain.chat_template == tokenizer.chat_template == CHAT and set(plain.all_special_tokens) == set(SPECIAL)
    assert json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["model"]["type"] == "BPE"
    for prompt, reply, _ in [*grammar(100), *((text, text, "") for text in ODD)]:
        for other in (trained, plain):
            if "<" not in prompt:
                assert prompt_ids(other, prompt) == prompt_ids(tokenizer, prompt)
            assert reply_ids(other, reply) == reply_ids(tokenizer, reply)


@pytest.mark.parametrize("word", ["<eos>", "<user>", "<pad>"])
def test_a_word_of_the_tokenizers_own_in_a_text_is_refused_under_a_template(word, tokenizer):
    """It would end the turn, or begin another one: what somebody wrote would not be what the model reads."""
    for prompt in (f"Say {word} twice", Dialogue([{"role": "user", "content": word}])):
        with pytest.raises(ValueError, match=f"a text holds '{word}', which the tokenizer takes for more than text"):
            prompt_ids(tokenizer, prompt)
    assert prompt_ids(tokenizer, f"Say {word[1:-1]} twice")


# ---- prompts and replies ---------------------------------------------------------------------------------------------


def test_the_chat_template_makes_what_prompt_ids_and_reply_ids_make(tokenizer):
    for prompt, reply, _ in [*grammar(200), ("a", "1st", ""), ("你", "“好”", ""), ("a", "(yes)", ""), ("a", "🙂", "")]:
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert whole == prompt_ids(tokenizer, prompt) + reply_ids(tokenizer, reply)
        assert tokenizer.apply_chat_template(chat, return_dict=False) == whole
        asked = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=False)
        assert asked == prompt_ids(tokenizer, prompt)
    assert prompt_ids(tokenizer, "Why?")[0] == 2 and prompt_ids(tokenizer, "Why?")[-1] == 3
    assert prompt_ids(tokenizer, "")[1:] == [3], "even an empty prompt has a place where the reply begins"


def test_a_reply_is_read_up_to_its_first_end(tokenizer):
    ids = reply_ids(tokenizer, "Thank you!")
    assert reply_text(tokenizer, [*ids, 0, 0, 0]) == "Thank you!"
    assert reply_text(tokenizer, [*ids, *ids]) == "Thank you!"
    assert reply_text(tokenizer, torch.tensor(ids[:-1])) == "Thank you!", "one that was cut, and a tensor"
    assert reply_text(tokenizer, [1, 5]) == reply_text(tokenizer, []) == ""


def test_a_foreign_tokenizer_without_pad_and_template(foreign, tmp_path):
    foreign.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0
    assert tokenizer.decode(prompt_ids(tokenizer, "Why is it so?")) == "Why is it so?"
    assert tokenizer.decode(reply_ids(tokenizer, "It is so.")) == " It is so.<|end|>", "it goes on in the same text"


def test_a_foreign_template_is_followed_and_gets_no_space(foreign, tmp_path):
    foreign.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]\n{% endif %}"
    )
    assert tokenizer.decode(prompt_ids(tokenizer, "Why?")) == "[user]\nWhy?\n[assistant]\n"
    assert tokenizer.decode(reply_ids(tokenizer, "So.")) == "So.<|end|>"


def test_a_tokenizer_without_an_end_is_refused(foreign, tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=foreign.backend_tokenizer).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no EOS token, so that no reply could end"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["hello you", "zzz"])
def test_a_word_that_has_no_token_is_named_where_the_tokenizer_has_no_unk(text):
    """It ended in "Exception: WordLevel error", of no type that could be caught, without the text."""
    vocabulary = {word: i for i, word in enumerate(["<end>", "hello", "world", "a"])}
    backend = Tokenizer(models.WordLevel(vocabulary))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    closed = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    assert prompt_ids(closed, "hello world") == [1, 2] and reply_ids(closed, "world a") == [2, 3, 0]
    for ids in (prompt_ids, reply_ids):
        with pytest.raises(ValueError, match=f"no token for a word of ' ?{text}', .* Give it an unk_token"):
            ids(closed, text)


# ---- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [0, 1, 7])
def test_padding_is_known_from_lengths_never_from_ids(pad):
    rows = [[5, 7, 1], [1], [0, 1, 0, 1, 7]]
    left, left_mask = pad_left(rows, pad)
    right, right_mask = pad_right(rows, pad)
    assert left.dtype == right.dtype == torch.int64 and left_mask.dtype == right_mask.dtype == torch.bool
    assert left.tolist() == [[pad, pad, 5, 7, 1], [pad] * 4 + [1], [0, 1, 0, 1, 7]]
    assert right.tolist() == [[5, 7, 1, pad, pad], [1] + [pad] * 4, [0, 1, 0, 1, 7]]
    assert torch.equal(left_mask, right_mask.flip(-1)) and left_mask.sum(-1).tolist() == [3, 1, 5]
    for ids, mask in ((left, left_mask), (right, right_mask)):
        assert [row[m].tolist() for row, m in zip(ids, mask)] == rows


def test_padding_refuses_what_it_cannot_pad():
    for pad in (pad_left, pad_right):
        with pytest.raises(ValueError, match=r"at least one token; got lengths \[2, 0\]"):
            pad([[1, 2], []], 0)
        with pytest.raises(ValueError, match=r"got lengths \[\]"):
            pad([], 0)
        with pytest.raises(ValueError, match="pad_id must be a whole number"):
            pad([[1, 2]], None)
