"""Where a text begins and a reply ends, for tokenizers of all kinds; and that nothing of a text is lost between."""

import random
import string
import time
import unicodedata

import pytest
import shop
import torch
from tiny_language import build
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from course.desk.tiny import pretrain
from ppo_lesson.hardware.decode import Decoder
from ppo_lesson.language import reward, rlhf, supervised, text
from ppo_lesson.language.data import Dialogue
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.rollout import roll_out
from ppo_lesson.language.sampling import generate, response_mask
from ppo_lesson.language.text import document_ids, end_ids, load_tokenizer, pair_ids, prompt_ids, reply_ids, reply_text

BOS, EOS, TURN, T = "<bos>", "<eos>", "<turn>", 258  # the last one's id
CHATML = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}<turn>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
OPEN = CHATML.replace("<turn>\n", "\n")  # which ends a turn with nothing of its own
CODE = ["    return 1\n", "  x", "x = 1\n\n\nif x:\n\ty()\n", "\n", ", . 'll n't", "\treturn", "好\n", "a "]


def made(*, begins=False, ends=False, template=None, turn="special", **more):
    """Bytes, BOS 0, EOS 1, and <turn> T: "special" or "added", a token all the same. begins, ends: what it adds."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        [], trainers.BpeTrainer(special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False)
    )
    inner.add_tokens([AddedToken(TURN, special=turn == "special")])
    single = f"{BOS} $A" if begins else "$A"
    inner.post_processor = processors.TemplateProcessing(
        single=f"{single} {EOS}" if ends else single, special_tokens=[(BOS, 0), (EOS, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BOS, eos_token=EOS, pad_token=EOS, chat_template=template, **more
    )


def sentence_piece(how, template=None):
    """Letters and bytes, with a space before every text: as Llama 2's normalizer does it, or as Metaspace does."""
    names = ["<unk>", BOS, EOS, *(f"<0x{i:02X}>" for i in range(256)), "▁", "▁▁", *string.printable[:94]]
    vocabulary = {name: i for i, name in enumerate(names)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "▁")], byte_fallback=True, unk_token="<unk>"))
    if how == "prepend":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=how, split=False)
    inner.add_special_tokens(["<unk>", BOS, EOS])
    bytes_ = decoders.ByteFallback(), decoders.Fuse()
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), *bytes_, decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BOS, eos_token=EOS, pad_token=EOS, chat_template=template
    )


def actor_of(tokenizer, **changes):
    return without_dropout(build("llama", vocab_size=len(tokenizer), **changes))


# ---- where a text begins ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("begins", [False, True])
def test_a_plain_prompt_begins_as_its_tokenizer_begins_texts(begins, ends):
    tokenizer = made(begins=begins, ends=ends)
    bare = tokenizer("Hi", add_special_tokens=False)["input_ids"]
    assert prompt_ids(tokenizer, "Hi") == [0] * begins + bare, "a BOS where it adds one, and never an end"
    document = document_ids(tokenizer, "Hi")
    assert document[: begins + 1].count(0) == begins and document[-1] == 1 and document.count(1) == 1
    assert reply_ids(tokenizer, "Hi")[0] != 0


def test_a_plain_prompt_that_has_its_bos_already_gets_no_second_one():
    tokenizer = made(begins=True)
    assert (
        prompt_ids(tokenizer, f"{BOS}Hi") == prompt_ids(tokenizer, "Hi") and prompt_ids(tokenizer, "Hi").count(0) == 1
    )


def test_several_templates_without_a_default_are_refused_in_one_message():
    tokenizer = made()
    tokenizer.chat_template = {"tool_use": CHATML, "rag": CHATML}
    with pytest.raises(ValueError, match=r"chat template fails on one turn of a user \(.*no default"):
        prompt_ids(tokenizer, "Hi")


@pytest.mark.parametrize("begins", [False, True])
def test_under_a_chat_template_the_template_alone_says_how_a_prompt_begins(begins):
    assert prompt_ids(made(begins=begins, template=CHATML), "Hi").count(0) == 1
    assert prompt_ids(made(begins=begins, template=CHATML.replace("{{ bos_token }}", "")), "Hi").count(0) == 0


