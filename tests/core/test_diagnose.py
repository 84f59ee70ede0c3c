"""diagnose: every sick trainer gets the right symptom, on seeds and tasks it was not made for; the healthy get none."""

import ast
import inspect
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from runs import NETWORK, train

from course.clinic import ward as clinic
from course.clinic.ward import PATIENTS
from course.settings import CARTPOLE
from ppo_lesson import diagnose
from ppo_lesson.columns import COLUMNS, FOREIGN, History
from ppo_lesson.diagnose import Symptom, report
from ppo_lesson.kl import FixedKL, PaperKL
from ppo_lesson.maze import Maze
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce

UNSEEN = range(100, 116)
MUST = {  # patient: the symptoms that every one of its seeds must show
    "done-ignored": {"wrong value targets"},
    "truncation-as-termination": {"wrong value targets"},
    "not-detached": {"wrong gradient", "objective above its ceiling"},
    "old-logp-recomputed": {"ratio stuck at 1", "KL runaway"},
    "whitening-axis": {"weights not whitened"},
    "target-recomputed": {"critic chases itself"},
    "entropy-sign": {"wrong gradient"},
    "ratio-of-logs": {"wrong gradient", "gradient growing"},
    "reward-shifted": {"wrong value targets"},
    "gradient-not-zeroed": {"wrong gradient", "KL runaway", "gradient growing"},
    "min-before-multiplying": {"objective above its ceiling", "KL runaway"},
    "autoreset-trained-on": {"stale starts"},
}
MAY = {  # what a seed may show beside these
    "ratio-of-logs": {"critic loss growing", "reward falling", "reward flat", "dead critic"},
    "gradient-not-zeroed": {"dead critic", "critic loss growing", "entropy collapse", "reward flat", "reward falling"},
    "old-logp-recomputed": {"dead critic", "entropy collapse", "reward flat"},
}


RULES = len(diagnose.RULES)


def names(history):
    return [symptom.name for symptom in diagnose.diagnose(history)]


def alone(rows, k):
    """Seed k of a run of many, as `ppo` would have told it alone: plain numbers, what is not defined left out."""
    each = [{name: x[k].item() if isinstance(x, np.ndarray) else x for name, x in row.items()} for row in rows]
    return [{name: x for name, x in row.items() if x == x} for row in each]


def no_alarm(rows):
    """Neither for all seeds together nor for one alone, neither at the end nor at the beginning."""
    seeds = np.size(rows[0]["entropy"])
    for history in [rows] if seeds == 1 else [rows, *(alone(rows, k) for k in range(seeds))]:
        for end in (1, 2, 3, 10, 20, len(rows)):
            found = diagnose.diagnose(history[:end])
            assert not found, f"after {end} rows: {found[0]}"


# ---- the sick --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", PATIENTS)
def test_a_sick_maze_run_gets_its_symptom_in_every_seed(name):
    rows = clinic.examine(PATIENTS[name], UNSEEN)
    assert MUST[name] <= set(names(rows)) <= MUST[name] | MAY.get(name, set())
    assert names(rows)[0] in MUST[name], "the most serious first"
    for k in range(16):
        found = set(names(alone(rows, k)))
        assert MUST[name] <= found <= MUST[name] | MAY.get(name, set()), f"seed {UNSEEN[k]}"


def cart_pole(seed, iterations, *, mode="next", limit=500, **settings):
    if mode == "next":
        how = {"vectorization_mode": "vector_entry_point"}
    else:
        how = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}
    env = gymnasium.make_vec("CartPole-v1", 32, max_episode_steps=limit, **how)
    config = replace(CARTPOLE, iterations=iterations, **settings)
    rows = list(ppo(env, MLPPolicy(4, 2, seed=seed), MLPCritic(4, seed=seed + 1000), config, seed=seed))
    env.close()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("done-ignored", {"mode": "same"}),  # with NEXT_STEP the masked step between two episodes cuts the trace
        ("truncation-as-termination", {"limit": 20}),
        ("not-detached", {}),
        ("old-logp-recomputed", {}),
        ("whitening-axis", {}),
        ("target-recomputed", {}),
        ("entropy-sign", {"entropy_coef": 0.01}),
        ("ratio-of-logs", {}),
        ("gradient-not-zeroed", {}),
        ("min-before-multiplying", {"iterations": 12}),
        ("autoreset-trained-on", {}),
    ],  # not reward-shifted: each reward is 1, so the shift changes nothing
)
def test_a_sick_cart_pole_run_gets_the_same_symptom(name, settings):
    settings = {"iterations": 3} | settings
    with PATIENTS[name]:
        rows = cart_pole(100, **settings)
    assert names(rows)[0] in MUST[name]


