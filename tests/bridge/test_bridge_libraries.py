"""The bridge against the libraries' own files: every key, default and type, the traps, and verl's own arithmetic.

They are read, and of verl and OpenRLHF single functions run, but never installed: their wheels are downloaded once into
the folder that the environment variable PPO_LESSON_WHEELS names (else a folder among the system's temporary files),
without what they depend on. Where that does not work, these tests are skipped and say so.
"""

import argparse
import ast
import dataclasses
import re
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from conform import wheels  # noqa: E402

from ppo_lesson import bridge  # noqa: E402
from ppo_lesson.bridge import keys as words  # noqa: E402
from ppo_lesson.kl import ZieglerKL, estimate, estimate_off_policy  # noqa: E402
from ppo_lesson.language.advantages import group_advantages  # noqa: E402
from ppo_lesson.language.rlhf import RLHFConfig  # noqa: E402
from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss  # noqa: E402
from ppo_lesson.returns import gae, whiten  # noqa: E402

PLAIN = RLHFConfig()


def wheel(library):
    """The library's wheel as a ZipFile; the test is skipped where it cannot be had."""
    try:
        return wheels.wheel(library, words.VERSIONS[library])
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def verl():
    """{key: default} of everything in verl's configuration."""
    yaml = pytest.importorskip("yaml", reason="JupyterLab brings it")
    with wheel("verl") as files:
        tree = yaml.safe_load(files.read("verl/trainer/config/_generated_ppo_trainer.yaml"))

    def flat(x, prefix=""):
        for key, value in x.items():
            yield f"{prefix}{key}", value
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")

    return dict(flat(tree))


def test_verls_own_resolved_file_is_read_as_its_defaults():
    """What Hydra writes beside a run: hundreds of keys, nested, with references to one another."""
    with wheel("verl") as files:
        text = files.read("verl/trainer/config/_generated_ppo_trainer.yaml").decode()
    settings = bridge.read_settings(text)
    assert len(settings) > 500 and bridge.from_verl(settings)[0] == bridge.from_verl({})[0]
    assert settings["critic.ppo_mini_batch_size"] == settings["actor_rollout_ref.actor.ppo_mini_batch_size"] == 256
    other = bridge.read_settings(text.replace("ppo_mini_batch_size: 256", "ppo_mini_batch_size: 128", 1))
    assert bridge.from_verl(other)[0].minibatches == 8


def same_kind(value, theirs):
    """Whether `value` may stand where the file has `theirs`: null, ??? and ${...} do not say."""
    if theirs is None or (isinstance(theirs, str) and (theirs == "???" or theirs.startswith("${"))):
        return True
    if isinstance(theirs, bool) or isinstance(value, bool):
        return isinstance(theirs, bool) and isinstance(value, bool)
    if isinstance(theirs, int | float):
        return value is None or isinstance(value, int | float)
    return isinstance(value, type(theirs))


def settings_of_all_kinds():
    """Settings with every key that `to_verl` can write."""
    launch = dict.fromkeys(words.LAUNCH, "x") | {"gpus": 2, "nodes": 1, "tensor_parallel": 1, "prompt_length": 512}
    launch |= {"logger": ["console"], "test_first": False, "test_every": -1}
    config = replace(PLAIN, kl=ZieglerKL(0.1, 6.0), kl_loss=0.1, checkpoint_every=5, dual_clip=3.0)
    return bridge.to_verl(config, bridge.Launch(**launch), prompts=300)


def test_verl_has_every_key_with_that_type(verl):
    settings = settings_of_all_kinds()
    assert len(settings) > 70
    assert {key for key in settings if key not in verl} == set()
    assert {key: verl[key] for key, value in settings.items() if not same_kind(value, verl[key])} == {}


def test_whole_numbers_stay_whole_where_verl_wants_them(verl):
    """verl's dataclasses refuse 1e4 for an int; a float field takes any number."""
    settings = settings_of_all_kinds()
    whole = {key for key, theirs in verl.items() if type(theirs) is int} - {
        "actor_rollout_ref.actor.entropy_coeff",
        "actor_rollout_ref.rollout.top_p",
    }
    assert {key: settings[key] for key in whole & set(settings) if type(settings[key]) is not int} == {}
    with wheel("verl") as files:  # the types of what the file leaves null
        code = "".join(files.read(f"verl/workers/config/{name}.py").decode() for name in ("actor", "critic", "rollout"))
    for name in ("ppo_micro_batch_size_per_gpu", "log_prob_micro_batch_size_per_gpu"):
        assert re.search(rf"{name}: Optional\[int\] = None", code)
        assert all(type(value) is int for key, value in settings.items() if key.endswith("." + name))