def test_plain_texts_of_pretraining_begin_with_it_too():
    tokenizer, seen = made(begins=True), []
    model = actor_of(tokenizer)
    forward = model.base_model.forward
    model.base_model.forward = lambda **named: seen.append(named["input_ids"]) or forward(**named)
    config = supervised.SupervisedConfig(steps=1, batch=2)
    next(pretrain(model, tokenizer, ["abcdefg"] * 4, config, seed=0, width=10))
    assert (seen[0][:, 0] == 0).all() and (seen[0][:, -1] == 1).all(), "BOS, a space, seven letters, EOS"


# ---- where a reply ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "turn", "first"),
    [
        (None, "special", 1),
        (CHATML, "special", T),
        (CHATML, "added", T),
        (CHATML.replace("<turn>", "{{ eos_token }}"), "special", 1),
        (OPEN, "special", 1),
        ("{{ raise_exception('no assistant') if messages|length > 1 else messages[0].content }}", "special", 1),
        ([{"name": "default", "template": CHATML}, {"name": "tools", "template": OPEN}], "special", T),
    ],
)
def test_a_reply_is_taught_the_end_that_its_template_writes(template, turn, first, tmp_path):
    made(template=template, turn=turn).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert end_ids(tokenizer)[0] == first and set(end_ids(tokenizer)) == {first, 1}
    ids = reply_ids(tokenizer, "So.")
    assert ids[-1] == first and not {1, T} & set(ids[:-1]) and reply_ids(tokenizer, "So.", ended=False) == ids[:-1]
    for end in {first, 1}:
        assert reply_text(tokenizer, [*ids[:-1], end, 70, 1]) == "So."


def test_what_is_learned_is_what_the_template_writes():
    """Up to the end of the turn; a newline behind it belongs to nobody."""
    tokenizer = made(template=CHATML)
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    whole = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
    ours = prompt_ids(tokenizer, "Why?") + reply_ids(tokenizer, "So.")
    assert whole[: len(ours)] == ours and tokenizer.decode(whole[len(ours) :]) == "\n"


@pytest.mark.parametrize(
    "line", ["[{{ m['role'] }}]\n{{ m['content'] }}<turn>\n", "{{ m['role'] }}: {{ m['content'] }}<eos>"]
)
def test_a_template_without_a_generation_prompt_begins_the_replys_turn_all_the_same(line):
    tokenizer = made(template=f"{{% for m in messages %}}{line}{{% endfor %}}")
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    whole = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
    prompt, reply = pair_ids(tokenizer, "Why?", "So.")
    assert (prompt + reply) == whole[: len(prompt + reply)] and "assistant" in tokenizer.decode(prompt)
    assert tokenizer.decode(reply).strip(" ").startswith("So.") and reply_text(tokenizer, reply) == "So."


THINKS = (  # as R1's: a thought begins with the prompt, and a reply that follows has none
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<turn>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}"
)


@pytest.mark.parametrize(
    "template",
    [
        THINKS,
        "{% for m in messages %}{{ m.content | upper }}<turn>{% endfor %}",
        "{% for m in messages %}{{ m.content | e }}<turn>{% endfor %}",
        "{% for m in messages %}{{ m.content[:9] }}<turn>{% endfor %}",
        "{{ messages[-1].content }}<turn>",
        "{% for m in messages %}{{ m.content | tojson }}<turn>{% endfor %}",
        "{% for m in messages %}{{ m.content }} (said the {{ m.role }})<turn>{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ '</a>' if m.role == 'assistant' }}<turn>{% endfor %}",
    ],
)
def test_a_template_that_writes_a_pair_otherwise_is_refused_for_one_turn_too(template):
    """It was for several turns alone; of one turn a text was learned that the template never writes."""
    with pytest.raises(ValueError, match="otherwise when its reply follows"):
        pair_ids(made(template=template), "Why?", "Because it is <so>.")


@pytest.mark.parametrize("turn", ["special", "added"])
def test_an_end_inside_of_a_text_is_refused_where_the_tokenizer_would_read_it_as_one(turn):
    """It was learned as the end of a reply that goes on, or ended the user's turn."""
    marked = CHATML.replace("{{ m['content'] }}<turn>", "{% generation %}{{ m['content'] }}<turn>{% endgeneration %}")
    for template in (CHATML, marked):
        tokenizer = made(template=template, turn=turn)
        with pytest.raises(ValueError, match="holds '<turn>'"):
            pair_ids(tokenizer, f"a{TURN}b", "So.")
        if turn == "added" or template == marked:
            for reply in (f"a{TURN}b", f"a{EOS}b") if template == marked else (f"a{TURN}b",):
                with pytest.raises(ValueError, match="holds '<"):
                    pair_ids(tokenizer, "Why?", reply)
        else:
            _, said = pair_ids(tokenizer, "Why?", f"a{TURN}{EOS}b")
            assert said.index(T) == len(said) - 1 and 1 not in said, "in text that is split, it is text"


