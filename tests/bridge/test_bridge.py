"""The bridge to verl, TRL and OpenRLHF: round trips of every field, notes, batches, commands, and the table.

What the libraries themselves say is in test_bridge_libraries.py.
"""

import re
import warnings
from dataclasses import fields, replace

import pytest

from ppo_lesson import bridge
from ppo_lesson.bridge import Launch
from ppo_lesson.bridge import keys as words
from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL
from ppo_lesson.language.rlhf import RLHFConfig

PLAIN = RLHFConfig()
# one value for each field that is not its default; fields that need another one beside them
OTHER = {
    "iterations": 12,
    "batch": 96,
    "replies": 4,
    "epochs": 3,
    "minibatches": 4,
    "micro_batch": 8,
    "max_new_tokens": 128,
    "temperature": 0.7,
    "rescore": False,
    "lr": 1e-6,
    "critic_lr": 1e-5,
    "warmup": 8,
    "anneal": True,
    "gamma": 0.99,
    "lam": 0.9,
    "lam_alpha": 0.5,
    "critic_lam": 1.0,
    "critic_warmup": 5,
    "objective": "dppo-tv",
    "ratio": "sequence",
    "eps": 0.1,
    "eps_high": 0.28,
    "dual_clip": 3.0,
    "value_clip": None,
    "entropy_coef": 0.01,
    "kl": FixedKL(0.02),
    "kl_loss": 0.05,
    "kl_loss_kind": "k3",
    "kl_loss_ratio": False,
    "advantages": "group",
    "scale_groups": False,
    "dynamic_sampling": True,
    "tis_cap": 2.0,
    "whiten_advantages": False,
    "aggregate": "seq-mean-token-mean",
    "ptx_coef": 0.5,
    "ptx_batch": 8,
    "no_eos_penalty": 1.0,
    "overlong_buffer": 8,
    "overlong_penalty": 0.5,
    "score_clip": 5.0,
    "target_kl": 0.02,
    "max_grad_norm": 0.5,
    "checkpoint_every": 20,
    "seed": 7,
}
BESIDE = {
    "replies": {"minibatches": 2},
    "kl_loss_kind": {"kl_loss": 0.05},
    "kl_loss_ratio": {"kl_loss": 0.05},
    "ptx_batch": {"ptx_coef": 0.5},
    "advantages": {"replies": 4, "kl": None},
    "scale_groups": {"replies": 4, "kl": None, "advantages": "group"},
    "ratio": {"replies": 4, "kl": None, "advantages": "group"},
    "dynamic_sampling": {"replies": 4, "kl": None, "advantages": "group"},
    "overlong_penalty": {"overlong_buffer": 8},
}
TO = {"verl": bridge.to_verl, "trl": bridge.to_trl, "openrlhf": bridge.to_openrlhf}
FROM = {"verl": bridge.from_verl, "trl": bridge.from_trl, "openrlhf": bridge.from_openrlhf}
COUNTED = {"openrlhf": {"prompts": 192}}  # iterations that are passes over the prompts


GROUP = {"advantages": "group", "replies": 4, "kl": None}
NO_CRITIC = {*words.WITH_CRITIC, "lam_alpha", "critic_lam"}  # idle in a group


def config_with(name, library):
    """TRL has trainers for groups alone, but for what groups refuse."""
    group = GROUP if library == "trl" else {}
    return replace(PLAIN, **{**group, **BESIDE.get(name, {}), name: OTHER[name]})


def there_and_back(config, library):
    """(config after the round trip, names of the fields that were said to be lost)."""
    how = COUNTED.get(library, {})
    notes = bridge.differences(config, library, **how)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        settings = TO[library](config, **how)
    back, _ = FROM[library](settings, **how)
    lost = {note.key for note in notes if note.kind == "lost"}
    assert bool(heard) == bool(lost)
    return back, lost


# ---- round trips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [field.name for field in fields(RLHFConfig)])
@pytest.mark.parametrize("library", TO)
def test_every_field_comes_back_or_is_said_to_be_lost(library, name):
    if library == "trl" and name in NO_CRITIC:
        pytest.skip("TRL has no trainer with a critic")
    config = config_with(name, library)
    back, lost = there_and_back(config, library)
    assert "max_grad_norm" not in lost
    if library == "trl":
        lost |= NO_CRITIC | ({"kl_loss_kind"} if config.kl_loss_kind != "k3" else set())  # it has k3 alone, and says so
    lost |= {belongs for belongs, to in words.MATTERS_WITH.items() if to in lost or not getattr(config, to)}
    for field in fields(RLHFConfig):
        if field.name not in lost and not (library == "openrlhf" and field.name == "kl" and config.kl_loss):
            assert getattr(back, field.name) == getattr(config, field.name), field.name
    changed = {key: OTHER[key] for key in (name, *BESIDE.get(name, {})) if getattr(config, key) != getattr(PLAIN, key)}
    assert changed  # the round trip had something to carry


