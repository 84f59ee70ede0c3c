"""memory_budget: what four models cost in bytes, those that learn and those that only watch."""

from ..check import Exercise, examples, rows


def memory_budget(sizes, learners, half):
    """Bytes of every model: weights; for a learner also gradients, Adam's two moments, and a float32 copy if half."""
    weight = gradient = 2 if half else 4
    moments, copy = 4 + 4, 4 if half else 0
    learning = weight + gradient + moments + copy
    return {name: n * (learning if name in learners else weight) for name, n in sizes.items()}


EXERCISE = Exercise(
    solution=memory_budget, cases=rows("memory_budget"), check_dtype=False, suite=examples("memory_budget")
)