@pytest.mark.parametrize("behind", ["<turn>", "<turn>\n", "\n", ""])
def test_a_reply_is_taught_its_end_where_the_marks_of_a_template_leave_it_out(behind):
    """A model that never learned to end would go on to the longest length."""
    body = "{% generation %}{{ m.content }}{% endgeneration %}" + behind
    inner = "{% if m.role == 'assistant' %}" + body + "{% else %}{{ m.content }}<turn>{% endif %}"
    template = "{% for m in messages %}[{{ m.role }}]" + inner + "{% endfor %}"
    tokenizer = made(template=template + "{% if add_generation_prompt %}[assistant]{% endif %}")
    _, said = pair_ids(tokenizer, "Why?", "So.")
    assert tokenizer.decode(said) == "So." + "<turn>" * ("<turn>" in behind)


@pytest.mark.parametrize("tail", [" ", "\n", "  \n"])
@pytest.mark.parametrize("end", ["{{ eos_token }}", "<turn>"])
def test_blanks_before_an_end_are_learned_as_the_template_writes_them(tail, end):
    """Llama 2's has a space there; without it the model learned an end that its own dialogues never show."""
    tokenizer = made(template=CHATML.replace("{{ m['content'] }}<turn>", "{{ m['content'] }}" + tail + end))
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": ""}]
    for reply in ("So.", "a ", "    return 1\n"):
        chat[1]["content"] = reply
        whole = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
        ids = reply_ids(tokenizer, reply)
        assert whole[len(prompt_ids(tokenizer, "Why?")) :][: len(ids)] == ids and ids[-1] == end_ids(tokenizer)[0]
        assert reply_text(tokenizer, ids) == reply
        cut = reply_ids(tokenizer, reply, ended=False)
        assert reply_text(tokenizer, cut) == reply == tokenizer.decode(cut), "a reply that was cut has no end to space"


@pytest.mark.parametrize(("said", "ends"), [(None, {1, T}), (7, {1, T, 7}), ([7, 9, 1], {1, T, 7, 9})])
@pytest.mark.slow
def test_a_reply_may_end_with_every_end_that_the_model_has(said, ends):
    tokenizer = made(template=CHATML)
    model = actor_of(tokenizer)
    model.generation_config.eos_token_id = said
    assert set(end_ids(tokenizer, model)) == ends and end_ids(tokenizer, model)[0] == T
    with torch.no_grad():  # every token is as likely as any other
        model.get_output_embeddings().weight.zero_()
    models_ = Models(model, None, actor_of(tokenizer), lambda prompt, reply: 0.0)
    config = rlhf.RLHFConfig(batch=64, replies=2, minibatches=1, advantages="group", max_new_tokens=30)
    asked = [("?", prompt_ids(tokenizer, "?"))] * 500
    out = roll_out(models_, tokenizer, asked, config, torch.Generator().manual_seed(0))
    replies = [row[real].tolist() for row, real in zip(out.ids[:, -out.mask.shape[1] :], out.mask)]
    found = {reply[-1] for reply, ended in zip(replies, out.ended) if ended}
    assert found == ends, "of 500 replies each end stops some 50"
    assert [reply[-1] in ends for reply in replies] == out.ended.tolist() and not out.ended.all()
    assert not any(ends & set(reply[:-1]) for reply in replies)
    for reply, ended, said in zip(replies, out.ended, out.texts):
        assert said == tokenizer.decode(reply[: -1 if ended else None], skip_special_tokens=True)


def test_several_ends_are_the_union_of_each():
    responses = torch.tensor([[5, 9, 7, 1], [7, 5, 5, 5], [5, 5, 5, 5]])
    assert response_mask(responses, [9, 7]).sum(-1).tolist() == [2, 1, 4]
    assert torch.equal(response_mask(responses, 7), response_mask(responses, [7]))
    model, mask = without_dropout(build("gpt2")), torch.ones(6, 3, dtype=torch.bool)
    ids, u = torch.arange(18).view(6, 3), torch.rand(6, 12, dtype=torch.float64)
    about = {"max_new_tokens": 12, "pad_id": 0, "uniforms": u, "return_logps": True}
    free, _ = generate(model, ids, mask, eos_id=40, **about)
    ends = [int(free[0, 4]), int(free[1, 6])]
    out, logps = generate(model, ids, mask, eos_id=ends, **about)
    kept = response_mask(free[:, 3:], ends)
    assert torch.equal(out[:, 3:], free[:, 3:].where(kept, 0)) and not logps[~kept].any()
    other, _ = Decoder(prompt=3)(model, ids, mask, eos_id=ends, **about)
    assert torch.equal(other, out)
    for wrong in ([], [1, -1], [1, 2.5], "1", None):
        with pytest.raises(ValueError, match="eos_id"):
            generate(model, ids, mask, eos_id=wrong, **about)