def test_verls_defaults_are_these(verl):
    for key, ours in words.DEFAULTS["verl"].items():
        assert verl[key] == ours, key
    for follower, leader in words.FOLLOWS["verl"].items():
        theirs, name = verl[follower], leader.rsplit(".", 1)[1]
        interpolated = isinstance(theirs, str) and theirs.startswith("${") and name.removesuffix("_per_gpu") in theirs
        assert interpolated or theirs is None or theirs == verl[leader], follower
    assert set(words.FIXED["verl"]) | set(words.LAUNCH.values()) <= set(verl)


def test_what_verl_does_with_them(verl):
    """The traps that the table tells, in verl's own lines."""
    with wheel("verl") as files:
        algorithms = files.read("verl/trainer/ppo/core_algos.py").decode()
        penalty = files.read("verl/trainer/ppo/ray_trainer.py").decode()
        trainer = files.read("verl/trainer/ppo/v1/trainer_base.py").decode()
        engine = files.read("verl/workers/engine/fsdp/transformer_impl.py").decode()
        everything = "".join(files.read(name).decode() for name in files.namelist() if name.endswith(".py"))
    assert "config.clip_ratio_low if config.clip_ratio_low is not None else clip_ratio" in algorithms
    assert "torch.clamp(negative_approx_kl, min=-20.0, max=20.0)" in algorithms
    assert "clip_ratio_c > 1.0" in algorithms
    assert "advantages = verl_F.masked_whiten(advantages, response_mask)" in algorithms
    assert "masked_mean(kld, mask=response_mask, axis=-1)" in penalty  # a token's mean
    assert "kl_ctrl.update(current_kl=current_kl, n_steps=batch_size)" in penalty
    assert "ppo_mini_batch_size = ppo_mini_batch_size * self.config.actor_rollout_ref.rollout.n" in trainer
    assert "upsample_batch_to_divisible_size(batch, batch_multiple" in trainer
    assert "current_epoch < self.config.trainer.total_epochs and" in trainer
    assert "self.optimizer_config.clip_grad" in engine
    assert not re.search(r"(actor|config|cfg)\.grad_clip\b", everything)  # declared, and read by nobody
    assert "return float(current_step) / float(max(1.0, num_warmup_steps))" in everything  # from 0


def class_fields(code, name):
    """{field: default} of a dataclass, read without importing it."""
    body = next(node for node in ast.parse(code).body if isinstance(node, ast.ClassDef) and node.name == name).body
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            keywords = {word.arg: word.value for word in getattr(node.value, "keywords", ())}
            found[node.target.id] = ast.literal_eval(keywords["default"])
    return found


def test_verl_wants_an_older_python_as_the_export_says():
    with wheel("verl") as files:
        (name,) = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        wanted = re.search(r"(?m)^Requires-Python: (.*)$", files.read(name).decode())[1]
    assert "<3.13" in wanted
    said = (ROOT / "ppo_lesson" / "commands" / "export.toml").read_text("utf-8")
    assert "Python below 3.13" in said and "Python below 3.13" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("advantages", "kind"), [("group", "grpo"), ("rloo", "rloo")])
def test_trl_has_every_argument_with_that_default(advantages, kind):
    from transformers import TrainingArguments

    with wheel("trl") as files:
        assert not [name for name in files.namelist() if "/ppo/" in name or "ppo_trainer" in name], "it has PPO again"
        code = files.read(f"trl/trainer/{kind}_config.py").decode()
        base = files.read("trl/trainer/base_config.py").decode()
    theirs = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    theirs |= class_fields(base, "_BaseConfig") | class_fields(code, f"{kind.upper()}Config")
    config = replace(
        PLAIN, checkpoint_every=5, advantages=advantages, replies=4, score_clip=2.0, aggregate="seq-mean-token-sum"
    )
    config = replace(config, kl=None, score_clip=None) if kind == "grpo" else config
    settings = bridge.to_trl(config)
    assert {key for key in settings if key not in theirs} == set()
    assert {key: theirs[key] for key, value in settings.items() if not same_kind(value, theirs[key])} == {}
    for key, ours in words.DEFAULTS["rloo" if kind == "rloo" else "trl"].items():
        theirs_plain = getattr(theirs[key], "value", theirs[key])  # an enum of transformers
        assert theirs_plain == ours or (key == "warmup_steps" and not theirs_plain), key


