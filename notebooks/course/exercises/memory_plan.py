"""memory_plan: what LoRA costs."""

from ..check.spec import Exercise, close


def memory_plan(matrices, others, rank):
    """Bytes of the frozen base in half precision, and of two float32 adapters with gradients and Adam's moments."""
    base = others + sum(rows * columns for rows, columns in matrices)
    adapter = rank * sum(rows + columns for rows, columns in matrices)
    return 2 * base, 2 * adapter * (4 + 4 + 4 + 4)


LAYER = [(896, 896), (128, 896), (128, 896), (896, 896), (4864, 896), (4864, 896), (896, 4864)]  # of Qwen2.5-0.5B


def cases():
    return [
        ([(1, 1)], 0, 1),
        ([(2, 3)], 5, 1),
        ([(2, 3)], 5, 4),
        ([(10, 20), (30, 40)], 100, 2),
        ([], 7, 3),
        (LAYER, 896 * 151_936, 16),
        (LAYER * 24, 151_936 * 896 + 71_552, 16),
        (LAYER * 24, 0, 64),
    ]


def rank_only_learns(fn):
    case = [(100, 50)], 10, 8
    base, learns = fn([(100, 50)], 10, 4)
    close(fn(*case), (base, 2 * learns), case=case)


def both_sides(fn):
    one, rows, columns = (fn([size], 0, 1)[1] for size in ((10, 10), (20, 10), (10, 20)))
    close((rows, columns), (1.5 * one, 1.5 * one), case=([(20, 10)], 0, 1))


def only_matrices_learn(fn):
    base, learns = fn([(10, 10)], 0, 1)
    case = [(10, 10)], 100, 1
    close(fn(*case), (2 * base, learns), case=case)


EXERCISE = Exercise(solution=memory_plan, cases=cases, check_dtype=False)
