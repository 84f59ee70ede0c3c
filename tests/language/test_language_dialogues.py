"""Several turns through a chat template: learned are the assistant's turns alone, as the template writes them."""

import pytest
import torch

from course.desk.tiny import tiny_llama, train_tokenizer
from ppo_lesson.language.data import Dialogue, Pair, read_pairs, turns_of, write
from ppo_lesson.language.sampling import token_logps
from ppo_lesson.language.supervised import SupervisedConfig, sft
from ppo_lesson.language.text import CHAT, pair_ids, prompt_ids, reply_ids

CHAT_ML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MARKED = CHAT_ML.replace(
    "{{ m.content }}<eos>",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<eos>{% endgeneration %}"
    "{% else %}{{ m.content }}<eos>{% endif %}",
)
TALK = [
    ("user", "Why is tea cold?"),
    ("assistant", "Nobody drank it."),
    ("user", "And now?"),
    ("assistant", "Warm it."),
]
TURNS = [{"role": role, "content": content} for role, content in TALK]
SYSTEM = [{"role": "system", "content": "Be brief."}]


@pytest.fixture
def tokenizer():
    texts = [" " + x["content"] for x in TURNS + SYSTEM] * 3
    return train_tokenizer([*texts, "<user><assistant><system>"], vocab_size=300)


@pytest.fixture
def file(tmp_path):
    def make(turns):
        write(path := tmp_path / "dialogues.jsonl", [{"messages": turns}])
        return path

    return make


def with_template(tokenizer, template):
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", [CHAT, CHAT_ML, MARKED])
def test_the_loss_is_that_of_the_assistants_turns_in_one_pass(template, tokenizer, file):
    """Independent: the whole dialogue, once; every token between a begin and an end of a reply counts, no other."""
    tokenizer = with_template(tokenizer, template)
    pairs = read_pairs(file(TURNS))
    model = tiny_llama(len(tokenizer), width=16, layers=2, heads=2, seed=0).double()
    ids = tokenizer.apply_chat_template(TURNS, return_dict=False)
    begin = tokenizer("<reply>" if template == CHAT else "<assistant>", add_special_tokens=False)["input_ids"]
    counts, open_ = [], False
    for i, token in enumerate(ids):
        counts.append(open_)
        open_ = ids[max(0, i + 1 - len(begin)) : i + 1] == begin or (open_ and token != tokenizer.eos_token_id)
    assert sum(counts) == sum(len(reply_ids(tokenizer, pair.reply)) for pair in pairs)
    row = torch.tensor([ids])
    logp = token_logps(model, row, torch.ones_like(row), len(ids) - 1)[0]
    expected = -logp[torch.tensor(counts[1:])].mean().item()
    config = SupervisedConfig(steps=1, batch=2, lr=1e-3, warmup=0)
    step = next(iter(sft(model, tokenizer, pairs, config, seed=0)))
    assert step["tokens"] == sum(counts) and abs(step["loss"] - expected) < 1e-5 * expected


@pytest.mark.parametrize("template", [CHAT_ML, MARKED])
def test_a_system_prompt_goes_through_the_template_and_is_not_learned(template, tokenizer, file):
    tokenizer = with_template(tokenizer, template)
    first, second = (pair_ids(tokenizer, pair.prompt, pair.reply) for pair in read_pairs(file(SYSTEM + TURNS)))
    assert tokenizer.decode(first[0]) == "<system>Be brief.<eos><user>Why is tea cold?<eos><assistant>"
    assert tokenizer.decode(first[1]) == "Nobody drank it.<eos>" and tokenizer.decode(second[1]) == "Warm it.<eos>"
    whole = tokenizer.apply_chat_template(SYSTEM + TURNS, return_dict=False)
    assert second[0] + second[1] == whole and second[0][: len(first[0])] == first[0]