# ---- the healthy -----------------------------------------------------------------------------------------------------

HEALTHY = {
    "default": {},
    "plain": {"objective": "plain"},
    "penalty, fixed": {"objective": "penalty", "kl": FixedKL(10.0), "lr": 0.3, "target_kl": None},
    "penalty, paper": {"objective": "penalty", "kl": PaperKL(1.0, 0.02), "lr": 0.1, "target_kl": None},
    "mini-batches": {"minibatches": 4, "lr": 0.1},
    "asymmetric": {"eps": 0.1, "eps_high": 0.3, "dual_clip": 3.0},
    "value clip": {"value_clip": 0.5},
    "not whitened": {"whiten": False},
    "entropy": {"entropy_coef": 0.1},
    "one short": {"iterations": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", HEALTHY.values(), ids=HEALTHY)
def test_no_alarm_in_the_maze_with_tables(settings):
    no_alarm(train("table", range(100, 164), **settings)[2])


@pytest.mark.slow
def test_no_alarm_in_the_maze_with_networks():
    no_alarm(train("network", UNSEEN, **NETWORK)[2])


@pytest.mark.slow
def test_no_alarm_in_a_slippery_maze_of_little_time_nor_in_the_clinic():
    no_alarm(train("table", UNSEEN, Maze(slip=0.2, max_steps=30), iterations=40)[2])
    no_alarm(clinic.examine(None, range(100, 164)))
    no_alarm(clinic.examine(None, range(100, 108), vector=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "mode", "limit"), [(100, "next", 500), (101, "next", 500), (102, "next", 500), (103, "same", 100)]
)
def test_no_alarm_on_cart_pole(seed, mode, limit):
    rows = cart_pole(seed, 24, mode=mode, limit=limit)
    assert max(row.get("return_mean", 0) for row in rows) > 90, "it learned"
    no_alarm(rows)


@pytest.mark.slow
def test_no_alarm_on_a_pendulum():
    env = gymnasium.make_vec("Pendulum-v1", 16, vectorization_mode="sync")
    config = PPOConfig(
        iterations=24,
        steps=64,
        minibatches=4,
        lr=1e-3,
        critic_lr=1e-3,
        gamma=0.9,
        target_kl=None,
        normalize_rewards=True,
    )
    no_alarm(list(ppo(env, GaussianPolicy(3, 1, seed=100), MLPCritic(3, seed=1100), config, seed=100)))
    env.close()


@pytest.mark.slow
def test_no_alarm_for_other_trainers():
    for trainer, config in ((reinforce, ReinforceConfig()), (actor_critic, ActorCriticConfig())):
        no_alarm(list(trainer(Maze(), TabularPolicy(seeds=(16,)), TabularCritic(seeds=(16,)), config, seed=UNSEEN)))


# ---- runs that went wrong without a bug -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"lr": 0.0}, "learning rate 0"),
        ({"critic_lr": 0.0}, "dead critic"),
        ({"objective": "plain", "target_kl": None}, "KL runaway"),
        ({"lr": 3.0, "target_kl": None}, "KL runaway"),
        ({"lr": 0.05, "epochs": 1}, "reward flat"),
    ],
)
def test_settings_that_go_wrong_are_named(settings, expected):
    assert expected in names(train("table", range(16), **settings)[2])