def test_a_reward_model_and_sft_see_the_same_end():
    tokenizer = made(template=CHATML)
    model = actor_of(tokenizer)
    judge, seen = ScalarModel.reward(model), []
    forward = judge.trunk.forward
    judge.trunk.forward = lambda **named: seen.append(named["input_ids"]) or forward(**named)
    reward.score(judge, tokenizer, ["Why?"], ["So."])
    assert seen[0][0].tolist() == prompt_ids(tokenizer, "Why?") + reply_ids(tokenizer, "So.") and seen[0][0, -1] == T


def test_with_lora_a_reply_ends_the_same_way():
    pytest.importorskip("peft")
    from ppo_lesson.hardware.lora import views

    tokenizer = made(template=CHATML)
    model = actor_of(tokenizer)
    model.generation_config.eos_token_id = [7, 1]
    actor, _, _ = views(model, rank=2)
    assert end_ids(tokenizer, actor) == [T, 1, 7]


@pytest.mark.parametrize("said", ["</s>", [1, "</s>"], -1, [1.5]])
def test_an_end_that_is_no_id_is_named_with_its_file(said):
    tokenizer = made()
    model = actor_of(tokenizer)
    model.generation_config.eos_token_id = said
    with pytest.raises(ValueError, match=r"eos_token_id in the model's generation_config.json must be"):
        end_ids(tokenizer, model)


# ---- a template is somebody's program --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 1 + messages[0].content }}", r"fails on one turn of a user \(unsupported operand"),
        ("{{ messages[3].content.strip() }}", "fails on one turn of a user"),
        ("{{ 1 / 0 }}", r"fails on one turn of a user \(division by zero"),
        ("{{ messages[0].content | nosuch }}", r"fails on one turn of a user \(No filter named"),
        ("{{ raise_exception('no') }}", r"fails on one turn of a user \(no\)"),
        ("What can I do for you?", "no place for a turn of the user, as in 'Why"),
        ("{{ messages | length }}", "no place for a turn of the user, as in 'Why"),
    ],
)
def test_one_that_fails_or_forgets_the_prompt_is_refused(template, says):
    with pytest.raises(ValueError, match=says):
        prompt_ids(made(template=template), "Why?")


def test_one_that_writes_prompts_in_a_way_of_its_own_is_followed():
    tokenizer = made(template="{{ messages[0].content | upper | tojson }}")
    assert tokenizer.decode(prompt_ids(tokenizer, "Why?\n")) == '"WHY?\\n"'


# ---- a date ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_template_with_a_date_gives_the_same_prompt_every_day(tmp_path, monkeypatch):
    """And to the second: a run that goes on later must be the same run."""
    folder = shop.make(tmp_path / "shop")
    path = folder / "model" / "chat_template.jinja"
    path.write_text("Today is {{ strftime_now('%A %Y-%m-%d %H:%M:%S') }}." + path.read_text("utf-8"), "utf-8")
    tokenizer = load_tokenizer(folder / "model")
    first = prompt_ids(tokenizer, "Why?")
    assert tokenizer.decode(first).startswith(f"Today is {text.TODAY:%A %Y-%m-%d %H:%M:%S}.")
    monkeypatch.setattr("ppo_lesson.commands.report.plot", lambda *_: [])
    assert (
        shop.rlhf(folder, tmp_path / "run", "--set", "checkpoint_every=2", short=[*shop.SHORT[:-2], "--lr", "0"]) == 0
    )
    time.sleep(1.1)
    assert prompt_ids(load_tokenizer(folder / "model"), "Why?") == first
    assert shop.cli.main(["rlhf", "--output", f"{tmp_path / 'run'}", "--resume"]) == 0


RANDOM = ["{{ ['Hello', 'Hi'] | random }} {{ text }}", "{{ lipsum(1) }}{{ text }}", "{{ text ~ range(9) | random }}"]