def test_marks_of_a_template_say_what_is_learned(tokenizer):
    """Marked are a thought that the template adds, and the end; the prompt ends where the marks begin."""
    template = MARKED.replace("{% generation %}", "{% generation %}<think></think>")
    tokenizer, prompt = with_template(tokenizer, template), Dialogue(TURNS[:3])
    asked, said = pair_ids(tokenizer, prompt, "Warm it.")
    assert tokenizer.decode(said) == "<think></think>Warm it.<eos>"
    assert tokenizer.decode(asked).endswith("And now?<eos><assistant>")
    assert tokenizer.decode(pair_ids(tokenizer, "Why?", "So.")[1]) == "<think></think>So.<eos>", "of one turn, too"


def test_marks_that_hold_the_question_too_are_refused(tokenizer):
    whole = "{% generation %}" + CHAT_ML + "{% endgeneration %}"
    behind_a_start = "<bos>{% generation %}" + CHAT_ML + "{% endgeneration %}"  # whose question would be learned
    for template in (whole, behind_a_start):
        with pytest.raises(ValueError, match=r"marks \(generation\) the question 'Why\?' as a part of the reply"):
            pair_ids(with_template(tokenizer, template), "Why?", "So.")
        with pytest.raises(ValueError, match="the question"):
            pair_ids(with_template(tokenizer, template), Dialogue(TURNS[:3]), "Warm it.")


def test_a_template_that_rewrites_what_went_before_is_refused(tokenizer):
    forgets = "{% for m in messages[-2:] %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}<assistant>"
    other = CHAT_ML.replace("{{ m.content }}", "{{ m.content if loop.last or m.role == 'user' else '...' }}")
    for template, says in ((forgets, "no place for a turn of the user"), (other, "no place for a turn of the assis")):
        with pytest.raises(ValueError, match=says):
            pair_ids(with_template(tokenizer, template), Dialogue(TURNS[:3]), "Warm it.")
    late = CHAT_ML.replace("{% if", "{% if messages[-1].role == 'user' %}<hint>{% endif %}{% if", 1)
    with pytest.raises(ValueError, match=r"otherwise when its reply follows.*mark replies in it with generation"):
        pair_ids(with_template(tokenizer, late), Dialogue(TURNS[:3]), "Warm it.")


@pytest.mark.parametrize(
    "template",
    [
        CHAT,  # writes it as if it were a reply
        CHAT_ML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
    ],
)
def test_a_template_without_a_place_for_a_system_prompt_is_refused(template, tokenizer):
    with pytest.raises(ValueError, match=r"no place for a turn of the system, as in .*Be brief"):
        prompt_ids(with_template(tokenizer, template), Dialogue(SYSTEM + TURNS[:1]))


def test_a_template_that_fails_on_turns_says_on_which(tokenizer):
    fails = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + CHAT_ML
    with pytest.raises(ValueError, match=r"fails on turns of system, user \(no system here\)"):
        prompt_ids(with_template(tokenizer, fails), Dialogue(SYSTEM + TURNS[:1]))
    assert prompt_ids(tokenizer, Dialogue(TURNS[:3])), "and nothing is said of others"


def test_without_a_template_turns_are_refused_and_texts_of_hh_rlhf_stay(tokenizer):
    tokenizer = with_template(tokenizer, None)
    with pytest.raises(ValueError, match=r"has no chat template for the turns of .*Why is tea cold"):
        prompt_ids(tokenizer, Dialogue(TURNS[:3]))
    text = "\n\nHuman: Why is tea cold?\n\nAssistant: Nobody drank it.\n\nHuman: And now?\n\nAssistant:"
    prompt = Dialogue(TURNS[:3], spoken=True)
    assert prompt == text and tokenizer.decode(prompt_ids(tokenizer, prompt)) == text
    assert (
        tokenizer.decode([i for ids in pair_ids(tokenizer, prompt, "Warm it.") for i in ids]) == text + " Warm it.<eos>"
    )


def test_one_question_goes_the_usual_way(tokenizer):
    (pair,) = [Pair("Why is tea cold?", "Nobody drank it.")]
    assert turns_of(pair.prompt) == TURNS[:1] and turns_of(Dialogue(TURNS[:3])) == TURNS[:3]
    for template in (CHAT, CHAT_ML, None):
        asked, said = pair_ids(with_template(tokenizer, template), pair.prompt, pair.reply)
        assert (asked, said) == (prompt_ids(tokenizer, pair.prompt), reply_ids(tokenizer, pair.reply))
