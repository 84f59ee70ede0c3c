"""Exercise 13.memory_plan: one frozen base and two LoRA adapters in bytes."""

from __future__ import annotations

from ..check.spec import Exercise, Mistake, close


def memory_plan(matrices, others, rank):
    """Bytes of the frozen base in half precision, and of two float32 adapters with gradients and Adam's moments."""
    base = others + sum(rows * columns for rows, columns in matrices)
    adapter = rank * sum(rows + columns for rows, columns in matrices)
    return 2 * base, 2 * adapter * (4 + 4 + 4 + 4)


LAYER = [(896, 896), (128, 896), (128, 896), (896, 896), (4864, 896), (4864, 896), (896, 4864)]  # of Qwen2.5-0.5B


def _cases():
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


def _rank_only_learns(fn):
    """Twice the rank is twice what learns, and the same base."""
    case = [(100, 50)], 10, 8
    base, learns = fn([(100, 50)], 10, 4)
    close(fn(*case), (base, 2 * learns), case=case)


def _both_sides(fn):
    """An adapter has rank numbers for each row, and rank numbers for each column."""
    one, rows, columns = (fn([size], 0, 1)[1] for size in ((10, 10), (20, 10), (10, 20)))
    close((rows, columns), (1.5 * one, 1.5 * one), case=([(20, 10)], 0, 1))


def _only_matrices_learn(fn):
    """Numbers without an adapter lie in the base, and add nothing to what learns."""
    base, learns = fn([(10, 10)], 0, 1)
    case = [(10, 10)], 100, 1
    close(fn(*case), (2 * base, learns), case=case)


def _wrong(name, base, adapter):
    """A wrong answer called `name`: so many bytes for each number of the base, and of one adapter."""

    def fn(matrices, others, rank):
        whole = others + sum(rows * columns for rows, columns in matrices)
        return base * whole, adapter * rank * sum(rows + columns for rows, columns in matrices)

    fn.__name__ = name
    return fn


def _full_update(matrices, others, rank):
    whole = others + sum(a * b for a, b in matrices)
    return 2 * whole, 32 * rank * sum(a * b for a, b in matrices)


def _one_side(matrices, others, rank):
    return memory_plan(matrices, others, 1)[0], 32 * rank * sum(b for a, b in matrices)


def _rows_alone(matrices, others, rank):
    return memory_plan(matrices, others, 1)[0], 32 * rank * sum(a for a, b in matrices)


def _others_forgotten(matrices, others, rank):
    return memory_plan(matrices, 0, rank)


MEMORY = Exercise(
    id="13.memory_plan",
    title="What LoRA costs",
    solution=memory_plan,
    cases=_cases,
    properties=[_rank_only_learns, _both_sides, _only_matrices_learn],
    check_dtype=False,
    mistakes=[
        Mistake(
            _full_update,
            "An adapter is two thin matrices, rows x rank and rank x columns: rows + columns, not their product.",
        ),
        Mistake(
            _one_side, "You count rank numbers for each column. B A has a second matrix, with as many for each row."
        ),
        Mistake(
            _rows_alone, "You count rank numbers for each row. B A has a second matrix, with as many for each column."
        ),
        Mistake(
            _wrong("_three_bases", 6, 32),
            "6 bytes for a number of the base. Actor, critic and reference look through ONE base of 2 bytes a number.",
            "huggingface/peft issue 2802, with a second copy in place of an adapter switched off",
        ),
        Mistake(
            _wrong("_float32_base", 4, 32),
            "The base never learns, and may be stored in half precision: 2 bytes a number.",
        ),
        Mistake(
            _wrong("_base_learns", 16, 32),
            "16 bytes a number is the price of what learns. The base is frozen: its weights, no more.",
        ),
        Mistake(
            _wrong("_half_of_it", 2, 16),
            "Half of what learns is missing. Two adapters, the actor's and the critic's; for each of their numbers "
            "4 bytes of weight, 4 of gradient, and two moments of 4.",
        ),
        Mistake(
            _wrong("_twice_of_it", 2, 64),
            "Twice too much learns. Only actor and critic have an adapter: 4 + 4 + 4 + 4 bytes for each number of it.",
        ),
        Mistake(
            _wrong("_a_quarter", 2, 8),
            "8 bytes: enough for the weights of both adapters, or for one with gradients. There are two adapters, and "
            "what learns also has a gradient and two moments.",
        ),
        Mistake(
            _wrong("_three_quarters", 2, 24),
            "24 bytes for two adapters are 12 for one: weight, gradient and two moments of a number take 4 bytes each.",
        ),
        Mistake(_others_forgotten, "Embeddings and norms get no adapter, and they still have to lie in memory."),
    ],
    hints=[
        "How many numbers has the base? How many has one adapter, for a matrix of rows x columns, if B A has rank r?",
        "Base: 2 bytes each, once. Adapters: r · (rows + columns) numbers a matrix, two adapters, 16 bytes a number.",
        "`2 * base, 2 * adapter * 16`, with `adapter = rank * sum(rows + columns for rows, columns in matrices)`.",
    ],
)
