"""Pretraining, SFT and the reward model: what they minimise, what they leave alone, and how an interrupted run ends."""

import copy
import math
import random
from itertools import pairwise

import pytest
import torch
from tiny_language import KINDS, build

from course.desk import tiny as tiny_desk
from course.desk import world
from course.desk.gold import rank
from course.desk.measure import calibration
from course.desk.tiny import pretrain, tiny_llama, train_tokenizer
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.profile import Profile, checkpoint_gradients, choose
from ppo_lesson.language import reward, supervised
from ppo_lesson.language.data import Pair, Ranking
from ppo_lesson.language.models import ScalarModel, without_dropout
from ppo_lesson.language.optim import schedule
from ppo_lesson.language.reward import (
    accuracy,
    bradley_terry_loss,
    last_token_scores,
    normalize,
    pairs_from_ranking,
    score,
    score_rankings,
    train_reward,
)
from ppo_lesson.language.sampling import positions
from ppo_lesson.language.supervised import SupervisedConfig, rows_of
from ppo_lesson.language.text import prompt_ids, reply_ids

FAST = SupervisedConfig(steps=5, batch=4, warmup=2, lr=3e-3, checkpoint_every=2)


def desk(count, seed=0):
    rng = random.Random(seed)
    cases = [world.draw_case(rng) for _ in range(count)]
    return [Pair(world.prompt(case, rng), world.demonstration(case, rng)) for case in cases]


