"""Our Adam against torch.optim.Adam: equal for one seed, equal for each of many, and each can stand still alone."""

import pytest
import torch
from torch import nn

from ppo_lesson.adam import Adam
from ppo_lesson.policies import MLPPolicy, TabularCritic

STEPS = 30


def parameters(*seeds, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    shapes = ((3, 4), (1, 4), (5,))
    return [nn.Parameter(torch.randn(*seeds, *shape, generator=generator, dtype=dtype)) for shape in shapes]


def loss(ps, t):
    """Another bowl at every step; the second parameter's is far steeper. Seeds share nothing, so one sum serves all."""
    return sum(steep * (p - t / 10).square().sum() for p, steep in zip(ps, (1.0, 50.0, 0.1)))


@pytest.mark.parametrize("max_norm", [None, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_seed_equals_torch(max_norm, dtype):
    ours, theirs = parameters(dtype=dtype), parameters(dtype=dtype)
    optimizer = Adam([(ours[:2], 0.1), (ours[2:], 0.03)])
    reference = torch.optim.Adam([{"params": theirs[:2], "lr": 0.1}, {"params": theirs[2:], "lr": 0.03}], eps=1e-5)
    for t in range(STEPS):
        scale = 1 - t / STEPS
        for group, lr in zip(reference.param_groups, (0.1, 0.03)):
            group["lr"] = lr * scale
        reference.zero_grad()
        loss(theirs, t).backward()
        norm = nn.utils.clip_grad_norm_(theirs, float("inf") if max_norm is None else max_norm)
        reference.step()
        optimizer.backward(loss(ours, t))
        assert optimizer.clip(max_norm).item() == pytest.approx(norm.item(), rel=1e-5)
        optimizer.step(scale=scale)
    for a, b in zip(ours, theirs):
        assert a.dtype == dtype and torch.allclose(a, b, rtol=1e-5 if dtype == torch.float32 else 1e-10, atol=1e-6)


def test_each_of_four_seeds_equals_that_seed_alone_whenever_each_of_them_pauses():
    together = parameters(4)
    start = [p.detach().clone() for p in together]
    optimizer = Adam([(together[:1], 0.1), (together[1:], 0.03)], seeds=(4,))
    pauses = torch.rand(STEPS, 4) < torch.tensor([0.0, 0.3, 0.7, 1.0])
    for t in range(STEPS):
        optimizer.backward(loss(together, t))
        norms = optimizer.clip(0.5)
        assert norms.shape == (4,) and (optimizer.grad.norm(dim=-1) <= 0.5 + 1e-9).all()
        optimizer.step(active=~pauses[t])
    assert optimizer.steps[:, 0].tolist() == (~pauses).sum(0).tolist()
    for k in range(4):
        alone = [nn.Parameter(p[k].clone()) for p in start]
        reference = torch.optim.Adam([{"params": alone[:1], "lr": 0.1}, {"params": alone[1:], "lr": 0.03}], eps=1e-5)
        for t in range(STEPS):
            if not pauses[t, k]:
                reference.zero_grad()
                loss(alone, t).backward()
                nn.utils.clip_grad_norm_(alone, 0.5)
                reference.step()
        for a, b in zip(together, alone):
            assert torch.allclose(a[k], b, atol=1e-10)
    assert all(torch.equal(p[3], s[3]) for p, s in zip(together, start)), "the last seed never moved"
    assert not any(torch.equal(p[0], s[0]) for p, s in zip(together, start))


def test_the_module_itself_learns_and_can_be_saved():
    policy = MLPPolicy(seed=[1, 2])
    shapes = {name: p.shape for name, p in policy.named_parameters()}
    before = {name: p.clone() for name, p in policy.state_dict().items()}
    optimizer = Adam([(policy.parameters(), 0.1)], seeds=(2,))
    assert all(torch.equal(p, before[name]) for name, p in policy.state_dict().items()), "wrapping changes nothing"
    logits = policy(torch.randn(2, 5, 16)).logits
    optimizer.backward(logits.square().sum())
    optimizer.step()
    assert {name: p.shape for name, p in policy.named_parameters()} == shapes
    assert all(not torch.equal(p, before[name]) for name, p in policy.state_dict().items())
    policy.load_state_dict(before)
    assert torch.equal(optimizer.flat, torch.cat([p.reshape(2, -1) for p in before.values()], -1)), "still one memory"


def test_a_frozen_parameter_is_left_out():
    critic, frozen = TabularCritic(4), nn.Parameter(torch.ones(2).double(), requires_grad=False)
    optimizer = Adam([([critic.table, frozen], 0.1)])
    optimizer.backward((critic.table.sum() * frozen.sum() - 1).square())
    optimizer.step()
    assert optimizer.flat.shape == (4,) and frozen.tolist() == [1, 1] and critic.table.detach().any()


def test_a_shared_parameter_is_refused_because_it_would_get_two_steps():
    p = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="groups name a parameter twice"):
        Adam([([p], 0.1), ([p], 0.2)])


def test_a_gradient_of_zero_moves_nothing_and_divides_by_nothing():
    p = nn.Parameter(torch.ones(3))
    optimizer = Adam([([p], 0.1)])
    for _ in range(3):
        optimizer.backward((0 * p).sum())
        assert optimizer.clip(0.5).item() == 0
        optimizer.step()
    assert p.tolist() == [1, 1, 1]