@pytest.mark.parametrize("template", RANDOM)
def test_a_template_that_draws_random_numbers_is_refused_even_when_they_come_out_alike(template):
    """One conversation is one text: else a resumed run, or a second look at a held-out prompt, would be another."""
    tokenizer = made(template="{% set text = messages[0].content %}" + template)
    numbers = random.getstate()
    for _ in range(9):
        for look in (prompt_ids, lambda *given: pair_ids(*given, "So.")):
            with pytest.raises(ValueError, match=r"template draws random numbers .* 'Why\?' otherwise"):
                look(tokenizer, "Why?")
    assert random.getstate() == numbers, "and the program's own stay as they were"


def test_a_template_that_draws_in_a_reply_alone_is_refused_where_it_draws():
    begin = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ 'ab' | random }}{% endif %}"
    tokenizer = made(template=begin + "{% endfor %}")
    roles = zip(["user", "assistant", "user"], "abc")
    prompt = Dialogue([{"role": role, "content": said} for role, said in roles])
    prompt_ids(tokenizer, "a")
    with pytest.raises(ValueError, match="draws random numbers"):
        prompt_ids(tokenizer, prompt)


@pytest.mark.parametrize("start", ["\n a", " {% if true %} b{% endif %}", "{%- set x = 1 %}\n\n c", " \n{{ 1 }}"])
def test_what_else_a_template_with_a_date_writes_stays_as_it_is(start):
    tokenizer, turns = made(template=start + "{{ messages[0].content }}"), [{"role": "user", "content": "Why?"}]
    before = tokenizer.apply_chat_template(turns, tokenize=False)
    tokenizer.chat_template += "{{ strftime_now('%d %b %Y, %-d, %F %%') }}"
    written = tokenizer(before + "01 Jan 2025, 1, 2025-01-01 %", add_special_tokens=False)["input_ids"]
    assert prompt_ids(tokenizer, "Why?") == written


@pytest.mark.parametrize(
    "said",
    [
        "{{ strftime_now('%Y-%m-%d') }}",
        "{% set form = '%Y-%m-%d' %}{{ strftime_now(form) }}",
        "{{ strftime_now('%Y' ~ '-%m-%d') }}",
        "{{ strftime_now(format='%Y-%m-%d') }}",
        "{% if not day is defined %}{% set day = strftime_now('%Y-%m-%d') %}{% endif %}{{ day }}",
        "{% macro today() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}{{ today() }}",
        "{% set now = strftime_now %}{{ now('%Y-%m-%d') }}",
    ],
)
def test_a_date_is_the_same_however_the_template_asks_for_it(said):
    tokenizer = made(template="Today is " + said + ". {{ messages[0].content }}")
    assert tokenizer.decode(prompt_ids(tokenizer, "Why?")) == f"Today is {text.TODAY:%Y-%m-%d}. Why?"


# ---- what a text consists of -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", CODE)
@pytest.mark.parametrize("template", [None, CHATML, text.CHAT])
def test_a_reply_comes_back_with_its_indentation_and_newlines(reply, template):
    tokenizer = made(template=template, clean_up_tokenization_spaces=True)
    for prompt in ("def f():\n", "Why?"):
        assert reply_text(tokenizer, reply_ids(tokenizer, reply, prompt=prompt), prompt=prompt) == reply


def test_a_reply_follows_a_plain_prompt_as_the_text_goes_on():
    tokenizer = made()
    for prompt, reply, whole in (
        ("Why?", "So.", "Why? So."),
        ("### Response:\n", "So.", "### Response:\nSo."),
        ("def f():\n", "    return 1\n", "def f():\n    return 1\n"),
        ("x =", "\n", "x =\n"),
    ):
        ids = prompt_ids(tokenizer, prompt) + reply_ids(tokenizer, reply, prompt=prompt)
        assert tokenizer.decode(ids) == whole + EOS