def history(rows=24, **columns):
    """Rows of a run that improves; columns: a value, or a function of the row's number."""
    usual = {
        "return_mean": lambda t: t / 10,
        "entropy": lambda t: 1.3 - t / 30,
        "approx_kl": 0.01,
        "clip_fraction": 0.1,
        "value_loss": 1.0,
        "policy_loss": -0.02,
        "grad_norm": 0.3,
        "explained_variance": 0.5,
        "lr": 0.1,
    }
    made = {name: x if callable(x) else (lambda t, x=x: x) for name, x in (usual | columns).items()}
    return [{"iteration": t} | {name: x(t) for name, x in made.items() if x(t) is not None} for t in range(rows)]


CASES = {
    "nothing": ({}, []),
    "not finite": ({"value_loss": lambda t: np.inf if t == 5 else 1.0}, ["not finite"]),
    "ratio off 1": ({"ratio_error": 0.02}, ["ratio off 1"]),
    "rounding of float32": ({"ratio_error": 1e-6, "target_error": 1e-4, "gradient_error": 1e-6}, []),
    "targets of large returns": ({"target_error": 0.5, "value_loss": 1e6}, []),
    "targets": ({"target_error": 2.0, "value_loss": 1e6}, ["wrong value targets"]),
    "whitened": ({"advantage_std": 0.97}, ["weights not whitened"]),
    "no signal": ({"advantage_std": 1e-5}, ["no learning signal"]),
    "signal fades": ({"advantage_std": lambda t: 0.9 ** max(0, t - 8)}, []),
    "saturated": ({"clip_fraction": 0.7}, ["clip fraction saturated"]),
    "collapse": (
        {"entropy": lambda t: 1.3 * 0.5**t, "return_mean": lambda t: min(t, 15 - t / 2)},
        ["entropy collapse"],
    ),
    "certain and good": ({"entropy": lambda t: 1.3 * 0.5**t}, []),
    "a critic that says nothing": ({"explained_variance": 0.01}, ["dead critic"]),
    "returns that hardly vary": ({"explained_variance": -9.0}, []),
    "gradient": ({"grad_norm": lambda t: 1.2**t}, ["gradient growing"]),
    "critic loss": ({"value_loss": lambda t: 1.2**t, "return_mean": -1.0}, ["critic loss growing", "reward flat"]),
    "higher returns": ({"value_loss": lambda t: 1.2**t}, []),
    "falling": ({"return_mean": lambda t: -t}, ["reward falling"]),
    "flat": ({"return_mean": lambda t: (t % 3) - 1.0}, ["reward flat"]),
    "a language model's score": ({"return_mean": None, "score": lambda t: (t % 3) - 1.0}, ["reward flat"]),
    "no reply ended": ({"return_mean": None, "ended": 0.0}, ["no episode ended"]),
    "replies end": ({"return_mean": None, "ended": 0.5, "score": lambda t: t / 10}, []),
    "a KL too large": ({"approx_kl": lambda t: 0.8 if t == 7 else 0.01}, ["KL runaway"]),
}


@pytest.mark.parametrize(("columns", "expected"), CASES.values(), ids=CASES)
def test_made_up_histories(columns, expected):
    assert names(history(**columns)) == expected
    many = [
        {name: np.array([x] * 4) if name != "iteration" else x for name, x in r.items()} for r in history(**columns)
    ]
    assert names(many) == expected


# ---- language models -------------------------------------------------------------------------------------------------


def replies(rows=24, **columns):
    """Rows of rlhf from a run that goes well, much like the help desk's with beta 0.1."""
    usual = {
        "return_mean": None,
        "score": lambda t: 1.2 - 1.1 * 0.9**t,
        "kl_ref": lambda t: 4 - 4 * 0.9**t,
        "length": 20.0,
        "ended": 1.0,
        "beta": 0.1,
        "entropy": lambda t: 0.35 + 0.22 * 0.9**t,
        "approx_kl": 0.005,
        "clip_fraction": 0.01,
        "value_loss": 0.1,
        "lr": 3e-4,
    }
    return history(rows, **usual | columns)


def late(before, after):
    """A number that changes half way."""
    return lambda t: before if t < 12 else after


