"""The bug clinic: every patient is an edit of the real source, sick inside its `with` only, and really sick there."""

import inspect
import time

import numpy as np
import pytest
import torch

from course.clinic import ward as clinic
from course.clinic.ward import CLINIC, MAZE, PATIENTS, WARD, Edit, Patient, examine
from ppo_lesson import objectives, optim, ppo, returns, vector
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.rollout import Rollout

FUNCTIONS = {
    "ppo.ppo_update": ppo.ppo_update,
    "ppo.ppo_loss": ppo.ppo_loss,
    "ppo.minibatches": ppo.minibatches,
    "returns.gae": inspect.unwrap(returns.gae),
    "rollout.Rollout.gae": Rollout.gae,
    "optim.Adam.backward": optim.Adam.backward,
    "objectives.clipped_surrogate": objectives.clipped_surrogate,
    "objectives._ratio": objectives._ratio,
    "vector.VectorBatch.step": vector.VectorBatch.step,
}


def codes():
    return {name: function.__code__ for name, function in FUNCTIONS.items()}


def train(seeds=range(2), iterations=2):
    policy, critic = TabularPolicy(seeds=(len(seeds),)), TabularCritic(seeds=(len(seeds),))
    config = ppo.PPOConfig(iterations=iterations, steps=16, target_kl=None, entropy_coef=0.03)
    list(ppo.ppo(MAZE, policy, critic, config, seed=seeds))
    return policy.logits.detach().clone()


# ---- the mechanism ---------------------------------------------------------------------------------------------------


def test_there_are_twelve_patients_each_with_its_own_name_words_and_thread():
    assert len(WARD) == len(PATIENTS) == len({p.disease for p in WARD}) == len({p.edits for p in WARD}) == 12
    assert all(p.threads and "#" in " ".join(p.threads) for p in WARD)
    assert {edit.function for p in WARD for edit in p.edits} == set(FUNCTIONS)


@pytest.mark.parametrize("patient", WARD, ids=PATIENTS)
def test_a_patient_is_an_edit_of_the_true_source(patient):
    for edit in patient.edits:
        true = inspect.getsource(FUNCTIONS[edit.function])
        assert true.count(edit.healthy.rstrip("\n")) == 1 and inspect.getsource(edit.made()) != true
    lines = [line for line in patient.diff().splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert 1 <= len(lines) <= 2 * len(patient.edits)
    true = {line.strip() for function in FUNCTIONS.values() for line in inspect.getsource(function).splitlines()}
    for line in lines:
        here = line[1:].strip() in true
        assert here == (line[0] == "-"), "what is taken away stands in the source, what is put there does not"
        assert line[0] == "-" or line[1:].strip() in map(str.strip, patient.source().splitlines())


@pytest.mark.parametrize("patient", WARD, ids=PATIENTS)
def test_the_disease_lasts_as_long_as_the_with_and_reaches_its_functions_only(patient):
    before = codes()
    with patient as who:
        assert who is patient
        changed = {name for name, code in codes().items() if code is not before[name]}
        assert changed == {edit.function for edit in patient.edits}
        for edit in patient.edits:
            assert edit.sick.strip() in inspect.getsource(FUNCTIONS[edit.function]), "tracebacks show the sick line"
    assert codes() == before


def test_everybody_who_imported_the_function_gets_the_sick_one():
    ratio, advantage, old = torch.tensor([3.5]), torch.tensor([-1.0]), torch.zeros(1)
    by_name = objectives.clipped_surrogate
    with PATIENTS["min-before-multiplying"]:
        assert by_name(ratio.log(), old, advantage).item() == pytest.approx(-1.2)
        assert ppo.clipped_surrogate(ratio.log(), old, advantage).item() == pytest.approx(-1.2)
    assert by_name(ratio.log(), old, advantage).item() == pytest.approx(-3.5)


def test_after_an_error_the_trainer_is_healthy_again_bit_by_bit():
    before, healthy = codes(), train()
    with pytest.raises(ZeroDivisionError), PATIENTS["entropy-sign"]:
        assert not torch.equal(train(), healthy)
        raise ZeroDivisionError
    assert codes() == before and torch.equal(train(), healthy)


def test_diseases_of_one_function_add_up_and_go_in_turn():
    source = lambda: inspect.getsource(ppo.ppo_loss)  # noqa: E731
    with PATIENTS["entropy-sign"]:
        with PATIENTS["old-logp-recomputed"]:
            assert "loss + config.entropy_coef" in source() and "logp_old=logp.detach()" in source()
        assert "loss + config.entropy_coef" in source() and "logp_old=logp.detach()" not in source()
    assert "loss + config.entropy_coef" not in source()


def test_nobody_falls_ill_twice_of_the_same():
    before = codes()
    with PATIENTS["entropy-sign"]:
        inside = codes()
        with pytest.raises(ValueError, match=r"ppo.ppo_loss must hold this text once, found 0 times: 'loss = loss -"):
            PATIENTS["entropy-sign"].__enter__()
        assert codes() == inside
    assert codes() == before


@pytest.mark.parametrize(("healthy", "times"), [("no such line", 0), ("advantages", "[0-9]+")])
def test_when_the_source_no_longer_fits_nothing_is_changed(healthy, times):
    before = codes()
    good = PATIENTS["entropy-sign"].edits[0]
    patient = Patient("new", "new", (good, Edit("objectives.clipped_surrogate", healthy, "x")), ("x #1",))
    with pytest.raises(ValueError, match=f"clipped_surrogate must hold this text once, found {times} times"):
        patient.__enter__()
    assert codes() == before


# ---- the diseases, each at its own function --------------------------------------------------------------------------


def small_rollout():
    """Three steps: the second terminates, the third is truncated."""
    flags = {"terminated": [False, True, False], "truncated": [False, False, True], "mask": [True] * 3}
    numbers = {"rewards": [1.0, 2.0, 4.0], "values": [0.0] * 3, "next_values": [0.0, 0.0, 10.0]}
    none = torch.zeros(1, 3)
    columns = {name: torch.tensor([x]) for name, x in (flags | numbers).items()}
    return Rollout(observations=none, actions=none, logp=none, next_observations=none, episode_returns=none, **columns)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, [2.0, 2.0, 9.0]),  # 1 + .5 * 2; 2; 4 + .5 * 10
        ("done-ignored", [4.25, 6.5, 9.0]),
        ("truncation-as-termination", [2.0, 2.0, 4.0]),
        ("reward-shifted", [4.5, 1.0, 7.0]),
    ],
)
def test_value_targets_of_the_sick(name, expected):
    if name is None:
        targets = small_rollout().gae(0.5, 1.0)[1]
    else:
        with PATIENTS[name]:
            targets = small_rollout().gae(0.5, 1.0)[1]
    assert targets[0].tolist() == expected