INST = (  # Llama 2's, with a space before a reply that the prompt does not end in
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
ENDED = CHATML.replace("{{ bos_token }}", "").replace("<turn>", "{{ eos_token }}")


@pytest.mark.parametrize("how", ["prepend", "always", "first"])
@pytest.mark.parametrize("template", [None, INST, ENDED])
def test_a_tokenizer_that_puts_a_space_before_every_text_adds_none_inside_and_takes_none(how, template):
    tokenizer = sentence_piece(how, template)
    for prompt, reply in (("Why?", "So."), ("### Response:\n", "So."), ("def f():\n", "    return 1\n"), ("a", "  b")):
        ids = reply_ids(tokenizer, reply, prompt=prompt)
        assert reply_text(tokenizer, ids, prompt=prompt) == reply
        ours = prompt_ids(tokenizer, prompt) + ids
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
        gap = " " if prompt == "Why?" else ""
        text = tokenizer.apply_chat_template(chat, tokenize=False) if template else prompt + gap + reply + EOS
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert whole[: len(ours)] == ours, "as the whole text is read"


def spaced_bytes(template=None):
    """As GPT-2's with add_prefix_space: a space before every text of its own, which it writes, too."""
    tokenizer = made(template=template)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def stripping(template=None):
    """It reads no space into a text, and yet takes one off what it writes."""
    return sentence_piece("never", template)


@pytest.mark.parametrize("kind", [spaced_bytes, stripping])
@pytest.mark.parametrize("template", [None, ENDED])
@pytest.mark.parametrize("reply", ["So.", "  b", "    return 1\n", "\n\nx"])
def test_nor_does_one_that_reads_and_writes_spaces_in_different_ways(kind, template, reply):
    tokenizer = kind(template)
    for prompt in ("Why?", "### Response:\n"):
        ids = reply_ids(tokenizer, reply, prompt=prompt)
        assert reply_text(tokenizer, ids, prompt=prompt) == reply
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
        gap = " " * (prompt == "Why?" and reply == "So.")
        whole = tokenizer.apply_chat_template(chat, tokenize=False) if template else prompt + gap + reply + EOS
        written = tokenizer.decode([*prompt_ids(tokenizer, prompt), *ids], clean_up_tokenization_spaces=False)
        read = tokenizer.decode(tokenizer(whole, add_special_tokens=False)["input_ids"])
        assert read.startswith(written) and written.endswith(f"{reply}{EOS}")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_reply_that_begins_with_an_accent_comes_back_however_it_is_written(form):
    tokenizer = made()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    reply = unicodedata.normalize(form, "été")
    ids = reply_ids(tokenizer, reply, prompt="Why?")
    assert reply_text(tokenizer, ids, prompt="Why?") == unicodedata.normalize("NFC", reply)


@pytest.mark.parametrize("template", [None, CHATML])
def test_words_of_a_template_stay_whole_in_a_tokenizer_that_splits_them_in_texts(template):
    """split_special_tokens, which LLaMA-Factory may write into tokenizer_config.json: <turn> was learned in letters."""
    whole, split = made(template=template), made(template=template, split_special_tokens=True)
    assert end_ids(split) == end_ids(whole) and pair_ids(split, "Why?", "So.") == pair_ids(whole, "Why?", "So.")


def test_a_tokenizer_cuts_no_word_at_random(tmp_path):
    """BPE-dropout: one text had other ids, another length and another score each time."""
    inner = Tokenizer(models.BPE(dropout=0.5))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=[EOS], show_progress=False)
    inner.train_from_iterator(["the cat sat on the mat"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len({tuple(prompt_ids(tokenizer, "the cat sat on the mat")) for _ in range(50)}) == 1


@pytest.mark.parametrize("template", [None, CHATML])
def test_a_reward_function_gets_the_reply_as_it_was_sampled(template):
    tokenizer, got = made(template=template), []
    model = actor_of(tokenizer)
    models_ = Models(model, None, actor_of(tokenizer), lambda prompt, reply: got.append((prompt, reply)) or 0.0)
    config = rlhf.RLHFConfig(batch=64, replies=2, minibatches=1, advantages="group", max_new_tokens=6)
    prompts = ["def f():\n", "Why?"] * 100
    asked = [(prompt, prompt_ids(tokenizer, prompt)) for prompt in prompts]
    out = roll_out(models_, tokenizer, asked, config, torch.Generator().manual_seed(0))
    assert [prompt for prompt, _ in got] == prompts and [reply for _, reply in got] == out.texts
    blank = 0
    for i, (prompt, reply) in enumerate(got):
        ids = out.ids[i, -out.mask.shape[1] :][out.mask[i]].tolist()
        ids = ids[: -1 if out.ended[i] else None]
        sampled = tokenizer.decode(ids, skip_special_tokens=True)
        spaced = template is None and prompt == "Why?" and sampled[:1] == " " and "!" <= sampled[1:2] <= "~"
        assert reply == sampled[spaced:]
        blank += reply != reply.strip()
    assert blank, "this test needs replies that begin or end in blanks"