REPLIES = {
    "nothing": ({}, []),
    "no leash": ({"kl_ref": float}, ["far from the reference"]),
    "a hack after a badly fine-tuned start": (  # the reference finds its own tokens 1.21 nats improbable, these 1.61
        {"length": 16.0, "kl_ref": lambda t: 20.9 * (1 - 0.8**t), "entropy": lambda t: 0.3 + 0.91 * 0.8**t},
        ["far from the reference"],
    ),
    "a hack after no fine-tuning": (
        {"length": 16.0, "kl_ref": lambda t: 60 * (1 - 0.8**t), "entropy": lambda t: 0.3 + 6.5 * 0.8**t},
        ["far from the reference"],
    ),
    "a bad start that only sharpens": (
        {"length": 16.0, "kl_ref": lambda t: 10.4 * (1 - 0.8**t), "entropy": lambda t: 0.3 + 0.91 * 0.8**t},
        [],
    ),
    "far in nats, near in each token": ({"kl_ref": float, "length": 400.0}, []),
    "a few nats": ({"kl_ref": 8.0}, []),
    "below 0": ({"kl_ref": lambda t: -t / 20 - t % 2 / 50}, ["KL below 0"]),
    "noise about 0": ({"kl_ref": lambda t: (-1) ** t / 4 - 0.02}, []),
    "no end": ({"ended": late(0.9, 0.2)}, ["replies no longer end"]),
    "they learn to end": ({"ended": late(0.2, 0.9)}, []),
    "silence": ({"length": late(20.0, 4.0)}, ["replies shrink"]),
    "talk": ({"length": late(20.0, 90.0)}, ["replies grow"]),
    "somewhat longer": ({"length": late(20.0, 40.0)}, []),
    "one reply": ({"entropy": lambda t: 0.6 * 0.7**t}, ["replies all alike"]),
    "still": ({"approx_kl": 4e-7, "kl_ref": 0.01}, ["policy stands still"]),
    "still and flat": ({"approx_kl": 4e-7, "score": lambda t: t % 3 / 9}, ["policy stands still", "reward flat"]),
    "learning rate 0": ({"approx_kl": 0.0, "lr": 0.0}, ["learning rate 0"]),
    "much clipped": ({"clip_fraction": 0.1}, []),
    "clip range too small": ({"clip_fraction": 0.18}, ["clipping does the braking"]),
    "far too small": ({"clip_fraction": 0.7}, ["clip fraction saturated"]),
}


@pytest.mark.parametrize(("columns", "expected"), REPLIES.values(), ids=REPLIES)
def test_made_up_histories_of_replies(columns, expected):
    assert names(replies(**columns)) == expected


SWEEP = Path(diagnose.__file__).parent.parent / "data" / "sweep.json"
FINE = {"beta 0.02", "beta 0.05", "beta 0.1", "beta 0.3", "ziegler", "ptx"}


@pytest.mark.skipif(not SWEEP.exists(), reason="data/sweep.json is not there; python -m course sweep writes it")
def test_the_runs_of_the_sweep():
    """Every seed: a price of 0.02 to 0.3 gives no alarm at any time, no price gives the right one in the end."""
    runs = json.loads(SWEEP.read_text("utf-8"))["runs"]
    seen = set()
    for run in runs:
        count = len(run["rows"]["score"])
        rows = [{name: x[t] for name, x in run["rows"].items() if x[t] is not None} for t in range(count)]
        what = f"{run['name']}, seed {run['seed']}"
        if run["name"] in FINE:
            found = {name for end in (3, 10, 20, 30, count) for name in names(rows[:end])}
            assert not found, what
        elif run["name"] == "beta 0":
            assert names(rows) == names(rows[:60]) == ["far from the reference", "no price on KL"], what
            assert names(rows[:3]) == names(rows[:10]) == ["no price on KL"], what
        elif run["name"] == "lr 3e-6":
            assert names(rows)[0] == "policy stands still", what
        elif run["name"] == "clip 0.001":
            assert names(rows) == ["clipping does the braking"], what
        seen.add(run["name"])
    assert {"beta 0", "beta 0.1", "lr 3e-6", "clip 0.001"} <= seen


