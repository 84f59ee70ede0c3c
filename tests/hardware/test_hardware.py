"""What a trainer asks of its machine: alone it asks no other process, and no formula knows that there is a machine."""

import ast
import copy
import inspect
import sys
from pathlib import Path

import pytest
import torch
from tiny_language import Letters, build
from transformers import Gemma3Config

from course.desk import tiny
from ppo_lesson import kl, objectives, returns
from ppo_lesson.hardware.hardware import CPU, Hardware
from ppo_lesson.hardware.processes import Processes
from ppo_lesson.hardware.profile import Profile
from ppo_lesson.language import advantages, head, reward, rlhf, sampling, supervised
from ppo_lesson.language.checks import check_lengths
from ppo_lesson.language.microbatch import by_length
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.sampling import context_limit

FLOAT16 = Profile(half=torch.float16, loss_scaling=True)


def test_an_iteration_alone_enters_no_code_for_several_processes():
    model = without_dropout(build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0))
    models = Models(copy.deepcopy(model), ScalarModel.critic(model), model, lambda prompt, reply: len(reply))
    config = rlhf.RLHFConfig(iterations=2, batch=8, micro_batch=4, max_new_tokens=4, ptx_coef=0.1, ptx_batch=2)
    run = rlhf.rlhf(config, models, ["ab", "c"], tokenizer=Letters(8), documents=["abc" * 40])
    next(run)
    entered = []

    def look(frame, event, _):
        entered.append(frame.f_code.co_filename) if event == "call" else None

    sys.setprofile(look)
    try:
        next(run)
    finally:
        sys.setprofile(None)
    files = [Path(name) for name in entered]
    assert sum(file.name == "hardware.py" for file in files) > 0, "it does ask its machine"
    assert not [file for file in files if file.name == "processes.py" or "distributed" in file.parts]


@pytest.mark.parametrize(
    "formula",
    [advantages, head, objectives, returns, kl, sampling, rlhf.actor_loss, rlhf.critic_loss]
    + [reward.bradley_terry_loss, reward.last_token_scores, reward.pairs_from_ranking, supervised.rows_of],
    ids=lambda x: x.__name__,
)
def test_no_formula_names_the_machine(formula):
    nodes = list(ast.walk(ast.parse(inspect.getsource(formula))))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    assert not names & {"hardware", "Hardware", "profile", "Profile", "processes", "Processes", "scaler"}


@pytest.mark.parametrize("trainer", [tiny.pretrain, supervised.sft, reward.train_reward, supervised.train_steps])
def test_the_loss_of_a_supervised_trainer_does_not_name_it_either(trainer):
    """The trainer hands its machine to the loop; what it minimises, a function inside of it, does not know it."""
    tree = ast.parse(inspect.getsource(trainer))
    losses = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "batch_loss"]
    assert losses or trainer is supervised.train_steps
    assert not [node for loss in losses for node in ast.walk(loss) if getattr(node, "id", "") == "hardware"]


def test_alone_every_number_comes_back_as_it_came():
    rows, facts, where = torch.arange(5), {"x": 1.5}, torch.device("cpu")
    assert CPU.share(rows) is rows and CPU.gather(rows, 5) is rows and CPU.gather(None, 5) is None
    assert CPU.total(facts, where) is facts and CPU.largest(2.0, where) == 2.0 and CPU.part(5) == slice(0, 5)
    assert CPU.state() == {} and CPU.fresh() is not CPU and not CPU.overflowed([float("nan")])
    assert Hardware(processes=Processes(1, 2)).share(rows).tolist() == [1, 3]


def one_step(hardware, factor=1.0):
    """A step of SGD on factor * w with gradient factor: the new weight, and the norms."""
    w = torch.nn.Parameter(torch.zeros(2))
    optimizers = {"w": torch.optim.SGD([w], lr=1.0)}
    hardware.backward(factor * w.sum())
    norms = hardware.clip(optimizers, max_norm=1.0)
    out = hardware.overflowed(norms.values())
    hardware.step(optimizers)
    return w.detach(), norms["w"], out


@pytest.mark.parametrize("profile", [Profile(), FLOAT16], ids=["float32", "float16"])
def test_a_step_is_clipped_and_taken(profile):
    w, norm, out = one_step(Hardware(profile))
    assert norm == pytest.approx(2**0.5) and not out
    torch.testing.assert_close(w, -torch.ones(2) / 2**0.5, rtol=1e-5, atol=0)


def test_a_step_that_overflows_is_left_out_and_the_scale_is_remembered():
    hardware = Hardware(FLOAT16)
    begun = hardware.state()["scaler.scale"].item()
    w, _, out = one_step(hardware, factor=float("inf"))
    assert out and not w.any() and hardware.state()["scaler.scale"] == begun / 2
    later = hardware.fresh()
    assert later.state()["scaler.scale"] == begun, "another run begins anew"
    for name, x in later.state().items():
        x.copy_(hardware.state()[name])  # as a checkpoint does
    one_step(later)
    assert later.state()["scaler.scale"] == begun / 2 and later.state()["scaler.growth"] == 1


def test_by_length_keeps_the_order_of_equals():
    attention = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1]])
    assert by_length(attention, torch.tensor([0, 3, 2, 1])).tolist() == [3, 1, 2, 0]


def test_the_context_limit_of_a_composite_configuration_is_its_texts():
    class Model:
        config = Gemma3Config()

    assert context_limit(Model) == Gemma3Config().get_text_config().max_position_embeddings
    assert context_limit(build("llama")) == 64 and context_limit(object()) is None
    with pytest.raises(ValueError, match="too long for the reader"):
        check_lengths(["a"], [context_limit(Model)], {"reader": Model}, more=1)
    check_lengths(["a"], [context_limit(Model)], {"reader": Model, "nobody": None})


def test_what_no_sampler_can_work_with_is_refused():
    ids, mask = torch.ones(1, 2, dtype=torch.long), torch.tensor([[True, False]])
    with pytest.raises(ValueError, match="ends in padding"):
        sampling.check_generate(build("llama").eval(), ids, mask, 1, 1, 0)
    for low in (0, 1e-38):  # with the second the model's weights were said to be broken, as logits over it are infinite
        with pytest.raises(ValueError, match="temperature must be above 0"):
            sampling.check_temperature(low)
    assert sampling.check_temperature(1) == 1.0