def test_what_is_lost_is_exactly_this():
    everywhere = {"ptx_coef", "target_kl", "whiten_advantages", "lam_alpha", "critic_lam"}
    everywhere |= {"ratio", "dynamic_sampling", "tis_cap", "overlong_buffer"}
    lost = {library: set() for library in TO}
    for library in TO:
        for name in (field.name for field in fields(RLHFConfig)):
            if library != "trl" or name not in NO_CRITIC:
                lost[library] |= there_and_back(config_with(name, library), library)[1] & {name}
    assert lost["verl"] == everywhere | {"no_eos_penalty", "score_clip"}
    assert lost["openrlhf"] == (everywhere - {"ratio"}) | {"no_eos_penalty", "rescore", "objective"}
    alone = {"kl", "rescore", "objective", "no_eos_penalty", "score_clip"}
    assert lost["trl"] == (everywhere - NO_CRITIC - {"ratio"}) | alone


@pytest.mark.parametrize("kl", [None, FixedKL(0.0), FixedKL(0.3), ZieglerKL(0.15, 6.0, 5000)])
def test_prices_of_kl(kl):
    config = replace(PLAIN, kl=kl)
    settings = bridge.to_verl(config, mean_length=30)
    assert settings["algorithm.use_kl_in_reward"] is (kl is not None)
    assert bridge.from_verl(settings, mean_length=30)[0].kl == kl
    flags = bridge.to_openrlhf(config, prompts=64, mean_length=30)
    back = bridge.from_openrlhf(flags, prompts=64, mean_length=30)[0].kl
    assert back == (kl if kl and kl.beta else None)