def test_symptoms_of_replies_need_rows_of_replies():
    assert names(history(approx_kl=4e-7, clip_fraction=0.18)) == []
    assert names(replies(9, approx_kl=4e-7)) == [] and names(replies(19, kl_ref=lambda t: 2.0 * t)) == []
    (symptom,) = diagnose.diagnose(replies(kl_ref=float))
    assert "20.5 nats a reply, " in symptom.evidence and symptom.name == "far from the reference"


THREE = {
    "nothing": ({"score_std": 0.4, "distinct": 0.9}, []),
    "a constant score": ({"score_std": 0.0, "score": 1.0}, ["score without spread"]),
    "rounding": ({"score_std": 1e-7, "score": 1.0}, ["score without spread"]),
    "one score less": ({"score_std": lambda t: 0.0 if t else 0.1}, []),
    "one text": ({"distinct": 0.0}, ["one reply to all"]),
    "three texts to 64 prompts": ({"distinct": 2 / 63}, ["one reply to all"]),
    "some twice": ({"distinct": 0.5}, []),
    "beta 0": ({"beta": 0.0}, ["no price on KL"]),
    "beta 0 and a price in the loss": ({"beta": 0.0, "kl_loss": 0.05}, []),
    "beta 0 and none in the loss": ({"beta": 0.0, "kl_loss": 0.0}, ["no price on KL"]),
    "a price in one row": ({"beta": lambda t: 0.1 * (t == 1)}, []),
    "all at once": (
        {"score_std": 0.0, "distinct": 0.0, "beta": 0.0},
        ["one reply to all", "score without spread", "no price on KL"],
    ),
}


@pytest.mark.parametrize(("columns", "expected"), THREE.values(), ids=THREE)
def test_what_shows_in_three_rows(columns, expected):
    assert names(replies(3, **columns)) == names(replies(12, **columns)[:3]) == expected
    assert names(replies(2, **columns)) == []
    assert names(history(3, **{name: x for name, x in columns.items() if name != "score"})) == [], "no replies"


def test_no_price_is_told_of_rows_without_a_kl():
    rows = [{name: x for name, x in row.items() if name != "kl_ref"} for row in replies(12, beta=0.0)]
    (symptom,) = diagnose.diagnose(rows)
    assert symptom.name == "no price on KL" and "nan" not in str(symptom)


def test_a_score_that_stops_to_vary_is_told_then():
    rows = replies(12, score_std=lambda t: 0.3 if t < 9 else 0.0, distinct=lambda t: 1.0 if t < 9 else 0.01)
    assert names(rows) == ["one reply to all", "score without spread"] and names(rows[:11]) == []


# ---- rows of other libraries -----------------------------------------------------------------------------------------

LOGS = {  # what each of them calls it
    "verl": ["actor/pg_loss", "actor/ppo_kl", "actor/pg_clipfrac", "critic/vf_explained_var"],
    "TRL": ["loss/policy_avg", "policy/approxkl_avg", "policy/clipfrac_avg", None],
    "OpenRLHF": ["policy_loss", "ppo_kl", "ppo_clip_ratio", None],
    "Stable-Baselines3": ["train/policy_gradient_loss", "train/approx_kl", "train/clip_fraction", None],
    "CleanRL": ["losses/policy_loss", "losses/approx_kl", "losses/clipfrac", "losses/explained_variance"],
}


def log(library, rows=40, loss=-0.02, kl=0.005, clipped=0.05, explained=0.5):
    values = dict(zip(LOGS[library], (loss, kl, clipped, explained)))
    return [{"step": t} | {name: x for name, x in values.items() if name} for t in range(rows)]


