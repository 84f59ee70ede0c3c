"""The ward of notebook 15: each sick language-model run is found by the number that is named, a healthy one by none."""

import inspect
import math

import pytest

from course.clinic import language as ward
from course.clinic.language import FOUND_BY, NUMBERS, PATIENTS, examine, off
from course.desk.make import ROOT
from course.desk.sweep import load_desk

SEEDS = range(4)


@pytest.fixture(scope="module")
def desk():
    return load_desk()


def codes():
    return {edit.function: edit.find().__code__ for patient in PATIENTS.values() for edit in patient.edits}


def test_the_patients_are_edits_of_the_true_source_with_words_and_threads():
    assert (
        len(PATIENTS) == len({p.disease for p in PATIENTS.values()}) == len({p.edits for p in PATIENTS.values()}) == 8
    )
    assert FOUND_BY.keys() == PATIENTS.keys() and set(FOUND_BY.values()) <= NUMBERS.keys()
    for name, patient in PATIENTS.items():
        assert patient.name == name and all("#" in thread for thread in patient.threads) and patient.threads
        for edit in patient.edits:
            true = inspect.getsource(edit.find())
            assert true.count(edit.healthy) == 1 and edit.sick not in true
        lines = [x for x in patient.diff().splitlines() if x[0] in "+-" and x[:3] not in ("+++", "---")]
        assert len(lines) == 2, "one line is taken away, one is put there"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_of_a_healthy_run_no_number_is_off(desk, seed):
    numbers = examine(desk, seed=seed)
    assert off(numbers) == [] and numbers.keys() == NUMBERS.keys()
    assert not any(math.isnan(x) for x in numbers.values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PATIENTS)
@pytest.mark.slow
def test_a_patient_is_found_by_the_number_that_is_named(desk, name, seed):
    before = codes()
    assert off(examine(desk, PATIENTS[name], seed=seed))[0] == FOUND_BY[name]
    assert codes() == before, "the trainer is healthy again"


def test_each_number_finds_somebody_or_is_off_with_another():
    asked = set(NUMBERS) - set(FOUND_BY.values())
    assert asked == {"KL at the start"}, "of a wrong temperature the first ratio is asked before"


def test_a_number_that_is_none_is_off():
    fine = {name: x["least"] for name, x in NUMBERS.items()}
    assert off(fine) == []
    assert [off(fine | {name: math.nan}) for name in NUMBERS] == [[name] for name in NUMBERS]


def test_the_log_that_the_notebook_reads_is_the_one_that_the_tests_read():
    ours, theirs = ROOT / "data" / "verl.txt", ROOT / "tests" / "bridge" / "logs" / "verl_hot_sampler.log"
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_disease_breaks_out_in_the_run_only(desk):
    with pytest.raises(ZeroDivisionError), PATIENTS["temperature"]:
        assert off(examine(desk))[0] == "first ratio"
        raise ZeroDivisionError
    assert off(examine(desk)) == [] and ward.SHORT.temperature != 1
