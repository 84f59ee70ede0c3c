"""memory_budget: what four models cost in bytes, those that learn and those that only watch."""

from ..check.spec import Exercise, close


def memory_budget(sizes, learners, half):
    """Bytes of every model: weights; for a learner also gradients, Adam's two moments, and a float32 copy if half."""
    weight = gradient = 2 if half else 4
    moments, copy = 4 + 4, 4 if half else 0
    learning = weight + gradient + moments + copy
    return {name: n * (learning if name in learners else weight) for name, n in sizes.items()}


OURS = {"actor": 480_192, "critic": 480_288, "reference": 480_192, "reward": 480_288}
LARGE = {"actor": 6_738_415_616, "critic": 350_000_000, "reference": 6_738_415_616, "reward": 350_000_000}
BOTH = ("actor", "critic")


def cases():
    return [
        ({"actor": 1, "reference": 1}, ("actor",), False),
        ({"actor": 1, "reference": 1}, ("actor",), True),
        ({"actor": 10, "critic": 20, "reference": 10, "reward": 30}, BOTH, False),
        ({"actor": 10, "critic": 20, "reference": 10, "reward": 30}, BOTH, True),
        (OURS, BOTH, False),
        (LARGE, BOTH, True),
        (LARGE, ("critic",), True),  # the first thousand steps of some recipes: the actor waits
    ]


def frozen(fn):
    for half, each in ((False, 4), (True, 2)):
        case = ({"reference": 1000, "reward": 500}, (), half)
        close(fn(*case), {"reference": 1000 * each, "reward": 500 * each}, case=case)


def learner(fn):
    for half in (False, True):
        case = ({"actor": 1000}, ("actor",), half)
        close(fn(*case), {"actor": 16_000}, case=case)


EXERCISE = Exercise(solution=memory_budget, cases=cases, check_dtype=False)