def test_the_ratio_of_logs_pushes_the_wrong_way():
    logp, old = torch.tensor([-1.0], requires_grad=True), torch.tensor([-1.0])
    with PATIENTS["ratio-of-logs"]:
        objectives.surrogate(logp, old, torch.tensor([2.0])).backward()
    assert logp.grad.item() == -2.0, "an action that was good becomes less likely"


def test_a_gradient_that_is_not_set_to_zero_adds_up():
    x = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = optim.Adam([([x], 0.1)])
    with PATIENTS["gradient-not-zeroed"]:
        optimizer.backward(3 * x.sum())
        optimizer.backward(3 * x.sum())
    assert optimizer.grad.item() == 6.0
    optimizer.backward(3 * x.sum())
    assert optimizer.grad.item() == 3.0


# ---- examinations ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examined():
    """name -> rows and processor seconds, seeds 0-15; None is the healthy trainer, "vector" also, in SyncVectorEnvs."""
    results = {}
    for patient in (None, *WARD):
        began = time.process_time()
        results[patient and patient.name] = examine(patient), time.process_time() - began
    results["vector"] = examine(vector=True), 0.0
    return results


def last(examined, name):
    return examined[name][0][-1]["J"]


@pytest.mark.slow
def test_an_examination_is_the_run_that_you_would_make(examined):
    rows, _ = examined["entropy-sign"]
    assert len(rows) == CLINIC.iterations and [row["iteration"] for row in rows] == list(range(CLINIC.iterations))
    assert all(row[name].shape == (16,) for row in rows for name in ("J", "entropy", "approx_kl", "ratio_error"))
    with PATIENTS["entropy-sign"]:
        policy = TabularPolicy()
        alone = list(ppo.ppo(MAZE, policy, TabularCritic(), CLINIC, seed=3))
    assert [row["entropy"] for row in alone] == pytest.approx([row["entropy"][3] for row in rows])
    assert clinic.solve(policy.probs, 0.99, maze=MAZE).J.item() == pytest.approx(last(examined, "entropy-sign")[3])


@pytest.mark.slow
def test_every_disease_changes_every_seed(examined):
    for patient in WARD:
        healthy = examined["vector" if patient.vector else None][0]
        sick = examined[patient.name][0]
        assert all(np.all(a["entropy"] != b["entropy"]) for a, b in zip(healthy[3:], sick[3:])), patient.name


@pytest.mark.slow
def test_most_of_the_sick_still_learn(examined):
    healthy = last(examined, None)
    assert healthy.min() > 0.2, "from -12; the best policy has 0.299"
    medians = {patient.name: np.median(last(examined, patient.name)) for patient in WARD}
    lost = {patient.name: np.median(last(examined, "vector" if patient.vector else None)) for patient in WARD}
    lost = {name: lost[name] - J for name, J in medians.items()}
    assert lost.pop("ratio-of-logs") > 50 and lost.pop("gradient-not-zeroed") > 0.07
    assert max(lost.values()) < 0.06, "ten of twelve lose less than what three seeds can show"
    crashed = {name for name in medians if last(examined, name).min() < -1}
    assert {"old-logp-recomputed", "target-recomputed", "entropy-sign"} <= crashed, "in some seeds; nobody healthy does"


@pytest.mark.slow
def test_an_examination_is_quick(examined):
    seconds = [s for name, (_, s) in examined.items() if name != "autoreset-trained-on"]
    assert sorted(seconds)[len(seconds) // 2] < 4, "under 2 on a quiet thread"


@pytest.mark.slow
def test_vector_examinations_stand_beside_each_other(examined):
    rows, _ = examined["autoreset-trained-on"]
    assert rows[-1]["J"].shape == (16,) and np.median(rows[-1]["stale_starts"]) > 0.05
    assert all(np.all(row["stale_starts"] == 0) for row in examined["vector"][0])


def test_seeds_are_checked():
    with pytest.raises(ValueError, match="seeds must be"):
        examine(seeds=[-1])