@pytest.mark.parametrize("library", LOGS)
def test_rows_of_other_libraries_are_recognised(library):
    assert names(log(library)) == [], "above all no episode that never ended: their rows have no return_mean"
    assert names(log(library, loss=np.nan)) == ["not finite"]
    assert names(log(library, kl=5.0, clipped=0.9)) == ["KL runaway", "clip fraction saturated"]
    known = [name for name in LOGS[library] if name and name != "policy_loss"]
    assert all(f"{name} as {FOREIGN[name]}" in report(log(library)) for name in known)
    assert all(name in report(log(library, kl=5.0)) for name in known)


def test_what_clean_rl_writes_is_read():
    """The scalars of cleanrl/ppo.py and ppo_atari_envpool.py that say what a column of ours says."""
    losses = {f"losses/{name}": 0.1 for name in ("value_loss", "policy_loss", "entropy", "approx_kl", "clipfrac")}
    row = losses | {"losses/explained_variance": 0.5, "losses/old_approx_kl": -0.1, "charts/learning_rate": 1e-3}
    ours = {"value_loss", "policy_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance", "lr"}
    for name in ("charts/episodic_return", "charts/avg_episodic_return"):
        assert set(History([row | {name: 9.0, "charts/SPS": 100}]).foreign.values()) == ours | {"return_mean"}


def test_names_of_other_libraries_never_take_the_place_of_ours():
    rows = [row | {"actor/ppo_kl": 9.0, "reward": 3.0} for row in replies()]
    assert names(rows) == [] and "another library" not in report(rows)


def test_rows_whose_names_nobody_knows_have_no_disease():
    rows = [{"agent/loss": np.nan, "agent/steps": t} for t in range(40)]
    assert names(rows) == [] and report(rows).startswith(
        f"No symptom in 40 rows, but that is no all-clear: 0 of {RULES} rules could be asked. They hold none of "
    )


def test_every_name_of_another_library_is_read_as_a_column_of_ours():
    ours = set(FOREIGN.values())
    assert ours <= set(COLUMNS) and not ours & set(FOREIGN)


def test_a_word_in_the_place_of_a_number_is_named():
    with pytest.raises(ValueError, match="history: entropy must be a number in every row that has it"):
        diagnose.diagnose([{"entropy": "low"}])
    assert names([{"entropy": None, "approx_kl": 0.9}]) == ["KL runaway"]


def test_no_episode_ended_for_long():
    assert names(history(29, return_mean=None)) == []
    assert names(history(30, return_mean=None)) == ["no episode ended"]


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_symptoms_of_few_rows_are_told_with_how_many_rules_could_be_asked():
    text = report(history(12, approx_kl=0.8))
    assert text.startswith("1. KL runaway: ") and text.endswith(
        f"\nOf 12 rows 3 of {RULES} rules could be asked. Trends need 20 rows."
    )
    assert "could be asked" not in report(history(20, approx_kl=0.8))


def test_the_evidence_holds_the_numbers_and_how_many_seeds():
    (symptom,) = diagnose.diagnose(history(approx_kl=lambda t: 0.8 if t == 7 else 0.01))
    assert (
        symptom
        == Symptom(
            "KL runaway", "one update moved the policy by KL 0.80 (row 7; the median is 0.01).", symptom.try_first
        )
        and "target_kl" in symptom.try_first
    )
    three_of_eight = [row | {"approx_kl": np.array([0.9, 0.7, 0.8] + [0.01] * 5)} for row in history(3)]
    (symptom,) = diagnose.diagnose(three_of_eight)
    assert "KL 0.80" in symptom.evidence and "(3 of 8 seeds)" in symptom.evidence
    assert not diagnose.diagnose([row | {"approx_kl": np.array([0.9] + [0.01] * 7)} for row in history(3)])


@pytest.mark.parametrize(("seeds", "sick"), [(5, 1), (16, 1), (16, 3)])
def test_a_report_does_not_clear_the_few_seeds_that_are_sick(seeds, sick):
    """Below a quarter no symptom is named; that such a run is healthy would be false all the same."""
    kl = np.array([0.9] * sick + [0.01] * (seeds - sick))
    text = report([row | {"approx_kl": kl} for row in history(30)])
    assert text.startswith("No symptom in 30 rows of most seeds; ")
    assert text.endswith(f"\nIn fewer than a quarter of the seeds: KL runaway ({sick} of {seeds}).")
    assert "most seeds" not in report([row | {"approx_kl": np.full(seeds, 0.01)} for row in history(30)])
    assert "a quarter" not in report([row | {"approx_kl": np.array([0.9, 0.01])} for row in history(30)])


