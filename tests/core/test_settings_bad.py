"""Every number in a trainer's configuration is looked at before anything is done with it."""

import dataclasses
import importlib
import math
import pkgutil

import gymnasium
import pytest
import torch
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

import ppo_lesson
from ppo_lesson import reinforce as module
from ppo_lesson import validate
from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig
from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.trpo import TRPOConfig, trpo

TRAINERS = {ReinforceConfig: reinforce, ActorCriticConfig: actor_critic, TRPOConfig: trpo, PPOConfig: ppo}
TYPES = [
    (kind, f.name, getattr(f.type, "__name__", str(f.type))) for kind in TRAINERS for f in dataclasses.fields(kind)
]
NUMBERS = [field for field in TYPES if field[2].split(" | ")[0] in ("int", "float")]


def refused(kind, name, value):
    """The message, and whether the networks are what they were."""
    policy, critic = TabularPolicy(), TabularCritic()
    with pytest.raises(ValueError, match=f"{name} must") as caught:
        next(TRAINERS[kind](Maze(), policy, critic, kind(**{name: value}), seed=0))
    assert not policy.logits.detach().any() and not critic.table.detach().any()
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "type_"), NUMBERS, ids=[f"{kind.__name__}.{name}" for kind, name, _ in NUMBERS]
)
def test_no_number_of_any_configuration_may_be_nan_or_a_word_or_far_below_0(kind, name, type_, monkeypatch):
    collected = []
    monkeypatch.setattr(MazeBatch, "collect", lambda *a: collected.append(a))
    monkeypatch.setattr(module, "whole_episodes", lambda *a: collected.append(a))
    for value in (math.nan, "many", "1", True):
        assert repr(value) in refused(kind, name, value)
    if name != "entropy_coef":  # a price on entropy may be meant
        low = -3 if "int" in type_ else -0.5
        assert str(low) in refused(kind, name, low)
    if "int" in type_:
        assert "2.5" in refused(kind, name, 2.5)
    if "None" not in type_:
        assert "None" in refused(kind, name, None)
    assert not collected, "before the first step, not after it"


@pytest.mark.parametrize("kind", [ReinforceConfig, ActorCriticConfig, PPOConfig])
def test_a_switch_is_true_or_false(kind):
    """whiten="no" would switch it on."""
    switches = [field.name for field in dataclasses.fields(kind) if field.type is bool]
    switches = [name for name in switches if name != "normalize_rewards"]  # which the maze refuses altogether
    assert switches and all("must be True or False; got 'no'" in refused(kind, name, "no") for name in switches)


def test_there_are_numbers_to_look_at():
    assert {name for kind, name, _ in NUMBERS if kind is PPOConfig} >= {
        "max_grad_norm",
        "lam",
        "value_coef",
        "dual_clip",
    }


@pytest.mark.parametrize("value", [0, 0.0, -1, math.nan, -math.inf, "1", torch.ones(2)])
def test_a_limit_on_the_gradient_is_positive_or_none(value):
    """A negative one would turn every gradient around, 0 would hold the policy still."""
    with pytest.raises(ValueError, match=r"max_grad_norm must be positive, or None for no limit; got") as caught:
        next(ppo(Maze(), TabularPolicy(), TabularCritic(), PPOConfig(max_grad_norm=value), seed=0))
    assert repr(value) in str(caught.value)
    assert next(ppo(Maze(), TabularPolicy(), TabularCritic(), PPOConfig(max_grad_norm=math.inf), seed=0))["kl"] > 0