PAIRS = desk(12)
DOCUMENTS = [world.document(random.Random(i)) for i in range(40)]
RANKINGS = [
    Ranking(p.prompt, (p.reply, q.reply, "No.")[: 2 + i % 2]) for i, (p, q) in enumerate(zip(PAIRS, desk(12, 1)))
]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [text for pair in desk(300, 2) for text in (pair.prompt, f" {pair.reply}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_desk, "OFTEN", 300)  # texts as few as these are trained on in a tenth of the time
        return train_tokenizer([*DOCUMENTS, *texts], vocab_size=700)


def tiny(seed=0):
    return tiny_llama(700, width=16, layers=1, heads=2, seed=seed)


def scalar(seed=0):
    return ScalarModel.reward(tiny(seed), seed=seed)


TRAINERS = {  # what: (a new model by its seed, a run of it)
    "pretrain": (
        tiny,
        lambda model, tokenizer, config, **more: pretrain(
            model, tokenizer, DOCUMENTS, config, **{"seed": 3, "width": 24} | more
        ),
    ),
    "sft": (
        tiny,
        lambda model, tokenizer, config, **more: supervised.sft(model, tokenizer, PAIRS, config, **{"seed": 3} | more),
    ),
    "reward": (
        scalar,
        lambda model, tokenizer, config, **more: train_reward(model, tokenizer, RANKINGS, config, **{"seed": 3} | more),
    ),
}
each_trainer = pytest.mark.parametrize("what", TRAINERS)


def start(what, tokenizer, config=FAST, *, begin=0, **more):
    make, run = TRAINERS[what]
    model = make(begin)
    return run(model, tokenizer, config, **more), model


def numbers(model):
    return [x.detach().clone() for x in model.state_dict().values()]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def changed(config, **changes):
    return SupervisedConfig(**vars(config) | changes)


# ---- all three -------------------------------------------------------------------------------------------------------


@each_trainer
@pytest.mark.parametrize("how", [{"micro_batch": 1}, {"micro_batch": 2}, {"micro_tokens": 60}], ids=str)
def test_micro_batches_make_the_gradient_of_one_batch(what, how, tokenizer):
    """The mean over each micro-batch, averaged, would be another one: replies differ in length, rankings in pairs."""
    first, rows = [], []
    for changes in ({}, how):
        taken = []

        class Watched(Hardware):
            def fresh(self):
                return self

            def backward(self, loss, taken=taken):
                taken.append(loss.item())
                super().backward(loss)

            def clip(self, optimizers, max_norm, first=first):
                first.append(
                    torch.cat([p.grad.flatten() for g in optimizers["model"].param_groups for p in g["params"]])
                )
                return super().clip(optimizers, max_norm)

        profile = Profile(micro_tokens=changes.get("micro_tokens"))
        config = changed(FAST, batch=7, micro_batch=changes.get("micro_batch"), checkpoint_every=None)
        run, _ = start(what, tokenizer, config, hardware=Watched(profile))
        rows.append(next(run))
        parts = len(taken)
    assert parts == {1: 7, 2: 4}.get(how.get("micro_batch"), parts) and parts > 1
    whole, pieces = first
    terms = max(row["tokens"] for row in rows)  # as many as a sum has at most; 2 ** -24: a float32 rounds by so much
    assert (pieces - whole).abs().max() <= terms * 2**-24 * whole.abs().max()
    assert rows[0] == pytest.approx(rows[1], rel=terms * 2**-24) and rows[0]["tokens"] == rows[1]["tokens"]


@each_trainer
def test_the_loss_falls(what, tokenizer):
    config = SupervisedConfig(steps=40, batch=12, warmup=5, lr=1e-2)
    run, _ = start(what, tokenizer, config)
    rows = list(run)
    assert [row["step"] for row in rows] == list(range(40))
    assert {"step", "loss", "lr", "grad_norm", "tokens"} <= set(rows[0])
    chance = math.log(2) if what == "reward" else math.log(700)
    assert rows[0]["loss"] == pytest.approx(chance, rel=0.2), "a random model knows nothing"
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert max(row["lr"] for row in rows) == 1e-2 and rows[-1]["lr"] < 1e-4
    assert what != "reward" or rows[-1]["accuracy"] > 0.9


@each_trainer
def test_the_same_seed_gives_the_same_run(what, tokenizer):
    (a, model_a), (b, model_b), (c, model_c) = (start(what, tokenizer, seed=s) for s in (3, 3, 4))
    before = torch.get_rng_state()
    assert list(a) == list(b) != list(c)
    assert same(numbers(model_a), numbers(model_b)) and not same(numbers(model_a), numbers(model_c))
    assert torch.equal(before, torch.get_rng_state()), "the program's own random numbers are left alone"


@each_trainer
def test_a_run_interrupted_anywhere_ends_like_one_that_was_not(what, tokenizer, tmp_path):
    whole, model = start(what, tokenizer)
    rows, end = list(whole), numbers(model)
    for stop in range(1, 6):
        path = tmp_path / f"{stop}"
        first, _ = start(what, tokenizer, resume=path)
        assert [next(first) for _ in range(stop)] == rows[:stop]
        first.close()
        assert path.exists() == (stop > 2), "a checkpoint is written when the next step begins"
        torch.rand(stop)
        resumed, model = start(what, tokenizer, resume=path, begin=9 if path.exists() else 0)
        assert list(resumed) == rows and same(numbers(model), end)
    again, model = start(what, tokenizer, resume=tmp_path / "5", begin=9)
    assert list(again) == rows and same(numbers(model), end), "a finished run is only read"


@each_trainer
def test_ctrl_c_saves_after_every_step(what, tokenizer, tmp_path):
    whole, model = start(what, tokenizer)
    rows, end = list(whole), numbers(model)
    for stop in (1, 3):
        path = tmp_path / f"{stop}"
        first, _ = start(what, tokenizer, resume=path)
        assert [next(first) for _ in range(stop)] == rows[:stop]
        with pytest.raises(KeyboardInterrupt) as caught:
            first.throw(KeyboardInterrupt)
        assert f"holds the run up to iteration {stop}" in caught.value.__notes__[0]
        resumed, model = start(what, tokenizer, resume=path, begin=9)
        assert list(resumed) == rows and same(numbers(model), end)


@each_trainer
def test_a_row_may_be_changed_by_who_receives_it(what, tokenizer, tmp_path):
    run, _ = start(what, tokenizer, resume=tmp_path / "run")
    for row in run:
        row["loss"] = "mine"
    again, _ = start(what, tokenizer, resume=tmp_path / "run")
    assert all(isinstance(row["loss"], float) for row in again)


@each_trainer
def test_a_checkpoint_of_another_run_is_refused(what, tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "run"
    list(start(what, tokenizer, resume=path)[0])
    before = path.read_bytes()
    for more, says in (
        ({"seed": 4}, "seed was 3, is now 4"),
        ({"config": changed(FAST, lr=1e-3)}, "lr was 0.003, is now 0.001"),
        ({"config": changed(FAST, batch=5)}, "batch was 4, is now 5"),
    ):
        with pytest.raises(ValueError, match=says):
            next(start(what, tokenizer, resume=path, **more)[0])
    for name, other in (("DOCUMENTS", DOCUMENTS[::-1]), ("PAIRS", PAIRS[::-1]), ("RANKINGS", RANKINGS[::-1])):
        monkeypatch.setitem(globals(), name, other)
    with pytest.raises(ValueError, match=r"examples was .* with checksum .*, is now"):
        next(start(what, tokenizer, resume=path)[0])
    monkeypatch.undo()
    monkeypatch.setitem(
        TRAINERS, what, (lambda s: build("llama", vocab_size=700, max_position_embeddings=256), TRAINERS[what][1])
    )
    if what != "reward":
        with pytest.raises(ValueError, match=r"resume: .* holds another run"):
            next(start(what, tokenizer, resume=path)[0])
    assert path.read_bytes() == before, "what was refused is left alone"


@each_trainer
def test_a_loss_that_is_no_number_stops_with_a_diagnosis(what, tokenizer, tmp_path):
    run, model = start(what, tokenizer, resume=tmp_path / "run")
    for _ in range(3):
        next(run)
    with torch.no_grad():
        next(model.parameters()).mul_(math.nan)
    with pytest.raises(
        FloatingPointError, match=r"step 3: loss is nan. Lower lr=0.003, .*holds the run up to"
    ) as caught:
        next(run)
    assert str(tmp_path) in str(caught.value)
    run, _ = start(what, tokenizer, resume=tmp_path / "run", begin=9)
    assert all(math.isfinite(row["loss"]) for row in run), "and what was saved goes on"


@pytest.mark.parametrize(
    ("profile", "step"), [(Profile(), 0), (choose("cpu", half=torch.float16, loss_scaling=True), 16)]
)
def test_a_gradient_that_is_no_number_never_reaches_the_model(profile, step):
    """At no scale of the loss either, which begins at 2^16 and is halved."""
    model = torch.nn.Linear(2, 1)
    before = numbers(model)

    def batch_loss(index, count):
        x = model(torch.ones(1, 2)).sum()
        return torch.where(torch.tensor(True), x * 0, torch.sqrt(x * 0 - 0.0)), {}  # 0, with gradient NaN

    with pytest.raises(FloatingPointError, match=f"step {step}: grad_norm is nan"):
        list(
            supervised.train_steps(
                model, batch_loss, [1, 2], [(1, 1)] * 2, SupervisedConfig(steps=30, batch=1), 0, None, Hardware(profile)
            )
        )
    assert same(numbers(model), before)


@each_trainer
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": 2.5}, "batch must be a whole number"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be a number in"),
        ({"max_grad_norm": -1}, "max_grad_norm must be"),
        ({"weight_decay": -1}, "weight_decay must be"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(what, tokenizer, changes, says):
    with pytest.raises(ValueError, match=says):
        next(start(what, tokenizer, changed(FAST, **changes))[0])


def test_what_does_not_fit_together_is_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="batch=13 is more than the 12 examples"):
        next(start("sft", tokenizer, changed(FAST, batch=13))[0])
    with pytest.raises(ValueError, match="too few for 900 rows of 24; give more"):
        next(start("pretrain", tokenizer, changed(FAST, batch=900))[0])
    with pytest.raises(ValueError, match="resume needs checkpoint_every"):
        next(start("sft", tokenizer, changed(FAST, checkpoint_every=None), resume=tmp_path / "x")[0])
    with pytest.raises(ValueError, match="seed must be"):
        next(start("sft", tokenizer, seed=-1)[0])
    with pytest.raises(ValueError, match="width must be at least 2"):
        next(start("pretrain", tokenizer, width=1)[0])


def test_the_learning_rate_rises_then_falls():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)]) and rates[10] == 1
    assert all(a > b for a, b in pairwise(rates[10:])) and 0 < rates[-1] < 0.001
    assert rates[55] == pytest.approx(0.5) and schedule(0, 5, 0) == 1 and schedule(2, 3, 20) == 0.15


