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


def _wrong(name, learning, learning_half, frozen=4, frozen_half=2):
    """A wrong answer called `name`: so many bytes for each weight of a learner, and of a model that is only read."""

    def fn(sizes, learners, half):
        each = (learning_half, frozen_half) if half else (learning, frozen)
        return {model: n * each[model not in learners] for model, n in sizes.items()}

    fn.__name__ = name
    return fn


def _four_actors(sizes, learners, half):
    n = next(iter(sizes.values()))
    return {name: n * (16 if name in learners else 2 if half else 4) for name in sizes}


def _swapped(sizes, learners, half):
    return memory_budget(sizes, [name for name in sizes if name not in learners], half)


def _gib(sizes, learners, half):
    return {name: size / 2**30 for name, size in memory_budget(sizes, learners, half).items()}


def _only_the_actor(sizes, learners, half):
    return memory_budget(sizes, ["actor"], half)


MEMORY = Exercise(
    id="12.memory_budget",
    title="What four models cost",
    solution=memory_budget,
    cases=_cases,
    properties=[_frozen, _learner],
    check_dtype=False,
    mistakes=[
        Mistake(
            _wrong("_all_learn", 16, 16, 16, 16),
            "You gave all four models gradients and moments. Reference and reward model are read only: their weights, "
            "no more.",
        ),
        Mistake(
            _wrong("_gradients_for_all", 16, 16, 8, 4),
            "Frozen models have no gradients: nothing is ever subtracted from their weights.",
        ),
        Mistake(
            _wrong("_weights_alone", 4, 2),
            "Those are the weights. A learner also holds gradients and what Adam remembers.",
        ),
        Mistake(
            _wrong("_no_gradients", 12, 14),
            "A learner holds a weight AND its gradient, from backward to step, in the same precision. One is missing.",
            "AI-Hypercomputer/maxtext issue 606 arrives at 12 bytes",
        ),
        Mistake(
            _wrong("_no_moments", 8, 8),
            "Adam remembers two numbers for each weight: a running mean of the gradients, and one of their squares.",
        ),
        Mistake(
            _wrong("_one_moment", 12, 12),
            "12 bytes for each weight of a learner: one number is missing. Is it the second moment? Adam keeps a mean "
            "of gradients and a mean of squares.",
        ),
        Mistake(
            _wrong("_no_copy", 16, 12),
            "With half you count 12 bytes for each weight of a learner, and it takes 16. Adam's moments stay float32, "
            "and it keeps the weights once more in float32: steps of 1e-6 would vanish in a bfloat16 weight.",
            "stanford-cs336/lectures issue 3, where the copy was missing",
        ),
        Mistake(
            _wrong("_half_of_everything", 16, 8),
            "Half precision does not halve everything. Moments stay float32, and a float32 copy of the weights joins "
            "them.",
        ),
        Mistake(
            _wrong("_float32_gradients", 16, 18),
            "18 bytes with half: weights or gradients are float32 in yours. Some programs keep the gradients so; here "
            "both are bfloat16.",
            "NVIDIA/Megatron-LM issue 654, where 18 bytes are right",
        ),
        Mistake(
            _wrong("_half_ignored", 16, 16, 4, 4),
            "`half` changes nothing in yours. At least the frozen models shrink to 2 bytes.",
        ),
        Mistake(
            _wrong("_frozen_is_free", 16, 16, 0, 0), "A frozen model still has weights: somebody has to read them."
        ),
        Mistake(
            _wrong("_copy_for_all", 16, 16, 4, 6),
            "Only the optimizer needs a float32 copy, and frozen models have none.",
        ),
        Mistake(
            _four_actors, "You took the first model's size for all. Judges are often smaller than the model they judge."
        ),
        Mistake(
            _wrong("_copy_always", 20, 16),
            "Without half the weights are float32 already: 4 + 4 + 4 + 4, and nobody keeps them twice.",
        ),
        Mistake(_gib, "Those are GiB. Bytes are wanted, undivided."),
        Mistake(_only_the_actor, "Who learns stands in `learners`: not the actor alone, and not the actor always."),
        Mistake(_swapped, "The wrong two learn: actor and critic do, reference and reward model do not."),
        Mistake(
            _wrong("_bits", 128, 128, 32, 16),
            "Those are bits: 8 of them make a byte. A float32 has 4 bytes, a bfloat16 has 2.",
        ),
        Mistake(
            _wrong("_numbers", 4, 5, 1, 1), "You counted numbers. Each takes 4 bytes in float32, and 2 in bfloat16."
        ),
    ],
    hints=[
        "How many numbers does a frozen model hold for each parameter? And one that Adam trains?",
        "Frozen: 1 number. A learner: weight, gradient, two moments. Then bytes: which of these are halved?",
        "With half a learner has 2 + 2 + 4 + 4 + 4 bytes a parameter, without 4 + 4 + 4 + 4.",
    ],
)
