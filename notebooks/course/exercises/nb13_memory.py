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
    for rank in (4, 8):
        base, learns = fn([(100, 50)], 10, rank)
        close((base, learns), (2 * 5010, 32 * 150 * rank), case=([(100, 50)], 10, rank))


def _wrong(name, base, adapter):
    """A wrong answer called `name`: so many bytes for each number of the base, and of one adapter."""

    def fn(matrices, others, rank):
        whole = others + sum(rows * columns for rows, columns in matrices)
        return base * whole, adapter * rank * sum(rows + columns for rows, columns in matrices)

    fn.__name__ = name
    return fn


_three_bases = _wrong("_three_bases", 6, 32)
_float32_base = _wrong("_float32_base", 4, 32)
_base_learns = _wrong("_base_learns", 16, 32)
_one_adapter = _wrong("_one_adapter", 2, 16)
_no_optimizer = _wrong("_no_optimizer", 2, 8)
_one_moment = _wrong("_one_moment", 2, 24)
_half_adapters = _wrong("_half_adapters", 2, 20)
_four_adapters = _wrong("_four_adapters", 2, 64)


def _full_update(matrices, others, rank):
    whole = others + sum(a * b for a, b in matrices)
    return 2 * whole, 32 * rank * sum(a * b for a, b in matrices)


def _one_side(matrices, others, rank):
    whole = others + sum(a * b for a, b in matrices)
    return 2 * whole, 32 * rank * sum(b for a, b in matrices)


def _others_forgotten(matrices, others, rank):
    return memory_plan(matrices, 0, rank)


MEMORY = Exercise(
    id="13.memory_plan",
    title="What LoRA costs",
    solution=memory_plan,
    cases=_cases,
    properties=[_rank_only_learns],
    check_dtype=False,
    mistakes=[
        Mistake(
            _full_update,
            "An adapter is two thin matrices, rows x rank and rank x columns: rows + columns, not their product.",
        ),
        Mistake(
            _one_side, "B A has two matrices: one with `rows` times rank numbers and one with `columns` times rank."
        ),
        Mistake(
            _three_bases,
            "Actor, critic and reference look through ONE base: you counted it three times.",
            "huggingface/peft issue 2802, with a second copy in place of an adapter switched off",
        ),
        Mistake(_float32_base, "The base never learns, and may be stored in half precision: 2 bytes a number."),
        Mistake(
            _base_learns, "16 bytes a number is the price of what learns. The base is frozen: its weights, no more."
        ),
        Mistake(_one_adapter, "Two adapters learn: the actor's and the critic's. The reference has none."),
        Mistake(_four_adapters, "Reference and reward need no adapter: only actor and critic learn."),
        Mistake(
            _no_optimizer, "Those are the weights of the adapters. What learns also has a gradient and two moments."
        ),
        Mistake(_one_moment, "Adam remembers two numbers for each weight. Together 4 + 4 + 4 + 4 bytes."),
        Mistake(
            _half_adapters,
            "Adapters are float32, with everything that belongs to them: steps of Adam are too small for half.",
        ),
        Mistake(_others_forgotten, "Embeddings and norms get no adapter, and they still have to lie in memory."),
    ],
    hints=[
        "How many numbers has the base? How many has one adapter, for a matrix of rows x columns, if B A has rank r?",
        "Base: 2 bytes each, once. Adapters: r · (rows + columns) numbers a matrix, two adapters, 16 bytes a number.",
        "`2 * base, 2 * adapter * 16`, with `adapter = rank * sum(rows + columns for rows, columns in matrices)`.",
    ],
)
