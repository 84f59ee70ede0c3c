"""Exercise 12.memory_budget: what four models cost in bytes, those that learn and those that only watch."""

from __future__ import annotations

from ..check.spec import Exercise, Mistake, close


def memory_budget(sizes, learners, half):
    """Bytes of every model: weights; for a learner also gradients, Adam's two moments, and a float32 copy if half."""
    weight = gradient = 2 if half else 4
    moments, copy = 4 + 4, 4 if half else 0
    learning = weight + gradient + moments + copy
    return {name: n * (learning if name in learners else weight) for name, n in sizes.items()}


OURS = {"actor": 480_192, "critic": 480_288, "reference": 480_192, "reward": 480_288}
LARGE = {"actor": 6_738_415_616, "critic": 350_000_000, "reference": 6_738_415_616, "reward": 350_000_000}
BOTH = ("actor", "critic")


def _cases():
    return [
        ({"actor": 1, "reference": 1}, ("actor",), False),
        ({"actor": 1, "reference": 1}, ("actor",), True),
        ({"actor": 10, "critic": 20, "reference": 10, "reward": 30}, BOTH, False),
        ({"actor": 10, "critic": 20, "reference": 10, "reward": 30}, BOTH, True),
        (OURS, BOTH, False),
        (LARGE, BOTH, True),
        (LARGE, ("critic",), True),  # the first thousand steps of some recipes: the actor waits
    ]


def _frozen(fn):
    """A model that does not learn costs its weights and nothing else."""
    for half, each in ((False, 4), (True, 2)):
        case = ({"reference": 1000, "reward": 500}, (), half)
        close(fn(*case), {"reference": 1000 * each, "reward": 500 * each}, case=case)


def _learner(fn):
    """A learner that Adam trains takes 16 bytes a parameter, with half as well as without."""
    for half in (False, True):
        case = ({"actor": 1000}, ("actor",), half)
        close(fn(*case), {"actor": 16_000}, case=case)


def _budget(sizes, learners, learning, frozen):
    return {name: n * (learning if name in learners else frozen) for name, n in sizes.items()}


def _all_learn(sizes, learners, half):
    return _budget(sizes, sizes, 16, 0)


def _gradients_for_all(sizes, learners, half):
    return _budget(sizes, learners, 16, 4 if half else 8)


def _weights_alone(sizes, learners, half):
    each = 2 if half else 4
    return _budget(sizes, learners, each, each)


def _no_gradients(sizes, learners, half):
    return _budget(sizes, learners, 14 if half else 12, 2 if half else 4)


def _no_moments(sizes, learners, half):
    return _budget(sizes, learners, 8, 2 if half else 4)


def _one_moment(sizes, learners, half):
    return _budget(sizes, learners, 12, 2 if half else 4)


def _no_copy(sizes, learners, half):
    return _budget(sizes, learners, 12 if half else 16, 2 if half else 4)


def _half_of_everything(sizes, learners, half):
    return _budget(sizes, learners, 8 if half else 16, 2 if half else 4)


def _float32_gradients(sizes, learners, half):
    return _budget(sizes, learners, 18 if half else 16, 2 if half else 4)


def _half_ignored(sizes, learners, half):
    return _budget(sizes, learners, 16, 4)


def _frozen_is_free(sizes, learners, half):
    return _budget(sizes, learners, 16, 0)


def _copy_for_all(sizes, learners, half):
    return _budget(sizes, learners, 16, 6 if half else 4)


def _four_actors(sizes, learners, half):
    n = next(iter(sizes.values()))
    return {name: n * (16 if name in learners else 2 if half else 4) for name in sizes}


def _swapped(sizes, learners, half):
    return _budget(sizes, [name for name in sizes if name not in learners], 16, 2 if half else 4)


def _bits(sizes, learners, half):
    return _budget(sizes, learners, 128, 16 if half else 32)


def _numbers(sizes, learners, half):
    return _budget(sizes, learners, 5 if half else 4, 1)


MEMORY = Exercise(
    id="12.memory_budget",
    title="What four models cost",
    solution=memory_budget,
    cases=_cases,
    properties=[_frozen, _learner],
    check_dtype=False,
    mistakes=[
        Mistake(
            _all_learn,
            "You gave all four models gradients and moments. Reference and reward model are read only: their weights, "
            "no more.",
        ),
        Mistake(_gradients_for_all, "Frozen models have no gradients: nothing is ever subtracted from their weights."),
        Mistake(_weights_alone, "Those are the weights. A learner also holds gradients and what Adam remembers."),
        Mistake(
            _no_gradients,
            "The gradients are missing: one number for each weight, in the same precision, between backward and step.",
            "AI-Hypercomputer/maxtext issue 606 arrives at 12 bytes",
        ),
        Mistake(
            _no_moments,
            "Adam remembers two numbers for each weight: a running mean of the gradients, and one of their squares.",
        ),
        Mistake(
            _one_moment,
            "Adam has two moments for each weight: a mean of gradients and a mean of squares. You counted one.",
        ),
        Mistake(
            _no_copy,
            "With half, the optimizer keeps the weights once more in float32: steps of 1e-6 would vanish in the "
            "rounding of a bfloat16 weight.",
            "stanford-cs336/lectures issue 3, where the copy was missing",
        ),
        Mistake(
            _half_of_everything,
            "Half precision does not halve everything. Moments stay float32, and a float32 copy of the weights joins "
            "them.",
        ),
        Mistake(
            _float32_gradients,
            "Your gradients are float32 while the weights are bfloat16. Some programs do that, 18 bytes a weight; in "
            "this exercise gradients have the precision of the weights.",
            "NVIDIA/Megatron-LM issue 654, where 18 bytes are right",
        ),
        Mistake(_half_ignored, "`half` changes nothing in yours. At least the frozen models shrink to 2 bytes."),
        Mistake(_frozen_is_free, "A frozen model still has weights: somebody has to read them."),
        Mistake(_copy_for_all, "Only the optimizer needs a float32 copy, and frozen models have none."),
        Mistake(
            _four_actors, "You took the first model's size for all. Judges are often smaller than the model they judge."
        ),
        Mistake(_swapped, "The wrong two learn: actor and critic do, reference and reward model do not."),
        Mistake(_bits, "Those are bits: 8 of them make a byte. A float32 has 4 bytes, a bfloat16 has 2."),
        Mistake(_numbers, "You counted numbers. Each takes 4 bytes in float32, and 2 in bfloat16."),
    ],
    hints=[
        "How many numbers does a frozen model hold for each parameter? And one that Adam trains?",
        "Frozen: 1 number. A learner: weight, gradient, two moments. Then bytes: which of these are halved?",
        "With half a learner has 2 + 2 + 4 + 4 + 4 bytes a parameter, without 4 + 4 + 4 + 4.",
    ],
)