def test_every_pass_visits_each_example_once_in_its_own_order():
    passes = [
        torch.cat([supervised._shuffled(12, 4, step, 5) for step in range(p * 3, p * 3 + 3)]).tolist() for p in range(3)
    ]
    assert all(sorted(order) == list(range(12)) for order in passes) and len({str(order) for order in passes}) == 3
    assert sorted(torch.cat([supervised._shuffled(13, 4, step, 5) for step in range(3)]).tolist()) != list(range(12))


# ---- which tokens count ----------------------------------------------------------------------------------------------


def first_gradients(model, rows):
    """The loss and the gradients of the first step, before the optimizer uses them."""
    caught = []
    torch.optim.AdamW.step, step = (
        lambda self, *_: caught.extend(p.grad.clone() for p in model.parameters()),
        (torch.optim.AdamW.step),
    )
    try:
        row = next(rows)
    finally:
        torch.optim.AdamW.step = step
    return row, caught


def by_hand(model, texts):
    """Mean of -log p over the reply tokens of (prompt, reply) ids, one text at a time, no padding."""
    terms = []
    for prompt, reply in texts:
        ids = torch.tensor([*prompt, *reply])[None]
        logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        terms += [-logp[t - 1, ids[0, t]] for t in range(len(prompt), ids.shape[1])]
    return torch.stack(terms).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_sft_counts_the_reply_with_its_end_and_nothing_else(kind, tokenizer):
    model = without_dropout(build(kind, vocab_size=700, max_position_embeddings=256))
    config = SupervisedConfig(steps=1, batch=12, max_grad_norm=1e9)
    row, gradients = first_gradients(model, supervised.sft(model, tokenizer, PAIRS, config, seed=0))
    texts = [(prompt_ids(tokenizer, p.prompt), reply_ids(tokenizer, p.reply)) for p in PAIRS]
    assert all(reply[-1] == tokenizer.eos_token_id for _, reply in texts)
    model.zero_grad()
    loss = by_hand(model, texts)
    loss.backward()
    assert row["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert row["tokens"] == sum(len(reply) for _, reply in texts)
    for ours, p in zip(gradients, model.parameters()):
        torch.testing.assert_close(ours, p.grad, atol=2e-5, rtol=1e-3)


def test_prompt_tokens_and_padding_get_no_gradient(tokenizer):
    """The head's row of a token that no reply holds gets the gradient of a wrong answer, never that of a right one."""
    model = tiny_llama(700, width=16, layers=1, heads=2)
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(torch.nn.Linear(16, 700))  # a bias shows whether a token was ever the right answer
    config = SupervisedConfig(steps=1, batch=12, max_grad_norm=1e9)
    _, gradients = first_gradients(model, supervised.sft(model, tokenizer, PAIRS, config, seed=0))
    names = [name for name, _ in model.named_parameters()]
    bias = gradients[names.index("lm_head.bias")]
    replies = {i for p in PAIRS for i in reply_ids(tokenizer, p.reply)}
    prompts = {i for p in PAIRS for i in prompt_ids(tokenizer, p.prompt)}
    assert prompts - replies and tokenizer.pad_token_id not in replies, "this test needs tokens of prompts alone"
    assert all(bias[i] > 0 for i in range(700) if i not in replies), "only a right answer pushes its token up"
    assert bias[tokenizer.eos_token_id] < 0 and bias[tokenizer.pad_token_id] > 0


def test_pretraining_counts_every_token_and_keeps_the_ends(tokenizer):
    model = tiny()
    config = SupervisedConfig(steps=1, batch=1)
    row = next(pretrain(model, tokenizer, DOCUMENTS, config, seed=0, width=50))
    assert row["tokens"] == 49
    spied = []

    def remember(model, batch_loss, examples, sizes, *_):
        assert sizes == [(23, 24)] * len(examples)
        spied.extend(examples)
        yield {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_desk, "train_steps", remember)
        list(pretrain(model, tokenizer, DOCUMENTS, config, seed=0, width=24))
    flat = [i for row in spied for i in row]
    stream = [i for d in DOCUMENTS for i in reply_ids(tokenizer, d)]
    assert flat == stream[: len(flat)] and len(stream) - len(flat) < 24
    assert flat.count(tokenizer.eos_token_id) in (39, 40)


def test_rows_begin_their_replies_in_one_column():
    ids, mask, reply = rows_of([[5], [6, 7, 8]], [[9, 1], [1]], pad_id=1)
    assert ids.tolist() == [[1, 1, 5, 9, 1], [6, 7, 8, 1, 1]]
    assert mask.int().tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]] and reply.int().tolist() == [[1, 1], [1, 0]]