def test_positive_takes_numbers_of_every_kind():
    assert validate.positive("x", torch.tensor(0.5)) == 0.5 and validate.positive("x", math.inf) == math.inf
    with pytest.raises(ValueError, match=r"x must be positive; got None"):
        validate.positive("x", None)


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=lambda trainer: trainer.__name__)
def test_settings_as_a_dict_are_refused_with_what_they_should_be(trainer):
    with pytest.raises(TypeError, match=r"config must be a .*PPOConfig\(lr=0.1\); got dict"):
        next(trainer(Maze(), TabularPolicy(), TabularCritic(), {"lr": 0.1}, seed=0))


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        (PPOConfig, "clip", "eps"),
        (PPOConfig, "gae_lambda", "lam"),
        (PPOConfig, "minibatch", "minibatches"),
        (TRPOConfig, "critics_lr", "critic_lr"),
        (ReinforceConfig, "learning_rate", "lr"),
        (ActorCriticConfig, "robot", "robots"),
        (SupervisedConfig, "step", "steps"),
        (RLHFConfig, "beta", r"kl=FixedKL\(beta\)"),
    ],
)
def test_a_misspelled_setting_is_answered_with_the_one_that_was_meant(kind, wrong, meant):
    with pytest.raises(TypeError, match=rf"{kind.__name__} has no field '{wrong}'. Did you mean {meant}\?"):
        kind(**{wrong: 1})
    assert validate.misspelled(kind, wrong) and not validate.misspelled(kind, dataclasses.fields(kind)[0].name)


def test_every_configuration_of_the_module_is_helpful():
    """A class whose name says so, in any file: one that forgets it answers as Python does."""
    found = []
    for info in pkgutil.walk_packages(ppo_lesson.__path__, "ppo_lesson."):
        if info.name != "ppo_lesson.__main__":
            found += [x for x in vars(importlib.import_module(info.name)).values() if isinstance(x, type)]
    kinds = {kind for kind in found if kind.__name__.endswith("Config") and kind.__module__.startswith("ppo_lesson")}
    assert {PPOConfig, TRPOConfig, ReinforceConfig, ActorCriticConfig, RLHFConfig, SupervisedConfig} <= kinds
    for kind in kinds:
        with pytest.raises(TypeError, match=f"{kind.__name__} has no field 'qqq'. There are "):
            kind(qqq=1)


def name_of(type_):
    """As it is written: some files have their annotations as text."""
    return getattr(type_, "__name__", str(type_))


OF_NUMBERS = [
    (kind, field.name, name_of(field.type))
    for kind in (*TRAINERS, RLHFConfig, SupervisedConfig)
    for field in dataclasses.fields(kind)
    if name_of(field.type).split(" | ")[0] in ("int", "float")
]


@pytest.mark.parametrize(("kind", "name", "type_"), OF_NUMBERS, ids=[f"{k.__name__}.{n}" for k, n, _ in OF_NUMBERS])
@given(data=strategies.data())
@hypothesis_settings(max_examples=20, deadline=None, derandomize=True)
def test_no_configuration_can_be_made_with_a_number_that_cannot_be(kind, name, type_, data):
    """Nor by replace: whoever holds one holds numbers that can work, each by itself."""
    below = strategies.integers(max_value=-1) if "int" in type_ else strategies.floats(max_value=-1e-300)
    low = strategies.nothing() if name in ("entropy_coef", "eps") else below  # a price on entropy; eps: the objective's
    odd = strategies.sampled_from([math.nan, -math.inf, True, False, "1", b"1", [1.0], {}, [0.1], 1j])
    value = data.draw(low | odd | (strategies.floats().filter(lambda x: x == x) if "int" in type_ else odd))
    for make in (lambda: kind(**{name: value}), lambda: dataclasses.replace(kind(), **{name: value})):
        with pytest.raises(ValueError, match=f"^{name} must"):
            make()


PENALTY = {"objective": "penalty", "kl": FixedKL(0.1)}
TOGETHER = [  # settings that are refused when the object is made, and words of the message
    *((RLHFConfig, {"kl": wrong}, "kl must be a FixedKL") for wrong in (0.1, "0.1", True, {"beta": 0.1}, [0.1])),
    *((PPOConfig, {"objective": "penalty", "kl": wrong}, "kl must be") for wrong in (0.1, "x", ZieglerKL(0.1, 6.0))),
    (RLHFConfig, {"kl": PaperKL(0.1, 0.01)}, "PaperKL is about the old policy"),
    *((kind, {"dual_clip": wrong}, "dual_clip must") for kind in (RLHFConfig, PPOConfig) for wrong in (1, 0.5)),
    *((kind, {"eps": wrong}, "eps must") for kind in (RLHFConfig, PPOConfig) for wrong in (0, 1, 0.0, 1.0)),
    (RLHFConfig, {"temperature": 0}, "temperature must"),
    (RLHFConfig, {"batch": 6, "replies": 4}, "batch must be a multiple of replies=4"),
    (RLHFConfig, {"batch": 2, "minibatches": 4}, "at least minibatches=4"),
    (PPOConfig, {"objective": "penalty"}, "kl go together"),
    (PPOConfig, {"kl": FixedKL(0.1)}, "kl go together"),
    (TRPOConfig, {"delta": math.inf}, "delta must be a finite number"),
]