def test_an_adaptive_target_is_a_replys_sum_here_and_a_tokens_mean_there():
    config = replace(PLAIN, kl=ZieglerKL(0.15, 6.0), max_new_tokens=48)
    assert bridge.to_verl(config)["algorithm.kl_ctrl.target_kl"] == 6 / 48
    assert bridge.to_verl(config, mean_length=24)["algorithm.kl_ctrl.target_kl"] == 6 / 24
    theirs = {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.type": "adaptive"}  # verl's default target: 0.1
    assert bridge.from_verl(theirs, mean_length=60)[0].kl == ZieglerKL(0.001, 6.0)
    config, notes = bridge.from_verl(theirs)
    assert config.kl == FixedKL(0.001)
    assert [n.kind for n in notes if n.key == "algorithm.kl_ctrl.target_kl"] == ["lost"]


def test_both_prices_of_kl_at_once_fit_into_verl_alone():
    config = replace(PLAIN, kl=FixedKL(0.1), kl_loss=0.05, kl_loss_ratio=False)
    assert there_and_back(config, "verl") == (config, set())
    back, lost = there_and_back(config, "openrlhf")
    assert lost == {"kl"} and back.kl is None and back.kl_loss == 0.05


def test_verl_alone_has_no_ratio_in_front_of_the_kl_of_its_loss():
    config = replace(PLAIN, kl=None, kl_loss=0.05)
    back, lost = there_and_back(config, "verl")
    assert lost == {"kl_loss_ratio"} and not back.kl_loss_ratio
    assert there_and_back(replace(PLAIN, kl=None), "verl")[1] == set(), "without a price there is nothing to lose"
    for ratio in (True, False):  # OpenRLHF's --algo.kl.unbiased_gradient
        asked = replace(config, kl_loss_ratio=ratio)
        assert there_and_back(asked, "openrlhf") == (asked, set())
    assert not bridge.to_openrlhf(replace(PLAIN, kl=None), prompts=64)["algo.kl.unbiased_gradient"]
    _, notes = bridge.from_openrlhf({"algo.kl.unbiased_gradient": True})
    assert ("ignored", "algo.kl.unbiased_gradient") in {note[:2] for note in notes}, "nobody asks for a loss of KL"


def test_cispo_has_no_limit_from_below_and_verls_is_set_out_of_reach():
    config = replace(PLAIN, **GROUP, objective="cispo", eps_high=4.0)
    settings = bridge.to_verl(config)
    assert settings["actor_rollout_ref.actor.clip_ratio_low"] == 1.0
    assert bridge.from_verl(settings)[0] == replace(config, dual_clip=None)
    plain = {"actor_rollout_ref.actor.policy_loss.loss_mode": "cispo", "algorithm.adv_estimator": "grpo"}
    plain |= {"actor_rollout_ref.rollout.n": 4}
    back, notes = bridge.from_verl(plain)  # verl's defaults limit on both sides
    assert back.eps_high == 0.2 and ("lost", "actor_rollout_ref.actor.clip_ratio_low") in {n[:2] for n in notes}
    back, notes = bridge.from_verl(plain | {"actor_rollout_ref.actor.clip_ratio_low": 10.0})
    assert back.eps_high == 0.2 and "actor_rollout_ref.actor.clip_ratio_low" not in {note.key for note in notes}


def test_cispo_is_a_loss_of_trls_grpo_whose_limit_is_the_weight_itself():
    """TRL clamps the weight at epsilon_high, ours at 1 + eps_high; its default, None for 0.2, shrinks all steps."""
    config = replace(PLAIN, **GROUP, objective="cispo", eps_high=4.0)
    settings = bridge.to_trl(config)
    assert (settings["loss_type"], settings["epsilon_high"]) == ("cispo", 5.0)
    back, notes = bridge.from_trl(settings)
    same = ("objective", "eps", "eps_high", "aggregate")
    assert [getattr(back, name) for name in same] == [getattr(config, name) for name in same]
    assert not {"objective", "loss_type", "epsilon_high", "aggregate"} & {note.key for note in notes}
    assert "objective" not in {note.key for note in bridge.differences(config, "trl")}
    assert bridge.to_trl(replace(config, eps=0.3, eps_high=None))["epsilon_high"] == 1.3
    lost = bridge.differences(replace(config, aggregate="seq-mean-token-sum"), "trl")
    assert ("lost", "aggregate") in {note[:2] for note in lost}
    for limit in ({}, {"epsilon_high": None}, {"epsilon_high": 0.28}):
        with pytest.raises(ValueError, match=r"epsilon_high=(None|0\.28) with loss_type=cispo: .* ScaleRL .* takes 5"):
            bridge.from_trl({"loss_type": "cispo"} | limit)


def test_a_group_of_one_is_refused_with_the_librarys_key():
    with pytest.raises(ValueError, match=r"replies=1 leaves none .*\(actor_rollout_ref\.rollout\.n\)"):
        bridge.from_verl({"algorithm.adv_estimator": "grpo"})
    with pytest.raises(ValueError, match=r"\(rollout\.n_samples_per_prompt\)"):
        bridge.from_openrlhf({"algo.advantage.estimator": "rloo"})


def test_dppo_comes_from_verl_with_its_second_limit_said_to_be_lost():
    mode = {"actor_rollout_ref.actor.policy_loss.loss_mode": "dppo_tv"}
    config, notes = bridge.from_verl(mode)
    assert (config.objective, config.dual_clip) == ("dppo-tv", None)
    assert ("lost", "actor_rollout_ref.actor.clip_ratio_c", 3.0) in [note[:3] for note in notes]
    far = bridge.from_verl(mode | {"actor_rollout_ref.actor.clip_ratio_c": 1e9})[1]
    assert "actor_rollout_ref.actor.clip_ratio_c" not in {note.key for note in far}


RLOO = {"advantages": "rloo", "replies": 4, "aggregate": "seq-mean-token-sum"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"kl": None},
        {"kl": FixedKL(0.02), "score_clip": 3.0},
        {"epochs": 3, "minibatches": 4, "eps": 0.1, "eps_high": 0.3},
        {"lr": 1e-6, "temperature": 0.7, "max_new_tokens": 99, "warmup": 8, "anneal": True, "checkpoint_every": 5},
    ],
)
def test_rloo_comes_back_from_trls_rlootrainer(more):
    config = replace(PLAIN, **RLOO, **more)
    assert not [note for note in bridge.differences(config, "trl") if note.kind == "lost"]
    assert bridge.from_trl(bridge.to_trl(config), trainer="RLOOTrainer")[0] == config