def test_a_frozen_trunk_stays_as_it_is(tokenizer):
    model = scalar()
    model.trunk.requires_grad_(False)
    trunk, head = numbers(model.trunk), model.head.weight.detach().clone()
    list(train_reward(model, tokenizer, RANKINGS, FAST, seed=0))
    assert same(numbers(model.trunk), trunk) and not torch.equal(head, model.head.weight)


# ---- Bradley and Terry -----------------------------------------------------------------------------------------------


def test_bradley_terry_golden_values():
    loss = bradley_terry_loss(torch.tensor([1.0, 0.0, -200.0, 200.0]), torch.zeros(4))
    assert loss.tolist() == pytest.approx([0.313262, math.log(2), 200.0, 0.0], abs=1e-6)
    assert (-loss[0]).exp().item() == pytest.approx(0.731059, abs=1e-6)
    assert torch.equal(bradley_terry_loss(torch.tensor([6.0]), torch.tensor([5.0])), loss[:1]), "only the difference"
    x = torch.tensor([0.0, 1000.0, -1000.0], requires_grad=True)
    bradley_terry_loss(x, torch.zeros(3)).sum().backward()
    assert x.grad.tolist() == pytest.approx([-0.5, 0.0, -1.0])
    with pytest.raises(ValueError, match="one shape"):
        bradley_terry_loss(torch.zeros(3), torch.zeros(3, 1))