def flags_of_openrlhf():
    """An ArgumentParser with the flags of OpenRLHF's train_ppo_ray, made of its add_argument lines alone."""
    with wheel("openrlhf") as files:
        path = next(name for name in files.namelist() if name.endswith("openrlhf/cli/train_ppo_ray.py"))
        tree = ast.parse(files.read(path))
    parser = argparse.ArgumentParser()
    names = {"add": parser.add_argument, "float": float, "int": int, "str": str, "datetime": datetime}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "attr", "") == "add_argument":
            call.func = ast.copy_location(ast.Name("add", ast.Load()), call.func)
            line = compile(ast.Expression(call), path, "eval")
            for prefix in ("actor", "critic") if isinstance(call.args[0], ast.JoinedStr) else ("",):
                eval(line, {"prefix": prefix, **names})
    return parser


def test_what_openrlhf_says_of_its_adaptive_prices():
    with wheel("openrlhf") as files:
        path = next(name for name in files.namelist() if name.endswith("openrlhf/trainer/ppo_trainer.py"))
        assert "AdaptiveKLController is incompatible here" in files.read(path).decode()


def test_openrlhf_takes_every_flag_with_that_default():
    parser = flags_of_openrlhf()
    defaults = vars(parser.parse_args([]))
    for key, ours in words.DEFAULTS["openrlhf"].items():
        theirs = defaults[key]
        assert (list(theirs) if isinstance(theirs, tuple) else theirs) == ours, key
    assert set(words.FOLLOWS["openrlhf"]) | set(words.FIXED["openrlhf"]) <= set(defaults)
    for config in (
        PLAIN,
        replace(PLAIN, kl=None, kl_loss=0.1, kl_loss_kind="k3", dual_clip=3.0, checkpoint_every=5),
        replace(PLAIN, kl=None, kl_loss=0.1, kl_loss_ratio=False),
        replace(PLAIN, kl=ZieglerKL(0.1, 6.0), score_clip=4.0, advantages="group", replies=4),
    ):
        flags = bridge.to_openrlhf(config, prompts=300)
        parsed = vars(parser.parse_args(bridge.arguments("openrlhf", flags)))
        assert {key: parsed[key] for key in flags} == flags


# ---- verl's own arithmetic ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs():
    """Functions of verl, taken out of its files without their decorators."""

    with wheel("verl") as files:
        masks = {"masked_sum", "masked_mean", "masked_var", "masked_whiten", "clip_by_value"}
        tools = wheels.taken(files, "verl/utils/torch_functional.py", masks, {"torch": torch})
        inside = {"torch": torch, "np": np, "defaultdict": defaultdict, "verl_F": SimpleNamespace(**tools)}
        wanted = {
            "compute_gae_advantage_return",
            "compute_grpo_outcome_advantage",
            "agg_loss",
            "compute_policy_loss",
            "compute_value_loss",
            "kl_penalty",
            "kl_penalty_forward",
            "AdaptiveKLController",
        }
        inside = wheels.taken(files, "verl/trainer/ppo/core_algos.py", wanted, inside)
    return SimpleNamespace(**{name: inside[name] for name in wanted})


@pytest.fixture
def batch():
    """Log-probabilities, values and advantages of 6 replies of 1 to 9 tokens."""
    lengths = torch.tensor([9, 1, 4, 7, 2, 9])
    mask = torch.arange(9) < lengths[:, None]
    old, new, ref, values, values_old, weights = (torch.randn(6, 9).double() for _ in range(6))
    return SimpleNamespace(
        mask=mask, old=old, new=old + 0.7 * new, ref=ref, values=values, values_old=values_old, weights=weights
    )