def test_what_is_left_out_of_an_rlooconfig_has_its_defaults_and_not_grpos():
    config, notes = bridge.from_trl({}, trainer="RLOOTrainer")
    assert (config.advantages, config.replies, config.kl, config.kl_loss) == ("rloo", 2, FixedKL(0.05), 0.0)
    assert (config.aggregate, config.score_clip, config.ratio) == ("seq-mean-token-sum", None, "token")
    assert "trainer" not in {note.key for note in notes}, "one step an iteration: the ratio is 1, of a token or a reply"
    config, notes = bridge.from_trl({"loss_type": "dapo", "reward_clip_range": [-2, 3]}, trainer="RLOOTrainer")
    found = {(note.kind, note.key) for note in notes}
    assert config.score_clip == 3 and {("unknown", "loss_type"), ("changed", "reward_clip_range")} <= found
    _, notes = bridge.from_trl({"num_iterations": 2, "normalize_advantages": True}, trainer="RLOOTrainer")
    assert {("changed", "trainer"), ("changed", "normalize_advantages")} <= {note[:2] for note in notes}
    with pytest.raises(ValueError, match="reward_clip_range must be two numbers such as"):
        bridge.from_trl({"reward_clip_range": 2.0}, trainer="RLOOTrainer")
    with pytest.raises(ValueError, match=r'trainer must be "GRPOTrainer" or "RLOOTrainer"; got \'PPOTrainer\''):
        bridge.from_trl({}, trainer="PPOTrainer")


def test_a_limit_that_cannot_be_switched_off_is_set_out_of_reach():
    settings = bridge.to_verl(replace(PLAIN, dual_clip=None, value_clip=None))
    e = 2.718281828459045
    assert settings["actor_rollout_ref.actor.clip_ratio_c"] > e**20  # verl's log-ratios stay within 20
    assert settings["critic.cliprange_value"] == 1e9


# ---- what comes from them ----------------------------------------------------------------------------------------


def test_what_is_left_out_has_the_librarys_default_not_ours():
    verl, _ = bridge.from_verl({})
    assert (verl.batch, verl.minibatches, verl.epochs, verl.lam, verl.dual_clip) == (1024, 4, 1, 1.0, 3.0)
    assert (verl.kl, verl.kl_loss, verl.value_clip, verl.lr, verl.critic_lr) == (None, 0.0, 0.5, 1e-6, 1e-5)
    trl, _ = bridge.from_trl({})
    assert (trl.batch, trl.minibatches, trl.epochs, trl.replies, trl.aggregate) == (8, 1, 1, 8, "token-mean")
    assert (trl.kl, trl.kl_loss, trl.anneal, trl.max_new_tokens, trl.lr) == (None, 0.0, True, 512, 1e-6)
    openrlhf, _ = bridge.from_openrlhf({})
    assert (openrlhf.batch, openrlhf.minibatches, openrlhf.epochs, openrlhf.lam) == (1024, 8, 1, 1.0)
    assert (openrlhf.kl, openrlhf.score_clip, openrlhf.dual_clip) == (FixedKL(0.01), 10.0, None)


def test_no_key_disappears():
    settings = {
        "algorithm": {"gamma": 0.99, "use_pf_ppo": True},
        "trainer.nnodes": 2,
        "actor_rollout_ref.actor.clip_ratio": 0.3,
        "actor_rollout_ref.actor.grad_clip": 0.5,
        "critic.ppo_epochs": 4,
        "actor_rollout_ref.actor.loss_agg_mode": "token-sum",
        "algorithm.adv_estimator": "remax",
    }
    config, notes = bridge.from_verl(settings)
    kinds = {note.key: note.kind for note in notes}
    assert kinds["algorithm.use_pf_ppo"] == "unknown" and kinds["trainer.nnodes"] == "launch"
    assert kinds["actor_rollout_ref.actor.clip_ratio"] == kinds["actor_rollout_ref.actor.grad_clip"] == "ignored"
    assert kinds["critic.ppo_epochs"] == "changed"
    assert kinds["actor_rollout_ref.actor.loss_agg_mode"] == kinds["algorithm.adv_estimator"] == "lost"
    assert (config.gamma, config.eps, config.eps_high, config.max_grad_norm) == (0.99, 0.2, None, 1.0)
    assert "clip_ratio=0.3" in "\n".join(map(str, notes))
    config, notes = bridge.from_trl({"loss_type": "vespo", "max_grad_norm": 0.3, "top_p": 0.9, "gama": 1.0})
    kinds = {note.key: note.kind for note in notes}
    assert kinds["loss_type"] == "lost" and config.max_grad_norm == 0.3
    assert kinds["gama"] == "unknown" and kinds["top_p"] == "changed"
    flags = {"actor.eps_clip": 0.3, "actor.eps_clip_low_high": [0.2, 0.2], "vllm.num_engines": 2}
    _, notes = bridge.from_openrlhf(flags)
    kinds = {note.key: note.kind for note in notes}
    assert kinds["actor.eps_clip"] == "ignored" and kinds["vllm.num_engines"] == "unknown"