def test_pairs_of_a_ranking():
    assert pairs_from_ranking([1, 3, 0, 2]) == [(1, 3), (1, 0), (1, 2), (3, 0), (3, 2), (0, 2)]
    assert pairs_from_ranking("BDAC") == [("B", "D"), ("B", "A"), ("B", "C"), ("D", "A"), ("D", "C"), ("A", "C")]
    assert all(len(pairs_from_ranking(range(k))) == k * (k - 1) // 2 for k in range(1, 8))
    with pytest.raises(ValueError, match=r"something twice: \[1, 0, 1\]"):
        pairs_from_ranking([1, 0, 1])


def test_latent_scores_come_back_from_rankings_up_to_a_constant():
    truth, rng = torch.tensor([1.5, 0.0, -1.0, 0.5]), random.Random(0)
    scores = torch.zeros(4, requires_grad=True)
    better, worse = torch.tensor(
        [pair for _ in range(10_000) for pair in pairs_from_ranking(rank(truth.tolist(), rng, noise=1, careless=0))]
    ).T
    optimizer = torch.optim.LBFGS([scores], max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = bradley_terry_loss(scores[better], scores[worse]).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = scores.detach() - scores.detach().mean()
    assert (found - (truth - truth.mean())).abs().max() < 0.06


def test_the_loss_of_a_batch_is_the_mean_over_prompts_of_the_mean_over_pairs(tokenizer):
    model = scalar()
    model.head.weight.data.mul_(20)
    ours = next(train_reward(model, tokenizer, RANKINGS, SupervisedConfig(steps=1, batch=12), seed=0))
    model = scalar()
    model.head.weight.data.mul_(20)
    losses, right = [], []
    for r in RANKINGS:
        s = torch.cat([score(model, tokenizer, [r.prompt], [text]) for text in r.replies])
        pairs = [(a, b) for a in range(len(s)) for b in range(a + 1, len(s))]
        losses.append(sum(math.log1p(math.exp(s[b] - s[a])) for a, b in pairs) / len(pairs))
        right.append(sum(bool(s[a] > s[b]) for a, b in pairs) / len(pairs))
    assert ours["loss"] == pytest.approx(sum(losses) / 12, abs=1e-5)
    assert ours["accuracy"] == pytest.approx(sum(right) / 12, abs=1e-6)
    ids = [prompt_ids(tokenizer, r.prompt) + reply_ids(tokenizer, x) for r in RANKINGS for x in r.replies]
    assert ours["tokens"] == sum(map(len, ids))


def test_a_pair_of_a_reply_and_its_copy_teaches_nothing_and_counts_as_one_of_the_pairs(tokenizer):
    """x, x, y: log 2 whatever the weights are, twice the pair (x, y), and so two thirds of its gradient."""
    prompt, (x, y), once = PAIRS[0].prompt, ("Try another.", "No."), SupervisedConfig(steps=1, batch=1)

    def first(*replies):
        return next(train_reward(scalar(), tokenizer, [Ranking(prompt, replies)], once, seed=0))

    one, three = first(x, y), first(x, x, y)
    near = 64 * torch.finfo(torch.float32).eps  # a mean over three rows of some 10 tokens
    assert three["loss"] == pytest.approx((math.log(2) + 2 * one["loss"]) / 3, rel=near)
    assert three["grad_norm"] == pytest.approx(2 / 3 * one["grad_norm"], rel=100 * near)
    assert three["accuracy"] == pytest.approx((0.5 + 2 * one["accuracy"]) / 3, rel=near)


# ---- where a score is read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_trap_5_a_score_does_not_know_its_padding_or_its_neighbours(kind):
    model = ScalarModel.reward(build(kind))
    rows = [torch.randint(2, 40, (n,), generator=torch.Generator().manual_seed(n)) for n in (5, 9, 2)]
    with torch.no_grad():
        alone = torch.stack([last_token_scores(model, row[None], torch.ones(1, len(row)).bool())[0] for row in rows])
        for pad in (0, 1):
            for width in (9, 20):
                for left in (True, False):
                    ids, mask = torch.full((3, width), pad), torch.zeros(3, width, dtype=torch.bool)
                    for i, row in enumerate(rows):
                        place = slice(width - len(row), width) if left else slice(0, len(row))
                        ids[i, place], mask[i, place] = row, True
                    torch.testing.assert_close(last_token_scores(model, ids, mask), alone, atol=1e-5, rtol=0)
        ids, mask = torch.full((1, 9), 5), torch.tensor([[0, 0, 1, 1, 1, 0, 0, 0, 0]]).bool()
        per_token = model(ids, mask, positions(mask))
        assert last_token_scores(model, ids, mask) == per_token[0, 4]
    assert alone.std() > 0
    with pytest.raises(ValueError, match="a row has no real token"):
        last_token_scores(model, ids, mask & False)


def test_trap_24_a_cut_reply_is_read_without_an_end_in_training_and_in_scoring(tokenizer, monkeypatch):
    """An EOS forced onto a cut reply would be learned from, though its writer never chose it."""
    seen, real = [], reward._score_ids
    monkeypatch.setattr(reward, "_score_ids", lambda m, t, texts, *rows: seen.extend(texts) or real(m, t, texts, *rows))
    ranking = Ranking(PAIRS[0].prompt, ("Hello! You can", "No.", "Please"), cut=(0, 2))
    prompt, end = prompt_ids(tokenizer, ranking.prompt), [tokenizer.eos_token_id]
    whole = [reply_ids(tokenizer, text) for text in ranking.replies]
    said = [(prompt, whole[0][:-1]), (prompt, whole[1]), (prompt, whole[2][:-1])]
    assert whole[0][-1:] == end and end[0] not in said[0][1]
    next(train_reward(scalar(), tokenizer, [ranking], SupervisedConfig(steps=1, batch=1), seed=0))
    assert seen == said
    for ask in (
        lambda m: score_rankings(m, tokenizer, [ranking])[0],
        lambda m: accuracy(m, tokenizer, [ranking]),
        lambda m: normalize(m, tokenizer, [ranking]),
    ):
        seen.clear()
        ask(scalar())
        assert sorted(seen) == sorted(said)
    model = scalar()
    with torch.no_grad():
        by_hand = [reward._score_ids(model, tokenizer, [text])[0].item() for text in said]
    assert score_rankings(model, tokenizer, [ranking])[0].tolist() == pytest.approx(by_hand, abs=1e-5)
    ended = score(model, tokenizer, [ranking.prompt] * 3, ranking.replies)
    assert ended[1].item() == pytest.approx(by_hand[1], abs=1e-5) and abs(ended[0].item() - by_hand[0]) > 1e-4
    with pytest.raises(ValueError, match="3 replies, 2 of `ended`"):
        score(model, tokenizer, [ranking.prompt] * 3, ranking.replies, [True, False])


def test_scores_do_not_depend_on_how_many_are_asked_at_once(tokenizer):
    model = scalar()
    prompts, replies = [p.prompt for p in PAIRS], [p.reply for p in PAIRS]
    together = score(model, tokenizer, prompts, replies)
    assert together.shape == (12,) and not together.requires_grad
    torch.testing.assert_close(score(model, tokenizer, prompts, replies, rows=5), together, atol=1e-6, rtol=0)
    for prompts, replies in ((["a", "b"], ["c"]), ([], [])):
        with pytest.raises(ValueError, match="one prompt for each reply"):
            score(model, tokenizer, prompts, replies)


def test_normalized_scores_have_mean_0_and_standard_deviation_1(tokenizer):
    model = scalar()
    raw = torch.cat(score_rankings(model, tokenizer, RANKINGS))
    for _ in range(2):  # again changes nothing
        normalize(model, tokenizer, RANKINGS)
        scores = torch.cat(score_rankings(model, tokenizer, RANKINGS))
        assert scores.mean().item() == pytest.approx(0, abs=1e-5) and scores.std().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(scores, (raw - raw.mean()) / raw.std(), atol=1e-4, rtol=0)
    mean = model.mean.clone()
    with pytest.raises(ValueError, match=r"replies have standard deviation (0|.*e-\d+): they must differ"):
        normalize(model, tokenizer, [Ranking("?", ("No.", "No."))] * 3)
    assert torch.equal(model.mean, mean), "and an error changes nothing"


def test_accuracy_counts_pairs_and_halves_ties(tokenizer, monkeypatch):
    worth = {"good": 2.0, "fair": 1.0, "bad": 0.0}
    monkeypatch.setattr(reward, "score", lambda m, t, p, replies, ended: torch.tensor([worth[r] for r in replies]))
    for replies, share in (
        (("good", "fair", "bad"), 1.0),
        (("bad", "fair", "good"), 0.0),
        (("good", "bad", "fair"), 2 / 3),
        (("fair", "fair"), 0.5),
        (("good", "good", "bad"), 5 / 6),
    ):
        assert accuracy(None, tokenizer, [Ranking("?", replies)]) == pytest.approx(share)
    both = [Ranking("?", ("good", "fair", "bad")), Ranking("?", ("bad", "good"))]
    assert accuracy(None, tokenizer, both) == pytest.approx(3 / 4), "every pair counts alike"


def test_calibration_of_choices_that_follow_the_model_lies_on_the_diagonal():
    torch.manual_seed(0)
    margins = torch.randn(40_000) * 2
    preferred = torch.rand(40_000) < torch.sigmoid(margins)
    bins = calibration(margins, preferred)
    assert len(bins) == 10 and sum(n for *_, n in bins) == 40_000
    assert all(
        abs(p - share) < 4 * (0.25 / n) ** 0.5 and i / 10 <= p <= (i + 1) / 10 for i, (p, share, n) in enumerate(bins)
    )
    bold = calibration(3 * margins, preferred)
    assert bold[-1][0] - bold[-1][1] > 0.05 and bold[0][1] - bold[0][0] > 0.05, "too sure of itself"
    assert calibration(torch.tensor([1000.0, -1000.0]), torch.tensor([True, False])) == [(0.0, 0.0, 1), (1.0, 1.0, 1)]
    with pytest.raises(ValueError, match="one shape"):
        calibration(margins, preferred[1:])
    with pytest.raises(ValueError, match="bins must be at least 1"):
        calibration(margins, preferred, bins=0)


# ---- profiles --------------------------------------------------------------------------------------------------------

BF16 = choose("cpu", half=torch.bfloat16)
FP16 = choose("cpu", half=torch.float16, loss_scaling=True)
each_half = pytest.mark.parametrize("profile", [BF16, FP16], ids=["bfloat16", "float16"])


@pytest.mark.slow
@each_trainer
@each_half
def test_half_precision_learns_what_float32_learns(what, profile, tokenizer):
    config, ends, seen = SupervisedConfig(steps=40, batch=12, warmup=5, lr=1e-2), [], set()
    for how in (Profile(), profile):
        run, model = start(what, tokenizer, config, hardware=Hardware(how))
        layer = (model.trunk if what == "reward" else model.model).layers[0].mlp.up_proj
        layer.register_forward_hook(lambda module, x, out: seen.add(out.dtype))
        rows = list(run)
        ends.append(sum(row["loss"] for row in rows[-5:]) / 5)
        assert ("skipped" in rows[0]) == how.loss_scaling and sum(row.get("skipped", 0) for row in rows) <= 2
    assert seen == {torch.float32, profile.half}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    # each product is rounded by at most 2^-9; what that does to a loss is far below what 40 steps change
    assert abs(ends[1] - ends[0]) < 0.05 * (rows[0]["loss"] - ends[0])


@each_half
def test_a_score_is_not_rounded_to_half_precision(profile, tokenizer):
    """bfloat16 has no number between 1 and 1.0078: replies that differ would tie, and a critic could not tell them."""
    model = scalar()
    model.head.weight.data.mul_(20)
    with profile.autocast():
        scores = torch.cat(score_rankings(model, tokenizer, RANKINGS))
    assert scores.dtype == torch.float32 and not torch.equal(scores, scores.to(profile.half).float())
    exact = torch.cat(score_rankings(model, tokenizer, RANKINGS))
    assert not torch.equal(scores, exact) and (scores - exact).abs().max() < 0.05 * exact.std()


def too_high():
    """A loss scaler that begins where gradients overflow: two steps are left out until they do not."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**126, backoff_factor=2.0**-60)


@each_trainer
def test_a_step_that_float16_cannot_hold_is_left_out(what, tokenizer, monkeypatch):
    monkeypatch.setattr(type(FP16), "scaler", lambda self: too_high())
    run, model = start(what, tokenizer, hardware=Hardware(FP16))
    before, rows = numbers(model), []
    for row in run:
        rows.append(row)
        assert same(before, numbers(model)) == (len(rows) <= 2)
    assert [row["skipped"] for row in rows] == [1, 1, 0, 0, 0]
    assert ["grad_norm" in row for row in rows] == [False, False, True, True, True]
    assert all(math.isfinite(x) for row in rows for x in row.values())


@each_trainer
def test_a_float16_loss_that_is_no_number_is_not_taken_for_one_that_was_scaled_too_much(what, tokenizer):
    run, model = start(what, tokenizer, hardware=Hardware(FP16))
    with torch.no_grad():
        next(model.parameters()).mul_(math.nan)
    with pytest.raises(FloatingPointError, match=r"step 0: loss is nan"):
        next(run)


@each_trainer
def test_an_interrupted_run_in_half_precision_goes_on_with_its_scale(what, tokenizer, tmp_path, monkeypatch):
    """A scale that began anew would leave two more steps out."""
    monkeypatch.setattr(type(FP16), "scaler", lambda self: too_high())
    whole, model = start(what, tokenizer, hardware=Hardware(FP16))
    rows, end = list(whole), numbers(model)
    for stop in (3, 5):
        first, _ = start(what, tokenizer, hardware=Hardware(FP16), resume=tmp_path / f"{stop}")
        assert [next(first) for _ in range(stop)] == rows[:stop]
        first.close()
        resumed, model = start(what, tokenizer, hardware=Hardware(FP16), resume=tmp_path / f"{stop}", begin=9)
        assert list(resumed) == rows and same(numbers(model), end)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"holds another run: scaler.growth was .* is now absent"):
        next(start(what, tokenizer, hardware=Hardware(BF16), resume=tmp_path / "5")[0])


@each_trainer
def test_activations_are_computed_twice_where_the_profile_says_so(what, tokenizer):
    config, calls, ends = SupervisedConfig(steps=3, batch=4), [], []
    for again in (False, True):
        run, model = start(what, tokenizer, config, hardware=Hardware(choose("cpu", gradient_checkpointing=again)))
        if again:
            checkpoint_gradients(model.trunk if what == "reward" else model)
        layer = (model.trunk if what == "reward" else model.model).layers[0].mlp.act_fn
        counted = []
        layer.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        assert not [row for row in run if model.training], "between two steps anybody may sample"
        calls.append(len(counted))
        ends.append(numbers(model))
    assert calls[1] == 2 * calls[0] > 0
    for a, b in zip(*ends):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


# ---- parameters that are replaced while a run is alive --------------------------------------------------------------


REPLACED = {
    "assigned": lambda model: model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True),
    "in another dtype": lambda model: model.double(),
    "frozen": lambda model: model.requires_grad_(False),
}


@pytest.mark.parametrize("how", REPLACED)
@each_trainer
def test_a_run_whose_parameters_were_replaced_says_so(what, how, tokenizer):
    """The optimizer would go on with the old ones: losses stand still, and nothing says why."""
    run, model = start(what, tokenizer)
    next(run)
    before = numbers(model)
    REPLACED[how](model)
    with pytest.raises(RuntimeError, match=r"a parameter of the model was replaced while the run was alive") as caught:
        next(run)
    assert "load_state_dict(values)" in str(caught.value) and "or frozen" in str(caught.value)
    assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(before, numbers(model)))


def test_values_may_be_set_while_a_run_is_alive(tokenizer):
    run, model = start("sft", tokenizer)
    next(run)
    first = numbers(model)
    next(run)
    with torch.no_grad():
        model.load_state_dict(model.state_dict())
        torch.nn.utils.vector_to_parameters(torch.cat([x.reshape(-1) for x in first]), model.parameters())
    next(run)
    assert not same(first, numbers(model)), "the next step began there and went on"
