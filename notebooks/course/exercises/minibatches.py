"""minibatches: one epoch of mini-batches."""

import torch

from ..check import Exercise, require


def minibatches(n, count, generator):
    """The numbers 0 to n - 1 in a random order, cut into `count` parts of (nearly) the same size: one epoch."""
    order = torch.randperm(n, generator=generator)
    return list(order.tensor_split(count))


def cases():
    sizes = [(4, 2), (6, 1), (12, 3), (10, 4), (64, 4)]
    return [(n, count, torch.Generator().manual_seed(n)) for n, count in sizes]


def _fresh(n, count, seed):
    return n, count, torch.Generator().manual_seed(seed)


def each_once(fn):
    for n, count in ((8, 2), (10, 4), (7, 3)):
        case = _fresh(n, count, 1)
        parts = list(fn(*case))
        together = torch.cat([torch.as_tensor(p).flatten() for p in parts]).sort().values.tolist()
        missing = [i for i in range(n) if i not in together]
        words = f"Missing: {missing}." if missing else f"There are {len(together)} indices for n = {n}."
        require(together == list(range(n)), words, case=case, got=parts)


def so_many(fn):
    for n, count in ((8, 2), (10, 4), (9, 9)):
        case = _fresh(n, count, 2)
        parts = list(fn(*case))
        sizes = [len(p) for p in parts]
        words = f"For n = {n} and count = {count} the sizes are {sizes}."
        require(len(parts) == count and max(sizes) - min(sizes) <= 1, words, case=case, got=parts)


def shuffled(fn):
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.cat(list(fn(50, 5, generator))) for _ in range(2))
    in_order = torch.arange(50)
    alike = torch.equal(first, second) or torch.equal(first, in_order)
    require(
        not alike, case=(50, 5, generator), got=first, mistake="not_shuffled" if torch.equal(first, in_order) else ""
    )


def from_the_generator(fn):
    torch.manual_seed(1)
    first = torch.cat(list(fn(*_fresh(30, 3, 4))))
    torch.manual_seed(2)
    second = torch.cat(list(fn(*_fresh(30, 3, 4))))
    require(torch.equal(first, second), case=_fresh(30, 3, 4), got=second, mistake="global_randomness")


EXERCISE = Exercise(solution=minibatches, cases=cases)