def test_a_script_of_verls_own_examples():
    """examples/ppo_trainer/run_gemma.sh in short: it sets a price of KL that nobody asks for."""
    config, notes = bridge.from_verl(
        bridge.read_settings("""
        python3 -m verl.trainer.main_ppo data.train_batch_size=512 data.max_response_length=512 \\
            actor_rollout_ref.actor.optim.lr=1e-6 actor_rollout_ref.actor.ppo_mini_batch_size=128 \\
            actor_rollout_ref.actor.ppo_micro_batch_size=4 critic.optim.lr=1e-5 algorithm.kl_ctrl.kl_coef=0.001 \\
            critic.model.path=google/gemma-2-2b-it trainer.logger=['console','wandb'] trainer.total_epochs=15 $@
        """),
        prompts=7473,
    )
    assert (config.batch, config.minibatches, config.epochs, config.iterations, config.kl) == (512, 4, 1, 210, None)
    kinds = {note.key: note.kind for note in notes}
    assert kinds["algorithm.kl_ctrl.kl_coef"] == "ignored" and kinds["critic.model.path"] == "launch"
    assert kinds["actor_rollout_ref.actor.ppo_micro_batch_size"] == "unknown"  # deprecated
    _, notes = bridge.from_verl({"actor_rollout_ref.actor.kl_loss_coef": 0.01})
    assert "ignored: actor_rollout_ref.actor.kl_loss_coef=0.01" in "\n".join(map(str, notes))
    _, notes = bridge.from_openrlhf({"init_kl_coef": 0.01})
    assert any(note.key == "init_kl_coef" and "older versions" in note.why for note in notes)


def test_clip_ratio_counts_where_low_and_high_are_null():
    A = "actor_rollout_ref.actor.clip_ratio"
    config, _ = bridge.from_verl({A: 0.3, A + "_low": None, A + "_high": None})
    assert (config.eps, config.eps_high) == (0.3, None)
    config, _ = bridge.from_verl({A: 0.3, A + "_low": None, A + "_high": 0.4})
    assert (config.eps, config.eps_high) == (0.3, 0.4)


