"""Notebook 10's own parts: the numbers of the patients, the batch of one update, and the functions that it shows."""

import inspect

import nbformat
import pytest

import notebooks
from course.clinic.numbered import NUMBERS, listing, patient, sick_line, sources
from course.clinic.record import collect
from course.clinic.ward import CLINIC, MAZE, PATIENTS
from course.exercises.assert_healthy import assert_healthy
from course.exercises.find_the_line import find_the_line
from course.exercises.reply_batch import tutorial
from course.exercises.reply_suite import suite
from course.exercises.rlhf_losses import rlhf_losses
from course.exercises.walk import the_loop
from course.exercises.ward_rounds import ROUNDS, SIGNS
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import ppo

ALL = range(1, 13)


def test_every_patient_has_one_number_and_the_order_gives_nothing_away():
    assert sorted(NUMBERS) == sorted(PATIENTS) == sorted(SIGNS)
    assert sum(a == b for a, b in zip(NUMBERS, PATIENTS)) <= 2
    with pytest.raises(ValueError, match="1 to 12"):
        patient(13)


def test_each_patient_is_asked_for_once_among_four_diseases():
    asked = [n for questions in ROUNDS for n in questions]
    assert sorted(asked) == list(ALL)
    for questions in ROUNDS:
        for n, names in questions.items():
            assert NUMBERS[n - 1] in names and len(set(names)) == 4
        right = [names.index(NUMBERS[n - 1]) for n, names in questions.items()]
        assert len(set(right)) >= 3


@pytest.mark.parametrize("n", ALL)
def test_listings_show_the_sick_line(n):
    healthy, sick = sources(n)
    line = sick_line(n)
    assert sick[line - 1] != healthy[line - 1] and f"{line:3}  {sick[line - 1]}" in listing(n)


def test_the_lines_in_the_solution_are_where_the_trainer_has_them():
    assert {n: find_the_line(n) for n in (3, 8, 9)} == {n: sick_line(n) for n in (3, 8, 9)}


def test_being_watched_changes_nothing():
    policy, critic = TabularPolicy(), TabularCritic()
    rows = ppo(MAZE, policy, critic, CLINIC, seed=5)
    batch = collect(seed=5, update=2)
    row = [next(rows) for _ in range(3)][-1]
    assert row["policy_loss"] == -batch.steps[-1].objective.mean().item()  # to the last digit
    assert len(batch.steps) == CLINIC.epochs and batch.steps[0].logp.shape == batch.rewards[batch.mask].shape


def test_a_copy_of_a_batch_has_tensors_of_its_own():
    batch = collect(PATIENTS["not-detached"], seed=0, update=1)
    copy = batch.copy()
    copy.rewards.zero_()
    assert batch.rewards.any() and copy.steps[0].weights.requires_grad and "sick" in repr(batch)


def accused(batch):
    try:
        assert_healthy(batch)
    except AssertionError:
        return True
    return False


@pytest.mark.slow
def test_the_solution_never_accuses_a_healthy_update():
    assert not any(accused(collect(seed=s, update=u)) for s in range(100, 108) for u in (0, 3, 10))
    assert not any(accused(collect(seed=s, update=u, vector=True)) for s in (100, 101) for u in (0, 3))


@pytest.mark.parametrize("n", ALL)
def test_the_solution_finds_every_patient_within_three_updates(n):
    assert any(accused(collect(patient(n), seed=100, update=u)) for u in (1, 2, 3))


def test_the_tutorial_fails_everywhere_and_its_repair_nowhere():
    assert suite(tutorial).count("✗") == 8 and suite(rlhf_losses).count("✓") == 8


@pytest.mark.parametrize("fn, cell", [(tutorial, "the-tutorial"), (the_loop, "the-loop")])
def test_the_notebook_shows_what_the_grader_knows(fn, cell):
    path = next(path for path in notebooks.all_notebooks() if path.name.startswith("10_"))
    shown = next(c.source for c in nbformat.read(path, 4).cells if c.id == cell)

    def code(source):
        lines = source.replace(inspect.getdoc(fn) or "\0", "").splitlines()
        return [line.rstrip() for line in lines if line.strip().strip('"')]

    assert code(shown) == code(inspect.getsource(fn))