@pytest.mark.filterwarnings("error")
def test_how_far_the_reference_is_can_be_told_without_an_entropy_only_beyond_a_nat_a_token():
    """The evidence said "finds a token nan nats improbable"; below a nat the rule counted as asked, and was not."""
    rows = [{"kl_ref": 18.0, "length": 9.0, "score": t / 10} for t in range(24)]
    (symptom,) = diagnose.diagnose(rows)
    assert symptom.name == "far from the reference" and "18.0 nats a reply, 2.00 a token:" in symptom.evidence
    near = History([row | {"length": 60.0} for row in rows])
    assert "far from the reference" not in {rule.name for rule, *_ in diagnose.asked(near)}
    known = History([row | {"length": 60.0, "entropy": 1.0} for row in rows])
    assert "far from the reference" in {rule.name for rule, *_ in diagnose.asked(known)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tracked", [False, True])
def test_numbers_may_be_tensors_of_any_float_that_carry_a_gradient(dtype, tracked):
    rows = [
        {name: torch.tensor(float(x), dtype=dtype, requires_grad=tracked) for name, x in row.items()}
        for row in history(30, approx_kl=0.8)
    ]
    assert report(rows).startswith("1. KL runaway: one update moved the policy by KL 0.80 (row 0;")


def test_a_report_is_text_the_most_serious_first():
    text = report(iter(history(approx_kl=0.8, ratio_error=0.5)))
    first, try_this, second, _ = text.splitlines()
    assert first.startswith("1. ratio off 1: ") and try_this.startswith("    try first: ")
    assert second.startswith("2. KL runaway: ")


FEW = {  # rows: how many rules can be asked, counted by hand, and the rest of the sentence
    "none": (
        [],
        f"No row, so 0 of {RULES} rules could be asked. Pass what the trainer yielded: report(list(ppo(...))).",
    ),
    "two": (
        history(2),  # not finite, learning rate 0, KL runaway
        f"No symptom in 2 rows, but that is no all-clear: 3 of {RULES} rules could be asked. Trends need 20 rows.",
    ),
    "19": (
        history(19),
        f"No symptom in 19 rows, but that is no all-clear: 3 of {RULES} rules could be asked. Trends need 20 rows.",
    ),
    "20": (
        history(20),  # and collapse, falling, flat, gradient, critic loss, dead critic, saturated
        f"No symptom in 20 rows; 10 of {RULES} rules could be asked, the others had too few numbers: trends need 20.",
    ),
    "rows that say nothing": (
        [{"iteration": t} for t in range(25)],
        f"No symptom in 25 rows, but that is no all-clear: 0 of {RULES} rules could be asked. They hold none of "
        "policy_loss, value_loss, entropy, grad_norm, kl, approx_kl.",
    ),
    "19 returns in 30 rows": (
        [row if t < 19 else row | {"return_mean": None} for t, row in enumerate(history(30))],
        f"No symptom in 30 rows; 9 of {RULES} rules could be asked, the others had too few numbers: trends need 20.",
    ),
    "returns alone": (
        [{"return_mean": t / 10} for t in range(25)],
        f"No symptom in 25 rows, but that is no all-clear: 2 of {RULES} rules could be asked. They hold none of "
        "policy_loss, value_loss, entropy, grad_norm, kl, approx_kl.",
    ),
}


@pytest.mark.parametrize(("rows", "expected"), FEW.values(), ids=FEW)
def test_no_symptom_is_an_all_clear_only_where_rules_could_be_asked(rows, expected):
    assert report(rows) == expected
    many = [{name: np.array([x] * 4) if name != "iteration" else x for name, x in row.items()} for row in rows]
    assert report(many) == expected


def test_a_healthy_run_is_cleared_by_all_that_is_not_about_replies():
    rows = train("table", 0)[2]
    about_others = sum(rule.replies for rule in diagnose.RULES) + 1  # and "no episode ended", which waits for 30 rows
    found = report(rows)
    assert found.startswith(f"No symptom in {len(rows)} rows; ")
    asked = int(found.split("; ")[1].split(" of ")[0])
    assert RULES - about_others - 3 <= asked <= RULES - about_others  # a critic or a clip may have nothing to tell
    assert report(rows[:3]).startswith("No symptom in 3 rows, but that is no all-clear: ")


@pytest.mark.parametrize("start", [0, 3, 12])
def test_a_policy_that_never_moves_though_it_has_a_gradient(start):
    """As after a parameter was replaced in row `start`."""
    still = {"kl": lambda t: 0.01 if t < start else 0.0}
    assert names(history(**still)) == ["policy frozen"]
    assert names(history(**still | {"kl": lambda t: 0.01 if t < start or t == 23 else 0.0})) == []
    assert names(history(**still, grad_norm=0.0)) == [] and names(history(**still, lr=0.0)) == ["learning rate 0"]
    (symptom,) = diagnose.diagnose(history(**still))
    assert "all 12 rows of the second half" in symptom.evidence and "0.3 long" in symptom.evidence


def test_two_rows_are_too_few_to_call_a_policy_frozen():
    assert names(history(2, kl=0.0)) == [] and names(history(3, kl=0.0)) == ["policy frozen"]


def test_the_ceiling_is_the_widest_clip_range():
    rows = history(policy_loss=-0.3, advantage_std=1.0)
    assert names(rows) == ["objective above its ceiling"] and not diagnose.diagnose(rows, eps=0.3)


def test_what_is_no_history_is_refused():
    with pytest.raises(TypeError, match=r"rows as a trainer yields them.*; got a dict with a str.*\[row\].*table"):
        diagnose.diagnose({"kl": 0.1})
    mixed = [{"entropy": np.ones(4)}, {"entropy": np.ones(8)}]
    with pytest.raises(ValueError, match=r"arrays of \[4, 8\] seeds; diagnose each run by itself"):
        diagnose.diagnose(mixed)


def test_it_stands_on_numpy_alone():
    tree = ast.parse(Path(diagnose.__file__).read_text("utf-8"))
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    named = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    named |= {"." * n.level + (n.module or "") for n in nodes if isinstance(n, ast.ImportFrom)}
    assert named <= {"warnings", "collections.abc", "dataclasses", "functools", "typing", "numpy", ".columns"}


def test_every_symptom_has_its_judge_and_every_judge_its_symptom():
    names = [rule.name for rule in diagnose.RULES]
    table = tomllib.loads(Path(diagnose.__file__).with_suffix(".toml").read_text("utf-8"))["symptom"]
    by_numbers = [symptom["name"] for symptom in table if diagnose.BY_NUMBERS.keys() & symptom.keys()]
    written = [
        name
        for name, x in vars(diagnose).items()
        if inspect.isfunction(x) and [*inspect.signature(x).parameters] == ["table", "eps"]
    ]
    by_name = ["_" + name.lower().replace(" ", "_") for name in names if name not in by_numbers]
    assert sorted(by_name) == sorted({*written} - {"asked"}) and len(set(names)) == len(names)
    assert all(rule.evidence.endswith((".", "?")) and rule.try_first.endswith((".", "?")) for rule in diagnose.RULES)


def test_rows_of_fine_tuning_are_not_told_that_no_episode_ended():
    """They have a gradient norm, and no episodes."""
    rows = [{"step": i, "loss": 2.0, "lr": 1e-3, "grad_norm": 1.0, "tokens": 9} for i in range(40)]
    assert "no episode ended" not in report(rows)


@pytest.mark.parametrize("x", [np.ones(3), [1.0, 2.0], torch.ones((), requires_grad=True)])
def test_a_column_that_cannot_be_read_is_named(x):
    try:
        report([{"score": x, "kl_ref": 0.1}] * 3)
    except ValueError as error:
        assert "score" in str(error)