@pytest.mark.parametrize(
    ("name", "ours", "price", "kind"),
    [
        ("kl", "k1", 1.0, None),
        ("mse", "k2", 1.0, None),
        ("low_var_kl", "k3", 1.0, None),
        ("k3", "k3", 1.0, None),
        ("k3+", "k2", 1.0, "changed"),
        ("abs", "k2", 1.0, "lost"),
        ("abs", "k2", 0.0, None),
    ],
)
def test_names_of_the_kl_loss(name, ours, price, kind):
    A = "actor_rollout_ref.actor."
    config, notes = bridge.from_verl({A + "use_kl_loss": price > 0, A + "kl_loss_coef": 1.0, A + "kl_loss_type": name})
    assert (config.kl_loss, config.kl_loss_kind) == (price, ours)
    assert [note.kind for note in notes if note.key == A + "kl_loss_type"] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("library", "settings", "words"),
    [
        ("verl", {"data.train_batch_size": "64"}, "data.train_batch_size must be a whole number"),
        ("verl", {"data.train_batch_size": 64}, "must be at least ppo_mini_batch_size=256"),
        ("verl", {"algorithm.gamma": "one"}, "algorithm.gamma must be a finite number"),
        ("verl", {"algorithm.use_kl_in_reward": 1}, "must be True or False"),
        ("verl", {"algorithm.adv_estimator": 3}, "must be a word"),
        ("verl", {"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 2.5}, "whole number"),
        ("trl", {"num_generations": 0}, "num_generations must be at least 1"),
        ("verl", {"trainer.total_training_steps": "60"}, "trainer.total_training_steps must be a whole number"),
        ("trl", {"generation_batch_size": 1.5}, "generation_batch_size must be a whole number"),
        ("openrlhf", {"reward.clip_range": 5.0}, "must be two numbers"),
        ("openrlhf", {"actor.eps_clip_low_high": 0.2}, "must be two numbers such as [0.2, 0.3]"),
        ("openrlhf", {"rollout.batch_size": 64}, "OpenRLHF would never take a step"),
        (
            "verl",
            {"algorithm.adv_estimator": "$ADV"},
            "algorithm.adv_estimator=$ADV refers to something that is not here",
        ),
        ("verl", {"data.max_response_length": "$((1024 * 2))"}, "refers to something that is not here"),
        ("verl", {"actor_rollout_ref.actor.optim.lr": "1e-6"}, "optim.lr must be a finite number; got '1e-6'"),
        (
            "verl",
            {"actor_rollout_ref.actor.optim.lr": -1e-6},
            "lr must be a number in [0.0, inf]; got -1e-06 (actor_roll",
        ),
        ("verl", {"algorithm.lam": 1.5}, "lam must be a number in [0.0, 1.0]; got 1.5 (algorithm.lam)"),
        ("verl", {"actor_rollout_ref.actor.ppo_epochs": 0}, "ppo_epochs must be at least 1"),
        ("verl", {"data.max_response_length": 256, "data": {"max_response_length": 512}}, "twice, flat and nested"),
        ("verl", {"data.seed": "7"}, "seed must be a whole number"),
        ("verl", {"algorithm.gamma": float("nan")}, "algorithm.gamma must be a finite number; got nan"),
        ("trl", {"learning_rate": None}, "learning_rate must be a finite number; got None"),
        ("trl", {"beta": "1"}, "beta must be a finite number; got '1'"),
        ("trl", {"epsilon": True}, "epsilon must be a finite number; got True"),
        ("trl", {"epsilon_high": "1"}, "eps_high must be"),
        ("openrlhf", {"rollout.batch_size": -1}, "rollout.batch_size must be at least 1; got -1"),
        ("openrlhf", {"algo.kl.target": "6"}, "algo.kl.target must be a number"),
        (
            "openrlhf",
            {"actor.eps_clip_low_high": [0.2, True]},
            "actor.eps_clip_low_high must be a finite number; got True",
        ),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_name(library, settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        FROM[library](settings, **({} if library == "trl" else {"mean_length": 30}))


def test_settings_must_be_a_dict():
    with pytest.raises(TypeError, match="read_settings"):
        bridge.from_verl("algorithm.gamma=1.0")


def test_passes_over_the_prompts_become_iterations():
    assert bridge.from_verl({"trainer.total_epochs": 3}, prompts=3000)[0].iterations == 6  # 2 batches of 1024 each
    both = {"trainer.total_epochs": 3, "trainer.total_training_steps": 50}
    assert bridge.from_verl(both)[0].iterations == 50 and bridge.from_verl(both, prompts=3000)[0].iterations == 6
    assert bridge.from_openrlhf({"train.num_episodes": 3}, prompts=2048)[0].iterations == 6
    two_a_batch = {"max_steps": 25, "generation_batch_size": 16}  # a step takes 8 replies
    assert bridge.from_trl(two_a_batch)[0].iterations == 13 and bridge.from_trl(two_a_batch)[0].minibatches == 2
    with pytest.raises(ValueError, match="prompts must be at least 1024"):
        bridge.from_verl({}, prompts=1000)


# ---- what goes to them -------------------------------------------------------------------------------------------


def test_by_hand():
    config = RLHFConfig(
        iterations=100,
        batch=512,
        replies=4,
        epochs=2,
        minibatches=4,
        micro_batch=8,
        warmup=10,
        seed=3,
        lr=3e-4,
        critic_lr=5e-4,
        gamma=0.99,
        lam=0.9,
        eps=0.2,
        eps_high=0.28,
        kl=FixedKL(0.05),
        max_new_tokens=256,
        value_clip=0.3,
        max_grad_norm=0.7,
        checkpoint_every=25,
    )
    a, c = "actor_rollout_ref.actor.", "critic."
    verl = {
        "data.train_batch_size": 128,
        "actor_rollout_ref.rollout.n": 4,
        a + "ppo_mini_batch_size": 32,
        a + "ppo_epochs": 2,
        a + "ppo_micro_batch_size_per_gpu": 8,
        a + "clip_ratio_low": 0.2,
        a + "clip_ratio_high": 0.28,
        c + "cliprange_value": 0.3,
        "algorithm.gamma": 0.99,
        "algorithm.lam": 0.9,
        "algorithm.kl_ctrl.kl_coef": 0.05,
        a + "optim.lr": 3e-4,
        c + "optim.lr": 5e-4,
        c + "optim.clip_grad": 0.7,
        a + "optim.lr_warmup_steps": 10,
        "trainer.save_freq": 25,
        "data.seed": 3,
        "trainer.total_training_steps": 100,
        "data.max_response_length": 256,
    }
    settings = bridge.to_verl(config, Launch(gpus=2))
    assert {key: settings[key] for key in verl} == verl
    flags = bridge.to_openrlhf(config, prompts=256)
    assert flags.pop("actor.eps_clip_low_high") == [0.2, 0.28]
    openrlhf = {
        "rollout.batch_size": 128,
        "rollout.n_samples_per_prompt": 4,
        "train.batch_size": 128,
        "train.micro_batch_size": 8,
        "train.max_epochs": 2,
        "train.num_episodes": 50,
        "algo.advantage.gamma": 0.99,
        "algo.advantage.lambd": 0.9,
        "algo.kl.init_coef": 0.05,
        "critic.value_clip": 0.3,
        "actor.max_norm": 0.7,
        "actor.adam.lr": 3e-4,
        "critic.adam.lr": 5e-4,
        "actor.lr_warmup_ratio": 0.1,
        "train.seed": 3,
    }
    assert {key: flags[key] for key in openrlhf} == openrlhf
    with pytest.raises(ValueError, match=r"TRL has no PPO since 1\.13: .*GRPOTrainer say advantages=.group."):
        bridge.to_trl(config, gpus=2)


def test_by_hand_for_trls_two_trainers():
    said = {"iterations": 10, "batch": 64, "replies": 4, "epochs": 2, "minibatches": 2, "micro_batch": 4, "warmup": 3}
    config = RLHFConfig(**said, checkpoint_every=5, advantages="group", kl=None, kl_loss=0.05, kl_loss_kind="k3")
    settings = bridge.to_trl(config, gpus=2)
    assert {
        "num_generations": 4,
        "generation_batch_size": 64,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,  # 4 x 4 x 2 GPUs: a step of 32
        "num_iterations": 2,
        "max_steps": 40,
        "warmup_steps": 12,
        "save_steps": 20,
        "beta": 0.05,
        "use_bias_correction_kl": True,
        "loss_type": "dapo",
        "scale_rewards": "group",
        "importance_sampling_level": "token",
    }.items() <= settings.items()
    assert [note.key for note in bridge.differences(config, "trl", gpus=2)] == ["warmup"]
    config = RLHFConfig(**said, advantages="rloo", score_clip=2.0, aggregate="seq-mean-token-sum", entropy_coef=0.1)
    with pytest.warns(UserWarning, match="entropy_coef=0.1: not in RLOOConfig"):
        settings = bridge.to_trl(config)
    assert settings["beta"] == 0.1 and settings["reward_clip_range"] == [-2.0, 2.0]
    assert not {"loss_type", "scale_rewards", "entropy_coef"} & settings.keys()
    with pytest.raises(ValueError, match="minibatches x gpus = 3 x 1"):
        bridge.to_trl(replace(config, minibatches=3))


def test_the_most_severe_note_comes_first_and_none_twice():
    _, notes = bridge.from_verl(
        {
            "trainer.nnodes": 2,
            "algorithm.use_pf_ppo": True,
            "actor_rollout_ref.actor.grad_clip": 0.5,
            "critic.ppo_epochs": 4,
        }
    )
    order = list(dict.fromkeys(note.severity for note in notes))
    assert order == [
        "changes what is learned",
        "is not known",
        "changes nothing: nobody heeds it",
        "changes how it runs",
    ]
    assert len(set(map(str, notes))) == len(notes)
    mine = replace(PLAIN, micro_batch=5, ptx_coef=0.5)
    assert [note.key for note in bridge.differences(mine, "verl")] == ["ptx_coef", "warmup", "micro_batch"]
    assert bridge.differences(mine, "verl")[-1].severity == "changes how it runs"


def test_what_is_lost_is_warned_about():
    with pytest.warns(UserWarning, match=r"verl 0\.9\.1 has no word for: lost: ptx_coef=0\.5"):
        bridge.to_verl(replace(PLAIN, ptx_coef=0.5))
    assert not [note for note in bridge.differences(PLAIN, "verl") if note.kind == "lost"]
    with pytest.raises(ValueError, match="library must be one of"):
        bridge.differences(PLAIN, "deepspeed")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": 10, "replies": 4}, "must be a multiple of replies=4"),
        ({"minibatches": 65}, "at least minibatches=65"),
        ({"kl_loss_kind": "k4"}, "kl_loss_kind must be one of"),
        ({"advantages": "remax"}, "advantages must be one of"),
        ({"lr": float("nan")}, "lr must be a number"),
        ({"temperature": "hot"}, "temperature must be"),
        ({"aggregate": "x"}, "aggregate must be one of"),
        ({"whiten_advantages": "no"}, "whiten_advantages must be True or False"),
    ],
)
@pytest.mark.parametrize("library", TO)
def test_settings_of_ours_that_cannot_be_run_are_not_translated(library, changes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        TO[library](replace(PLAIN, **changes))
    with pytest.raises(TypeError, match="kl must be a FixedKL, a ZieglerKL or None; got PaperKL"):
        TO[library](replace(PLAIN, kl=PaperKL(1.0, 0.01)))


def test_machines_and_files():
    assert {field.name for field in fields(Launch)} == set(words.LAUNCH)
    launch = Launch(model="a", gpus=4, nodes=2, train_files="x.parquet", engine="vllm")
    settings = bridge.to_verl(PLAIN, launch, prompts=300)
    assert settings["critic.model.path"] == settings["actor_rollout_ref.model.path"] == "a"
    assert settings["trainer.total_epochs"] == 15  # 300 // 64 = 4 iterations each, and 60 are wanted
    assert settings["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] == 4  # 32 replies a step, 8 GPUs
    assert bridge.to_verl(PLAIN, Launch(model="a", critic="b"))["critic.model.path"] == "b"
    with pytest.raises(TypeError, match=r"Launch has no field 'modell'\. Did you mean model\?"):
        Launch(modell="a")
    with pytest.raises(ValueError, match="needs batch / replies = 64 different prompts"):
        bridge.to_verl(PLAIN, prompts=63)
    with pytest.raises(ValueError, match="cannot be shared equally by gpus=3"):
        bridge.to_verl(PLAIN, Launch(gpus=3))


def test_a_minibatch_that_does_not_divide():
    config = replace(PLAIN, batch=40, minibatches=3, micro_batch=16)
    settings = bridge.to_verl(config)
    assert settings["actor_rollout_ref.actor.ppo_mini_batch_size"] == 14
    assert settings["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] == 14
    assert {"minibatches", "micro_batch"} <= {note.key for note in bridge.differences(config, "verl")}
    assert bridge.from_verl(settings)[0].minibatches == 3


def test_batches():
    verl_default = bridge.optimizer_steps(1024, 1, 256)
    assert verl_default["steps"] == 4 and verl_default["can_clip"]
    one = bridge.optimizer_steps(256, 1, 256)
    assert one["steps"] == 1 and not one["can_clip"]
    grpo = bridge.optimizer_steps(128, 8, 32, ppo_epochs=2, gpus=8, micro=4)
    assert (grpo["replies"], grpo["replies_a_step"], grpo["steps"]) == (1024, 256, 8)
    assert (grpo["replies_a_gpu"], grpo["micro_batches"], grpo["filled"]) == (32, 8, 0)
    ragged = bridge.optimizer_steps(100, 1, 64)
    assert (ragged["steps"], ragged["filled"]) == (2, 28)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((64, 1, 128), "train_batch_size=64 must be at least ppo_mini_batch_size=128"),
        ((100, 1, 50, 1, 8), "train_batch_size x n = 100 replies cannot be shared equally by gpus=8"),
        ((64, 1, 12, 1, 8), "ppo_mini_batch_size x n = 12 replies cannot be shared equally by gpus=8"),
        ((64, 1, 32, 1, 2, 5), "ppo_mini_batch_size x n / gpus = 16 must be a multiple of micro=5"),
        ((64, 0, 32), "n must be at least 1"),
        ((64, 1, 32.0), "ppo_mini_batch_size must be a whole number"),
    ],
)
def test_batches_that_verl_refuses(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        bridge.optimizer_steps(*arguments)