def test_advantages_are_the_same(theirs, batch):
    mask, values = batch.mask, batch.values.where(batch.mask, 0)
    rewards = batch.weights.where(mask, 0)
    settings = bridge.to_verl(replace(PLAIN, gamma=0.97, lam=0.9))
    gamma, lam = settings["algorithm.gamma"], settings["algorithm.lam"]
    last = mask & ~torch.cat([mask[:, 1:], torch.zeros(6, 1, dtype=torch.bool)], 1)
    next_values = torch.cat([values[:, 1:], values[:, :1]], 1)
    ours, returns = gae(rewards, values, next_values, terminated=last, mask=mask, gamma=gamma, lam=lam)
    white, their_returns = theirs.compute_gae_advantage_return(rewards, values, mask.double(), gamma, lam)
    torch.testing.assert_close(whiten(ours, mask), white.where(mask, 0), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(returns, their_returns.where(mask, 0))


@pytest.mark.parametrize("scale", [True, False])
def test_advantages_of_groups_are_the_same(theirs, scale):
    scores, groups = torch.randn(12), torch.arange(12) // 4
    flag = bridge.to_verl(replace(PLAIN, advantages="group", replies=4, scale_groups=scale))[
        "algorithm.norm_adv_by_std_in_grpo"
    ]
    rewards, mask = torch.zeros(12, 3), torch.ones(12, 3)
    rewards[:, -1] = scores
    weights, _ = theirs.compute_grpo_outcome_advantage(rewards, mask, groups.numpy(), norm_adv_by_std_in_grpo=flag)
    torch.testing.assert_close(group_advantages(scores, groups, scale=scale), weights[:, 0])


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
@pytest.mark.parametrize("dual_clip", [None, 1.5])
def test_policy_losses_are_the_same(theirs, batch, dual_clip, how):
    config = replace(PLAIN, eps=0.15, eps_high=0.3, dual_clip=dual_clip, aggregate=how)
    settings = {key.rsplit(".", 1)[1]: value for key, value in bridge.to_verl(config).items() if ".actor." in key}
    loss, *_ = theirs.compute_policy_loss(
        batch.old,
        batch.new,
        batch.weights,
        batch.mask.double(),
        cliprange=settings["clip_ratio"],
        cliprange_low=settings["clip_ratio_low"],
        cliprange_high=settings["clip_ratio_high"],
        clip_ratio_c=settings["clip_ratio_c"],
        loss_agg_mode=settings["loss_agg_mode"],
    )
    ours = clipped_surrogate(batch.new, batch.old, batch.weights, 0.15, eps_high=0.3, dual_clip=dual_clip)
    torch.testing.assert_close(-aggregate(ours, batch.mask, how), loss, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("clip", [None, 0.2])
def test_value_losses_are_the_same(theirs, batch, clip):
    settings = bridge.to_verl(replace(PLAIN, value_clip=clip))
    limit, how = settings["critic.cliprange_value"], settings["critic.loss_agg_mode"]
    loss, _ = theirs.compute_value_loss(batch.values, batch.weights, batch.values_old, batch.mask.double(), limit, how)
    clipped = {} if clip is None else {"values_old": batch.values_old, "clip": clip}
    torch.testing.assert_close(aggregate(value_loss(batch.values, batch.weights, **clipped), batch.mask), loss)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_estimates_of_kl_are_the_same(theirs, batch, kind):
    name = bridge.to_verl(replace(PLAIN, kl_loss=0.1, kl_loss_kind=kind))["actor_rollout_ref.actor.kl_loss_type"]
    held = 10 if kind == "k3" else torch.inf  # verl's k3 is held within 10
    ours = estimate(batch.new, batch.ref, kind).clamp(max=held)
    torch.testing.assert_close(ours, theirs.kl_penalty(batch.new, batch.ref, name))


def test_adaptive_prices_move_alike_where_replies_are_equally_long(theirs):
    length, replies = 40, 64
    ours = ZieglerKL(0.15, 6.0, 5000)
    settings = bridge.to_verl(replace(PLAIN, kl=ZieglerKL(0.15, 6.0, 5000)), mean_length=length)
    named = {key.rsplit(".", 1)[1]: value for key, value in settings.items() if key.startswith("algorithm.kl_ctrl.")}
    verl = theirs.AdaptiveKLController(named["kl_coef"], named["target_kl"], named["horizon"])
    for kl in (1.0, 5.9, 6.3, 20.0):
        ours.update(kl_to_reference=kl, n=replies)
        verl.update(kl / length, replies)
        assert verl.value == pytest.approx(ours.beta, rel=1e-12)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_openrlhfs_unbiased_gradient_is_ours_with_the_ratio(kind):
    """Token for token that of k2 and k3; of k1 but for the ratio times grad log pi, whose mean is 0 (ratios < 10)."""
    with wheel("openrlhf") as files:
        inside = {"torch": torch, "Optional": Optional}
        found = wheels.taken(files, "models/utils.py", {"compute_approx_kl", "KL_IS_WEIGHT_CLIP"}, inside)
    g = torch.Generator().manual_seed(0)
    new, old, ref = (-torch.rand(50, generator=g) for _ in range(3))
    slopes = []
    for term in (
        lambda x: found["compute_approx_kl"](x, ref, old, kind, unbiased_gradient=True),
        lambda x: estimate_off_policy(x, old, ref, kind),
    ):
        logp = new.clone().requires_grad_()
        slopes.append(torch.autograd.grad(term(logp).sum(), logp)[0])
    more = (new - old).exp() if kind == "k1" else 0
    torch.testing.assert_close(slopes[1], slopes[0] + more, rtol=1e-5, atol=1e-6)  # some ten roundings of float32