@pytest.mark.parametrize(("kind", "given", "words"), TOGETHER, ids=str)
def test_settings_that_cannot_work_are_refused_when_they_are_made(kind, given, words):
    for make in (lambda: kind(**given), lambda: dataclasses.replace(kind(), **given)):
        with pytest.raises((ValueError, TypeError), match=words):
            make()


IDLE = [  # settings that nothing would read, one of them first
    (PPOConfig, {"eps": 0.3} | PENALTY),
    (PPOConfig, {"eps_high": 0.3, "objective": "plain"}),
    (PPOConfig, {"dual_clip": 3.0, "objective": "plain"}),
    (PPOConfig, {"anneal_clip": True, "anneal": False}),
    (PPOConfig, {"anneal_clip": True} | PENALTY),
    (PPOConfig, {"critic_lr": 0.1, "value_coef": 0.0}),
    (PPOConfig, {"value_clip": 0.2, "value_coef": 0}),
    (TRPOConfig, {"critic_lr": 0.2, "critic_steps": 0}),
    (ReinforceConfig, {"critic_lr": 0.2}),
    *((RLHFConfig, {name: x, "advantages": "group", "replies": 4}) for name, x in (("lam", 0.9), ("gamma", 0.9))),
    *((RLHFConfig, {name: x, "advantages": "group", "replies": 4}) for name, x in (("critic_lr", 0.1),)),
    *((RLHFConfig, {name: x, "advantages": "group", "replies": 4}) for name, x in (("value_clip", None),)),
    (RLHFConfig, {"whiten_advantages": False, "advantages": "group", "replies": 4}),
    (RLHFConfig, {"scale_groups": False}),
    (RLHFConfig, {"kl_loss_kind": "k3"}),
    (RLHFConfig, {"kl_loss_ratio": False}),
    (RLHFConfig, {"ptx_batch": 4}),
]


@pytest.mark.parametrize(("kind", "given"), IDLE, ids=str)
def test_a_setting_that_nothing_reads_is_refused_before_the_first_step(kind, given):
    config, (name, value) = kind(**given), next(iter(given.items()))
    words = rf"{name}={value!r} has no effect with \w+=.*: leave it out, or (take|change) "
    facts = {"critic": None} if kind is ReinforceConfig else {}
    with pytest.raises(ValueError, match=words):
        validate.used(config, **facts)
    validate.used(dataclasses.replace(config, **{name: getattr(kind(), name)}), **facts)
    if kind is not RLHFConfig:
        critic = None if kind is ReinforceConfig else TabularCritic()
        with pytest.raises(ValueError, match=words):
            next(TRAINERS[kind](Maze(), TabularPolicy(), critic, config, seed=0))


def test_what_the_table_calls_idle_are_fields_and_values():
    for name, rules in validate.read_toml("ppo_lesson", "validate.toml")["idle"].items():
        (kind,) = [kind for kind in (*TRAINERS, RLHFConfig) if kind.__name__ == name]
        known = {f.name for f in dataclasses.fields(kind)}
        assert known >= rules.keys() and known | {"critic"} >= {other for need in rules.values() for other in need}
        for need in rules.values():
            for other, wanted in need.items():
                for x in () if wanted is True else wanted if isinstance(wanted, list) else [wanted]:
                    assert dataclasses.replace(kind(), **GROUP if x == "group" else {other: x})


GROUP = {"advantages": "group", "replies": 2}


def test_a_vector_environment_brings_its_own_number_of_robots():
    env = gymnasium.make_vec("CartPole-v1", num_envs=2)
    with pytest.raises(ValueError, match="robots=5 has no effect in a vector environment, which brings its own 2"):
        next(ppo(env, MLPPolicy(4, 2), MLPCritic(4), PPOConfig(robots=5, lr=1e-3), seed=0))
    next(ppo(env, MLPPolicy(4, 2), MLPCritic(4), PPOConfig(robots=2, lr=1e-3, critic_lr=1e-3), seed=0))
