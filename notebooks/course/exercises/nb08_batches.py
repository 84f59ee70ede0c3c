"""Notebook 08: the shuffled mini-batches of one epoch, each index once."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, require


def minibatches(n, count, generator):
    """The numbers 0 to n - 1 in a random order, cut into `count` parts of (nearly) the same size: one epoch."""
    order = torch.randperm(n, generator=generator)
    return list(order.tensor_split(count))


def _cases():
    sizes = [(4, 2), (6, 1), (12, 3), (10, 4), (64, 4)]
    return [(n, count, torch.Generator().manual_seed(n)) for n, count in sizes]


def _fresh(n, count, seed):
    return n, count, torch.Generator().manual_seed(seed)


def _each_once(fn):
    """In one epoch every index from 0 to n - 1 comes exactly once."""
    for n, count in ((8, 2), (10, 4), (7, 3)):
        case = _fresh(n, count, 1)
        parts = list(fn(*case))
        together = torch.cat([torch.as_tensor(p).flatten() for p in parts]).sort().values.tolist()
        missing = [i for i in range(n) if i not in together]
        words = f"Missing: {missing}." if missing else f"There are {len(together)} indices for n = {n}."
        require(together == list(range(n)), words, case=case, got=parts)


def _so_many(fn):
    """There must be `count` parts, and their sizes may differ by one at most."""
    for n, count in ((8, 2), (10, 4), (9, 9)):
        case = _fresh(n, count, 2)
        parts = list(fn(*case))
        sizes = [len(p) for p in parts]
        words = f"For n = {n} and count = {count} the sizes are {sizes}."
        require(len(parts) == count and max(sizes) - min(sizes) <= 1, words, case=case, got=parts)


def _shuffled(fn):
    """The order is random: two epochs from one generator are not alike."""
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.cat(list(fn(50, 5, generator))) for _ in range(2))
    in_order = torch.arange(50)
    alike = torch.equal(first, second) or torch.equal(first, in_order)
    require(
        not alike, case=(50, 5, generator), got=first, mistake="_not_shuffled" if torch.equal(first, in_order) else ""
    )


def _from_the_generator(fn):
    """The randomness comes from the generator that was given: the same seed gives the same parts."""
    torch.manual_seed(1)
    first = torch.cat(list(fn(*_fresh(30, 3, 4))))
    torch.manual_seed(2)
    second = torch.cat(list(fn(*_fresh(30, 3, 4))))
    require(torch.equal(first, second), case=_fresh(30, 3, 4), got=second, mistake="_global_randomness")


def _with_replacement(n, count, generator):
    return list(torch.randint(n, (n,), generator=generator).tensor_split(count))


def _rest_dropped(n, count, generator):
    size = n // count
    order = torch.randperm(n, generator=generator)
    return [order[i * size : (i + 1) * size] for i in range(count)]


def _not_shuffled(n, count, generator):
    return list(torch.arange(n).tensor_split(count))


def _chunked(n, count, generator):
    return list(torch.randperm(n, generator=generator).chunk(count))


def _every_so_many(n, count, generator):
    order = torch.randperm(n, generator=generator)
    return [order[i::count] for i in range(count)]


def _count_is_the_size(n, count, generator):
    return list(torch.randperm(n, generator=generator).split(count))


def _global_randomness(n, count, generator):
    return list(torch.randperm(n).tensor_split(count))


def _each_its_own_shuffle(n, count, generator):
    sizes = [len(part) for part in torch.arange(n).tensor_split(count)]
    return [torch.randperm(n, generator=generator)[:size] for size in sizes]


BATCHES = Exercise(
    id="08.minibatches",
    title="One epoch of mini-batches",
    solution=minibatches,
    cases=_cases,
    properties=[_each_once, _so_many, _shuffled, _from_the_generator],
    mistakes=[
        Mistake(
            _with_replacement,
            "You drew indices with replacement: about a third of the samples never come, others come twice or more. "
            "Shuffle all indices once (`torch.randperm`), then cut.",
            "higgsfield-ai/higgsfield issue 7",
        ),
        Mistake(
            _rest_dropped,
            "When n is not a multiple of count, the last samples are thrown away. Let some parts be one longer: "
            "`tensor_split` does that.",
            "the `drop_last=True` quoted in Toni-SM/skrl issue 311",
        ),
        Mistake(
            _not_shuffled,
            "The parts are consecutive. Neighbouring steps look alike, so each mini-batch shows one corner of the "
            "data only. Shuffle before cutting.",
            "Toni-SM/skrl issue 311",
        ),
        Mistake(
            _count_is_the_size,
            "You took `count` for the size of a part. It is the number of parts: `split` takes a size, `tensor_split` "
            "a number of parts.",
        ),
        Mistake(
            _chunked,
            "`chunk` makes all parts but the last as long as the first: 10 in 4 parts are 3, 3, 3, 1, and sometimes "
            "there are fewer parts than you asked for. `tensor_split` shares the rest out.",
        ),
        Mistake(
            _every_so_many,
            "Every index comes once and the order is random: as good as the reference. But the golden trace of the "
            "next section needs the same parts, so cut the shuffled order from its start to its end (`tensor_split`).",
        ),
        Mistake(
            _global_randomness,
            "You shuffled with torch's global random numbers. Then a run cannot be repeated from its seed. Pass "
            "`generator=generator` to `randperm`.",
        ),
        Mistake(
            _each_its_own_shuffle,
            "Each part comes from a shuffle of its own, so parts overlap and some samples never come. Shuffle once for "
            "each epoch.",
        ),
    ],
    hints=[
        "Shuffle first, cut afterwards.",
        "`torch.randperm(n, generator=generator)` gives every index once, in random order.",
        "Return list(order.tensor_split(count)).",
    ],
)
