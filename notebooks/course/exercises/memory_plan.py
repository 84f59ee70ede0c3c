"""memory_plan: what LoRA costs."""

from ..check import Exercise, close, rows


def memory_plan(matrices, others, rank):
    """Bytes of the frozen base in half precision, and of two float32 adapters with gradients and Adam's moments."""
    base = others + sum(rows * columns for rows, columns in matrices)
    adapter = rank * sum(rows + columns for rows, columns in matrices)
    return 2 * base, 2 * adapter * (4 + 4 + 4 + 4)


cases = rows(
    "memory_plan", lambda layer, others, rank, layers=1: ([tuple(size) for size in layer] * layers, others, rank)
)


def rank_only_learns(fn):
    case = [(100, 50)], 10, 8
    base, learns = fn([(100, 50)], 10, 4)
    close(fn(*case), (base, 2 * learns), case=case)


def both_sides(fn):
    one, rows, columns = (fn([size], 0, 1)[1] for size in ((10, 10), (20, 10), (10, 20)))
    close((rows, columns), (1.5 * one, 1.5 * one), case=([(20, 10)], 0, 1))


def only_matrices_learn(fn):
    base, learns = fn([(10, 10)], 0, 1)
    close(fn([(10, 10)], 100, 1), (2 * base, learns))


EXERCISE = Exercise(solution=memory_plan, cases=cases, check_dtype=False)
