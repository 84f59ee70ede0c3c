"""Our Adam against torch.optim.Adam: equal for one seed, equal for each of many, and each can stand still alone."""

import copy

import gymnasium
import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from ppo_lesson.maze import Maze, solve
from ppo_lesson.optim import Adam
from ppo_lesson.policies import MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.trpo import TRPOConfig, trpo

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
        optimizer.step(factor=scale)
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
    with pytest.raises(ValueError, match=r"hold one parameter.*Make two networks"):
        Adam([([p], 0.1), ([p], 0.2)])


def test_a_gradient_of_zero_moves_nothing_and_divides_by_nothing():
    p = nn.Parameter(torch.ones(3))
    optimizer = Adam([([p], 0.1)])
    for _ in range(3):
        optimizer.backward((0 * p).sum())
        assert optimizer.clip(0.5).item() == 0
        optimizer.step()
    assert p.tolist() == [1, 1, 1]


# ---- parameters that are re-pointed while a run is alive ------------------------------------------------------------


def double_it(policy, _):
    policy.double()


def another_storage(policy, best):
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(best.parameters()).detach(), policy.parameters())


def assigned(policy, best):
    policy.load_state_dict(best.state_dict(), assign=True)


def one_parameter(policy, best):
    policy.net.biases[1] = best.net.biases[1]


def frozen(policy, _):
    policy.net.weights[0].requires_grad_(False)


REPLACED = [another_storage, assigned, double_it, one_parameter, frozen]


@pytest.mark.parametrize("replace", REPLACED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", ["policy", "critic"])
def test_a_run_whose_parameters_were_replaced_says_so_and_does_not_train_nothing(replace, which):
    modules = {"policy": MLPPolicy(4, 2, hidden=(8,)), "critic": MLPCritic(4, hidden=(8,))}
    best = copy.deepcopy(modules[which])
    run = ppo(gymnasium.make_vec("CartPole-v1", 2), *modules.values(), PPOConfig(iterations=6, lr=1e-3), seed=0)
    next(run), next(run)
    replace(modules[which], best)
    with pytest.raises(RuntimeError, match=rf"{which}\.net\.\w+\.\d was replaced.*load_state_dict\(values\)") as caught:
        next(run)
    assert "in iteration 2 of seed 0" in caught.value.__notes__[0]


def test_values_may_be_set_while_a_run_is_alive():
    policy, critic = MLPPolicy(4, 2, hidden=(8,)), MLPCritic(4, hidden=(8,))
    best = {name: x.clone() for name, x in policy.state_dict().items()}
    run = ppo(gymnasium.make_vec("CartPole-v1", 2), policy, critic, PPOConfig(iterations=6, lr=1e-3), seed=0)
    next(run), next(run)
    policy.load_state_dict(best)
    assert next(run)["kl"] > 0
    with torch.no_grad():
        for name, p in policy.named_parameters():
            p.copy_(best[name])
    before = [p.clone() for p in policy.parameters()]
    assert next(run)["kl"] > 0 and not any(torch.equal(a, b) for a, b in zip(policy.parameters(), before))


def test_the_optimizer_itself_notices_too():
    ps = parameters()
    optimizer = Adam([(ps, 0.1)])
    optimizer.backward(loss(ps, 0))
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(ps).detach(), ps)
    with pytest.raises(RuntimeError, match=r"parameter 0 of shape \(3, 4\) was replaced"):
        optimizer.backward(loss(ps, 1))


def test_a_second_run_takes_the_networks_over_and_the_first_one_ends():
    policy, critic = MLPPolicy(4, 2, hidden=(8,)), MLPCritic(4, hidden=(8,))
    runs = [ppo(gymnasium.make_vec("CartPole-v1", 2), policy, critic, PPOConfig(), seed=s) for s in (0, 1)]
    next(runs[0]), next(runs[1])
    with pytest.raises(RuntimeError, match=r"policy\.net\.weights\.0 was replaced"):
        next(runs[0])
    before = [p.clone() for p in policy.parameters()]
    assert next(runs[1])["kl"] > 0, "and the end of the first took nothing away from it"
    assert not any(torch.equal(a, b) for a, b in zip(policy.parameters(), before))


@pytest.mark.parametrize("how", ["to its end", "broken off", "failed"])
def test_after_a_run_every_network_has_its_own_memory(how, tmp_path):
    policy, critic = MLPPolicy(4, 2, hidden=(8,)), MLPCritic(4, hidden=(256, 256))
    size = size_on_disk(policy, tmp_path)
    config = PPOConfig(iterations=3, lr=1e30 if how == "failed" else 1e-3, target_kl=None)
    rows = ppo(gymnasium.make_vec("CartPole-v1", 2), policy, critic, config, seed=0)
    try:
        for row in rows:
            values = {name: x.clone() for name, x in policy.state_dict().items()}
            if how == "broken off" and row["iteration"] == 1:
                break
    except FloatingPointError:
        assert how == "failed"
    rows.close()
    assert size_on_disk(policy, tmp_path) <= size + 64, "the critic is not in the policy's file"
    save_model(policy, str(tmp_path / "policy.safetensors"))
    again = MLPPolicy(4, 2, hidden=(8,), seed=5)
    load_model(again, str(tmp_path / "policy.safetensors"))
    assert how == "failed" or all(torch.equal(x, values[name]) for name, x in again.state_dict().items())


def size_on_disk(module, folder):
    torch.save(module.state_dict(), folder / "state.pt")
    return (folder / "state.pt").stat().st_size


@pytest.mark.parametrize("trainer", ["reinforce", "actor_critic", "trpo"])
def test_the_other_trainers_notice_a_replaced_parameter(trainer):
    trainer, config = {
        "reinforce": (reinforce, ReinforceConfig()),
        "actor_critic": (actor_critic, ActorCriticConfig()),
        "trpo": (trpo, TRPOConfig()),
    }[trainer]
    for which in ("policy", "critic")[trainer is trpo :]:  # trpo's policy has no optimizer
        modules = {"policy": TabularPolicy(), "critic": TabularCritic()}
        run = trainer(Maze(), *modules.values(), config, seed=0)
        next(run)
        modules[which].load_state_dict(copy.deepcopy(modules[which].state_dict()), assign=True)
        with pytest.raises(RuntimeError, match=rf"a parameter of {which} was replaced while the run was alive"):
            next(run)


# ---- habits of those who bring their own networks -------------------------------------------------------------------


class WithSpare(MLPPolicy):
    """A head that plays no part."""

    def __init__(self):
        super().__init__(4, 2, hidden=(8,))
        self.spare = nn.Linear(8, 3)


def test_a_layer_that_plays_no_part_stands_still():
    policy, critic = WithSpare(), MLPCritic(4, hidden=(8,))
    spare, first = policy.spare.weight.clone(), policy.net.weights[0].clone()
    critic.spare = nn.Linear(2, 2)  # the last parameter of all
    row = list(ppo(gymnasium.make_vec("CartPole-v1", 2), policy, critic, PPOConfig(iterations=2, lr=1e-3), seed=0))[-1]
    assert torch.equal(policy.spare.weight, spare) and not torch.equal(policy.net.weights[0], first)
    assert row["kl"] > 0 and row["gradient_error"] < 1e-5


@pytest.mark.parametrize("which", ["policy", "critic"])
def test_a_network_that_cannot_learn_is_named_and_learning_rate_0_holds_it_still(which):
    modules = {"policy": TabularPolicy(), "critic": TabularCritic()}
    modules[which].requires_grad_(False)
    for trainer, config in ((ppo, PPOConfig()), (actor_critic, ActorCriticConfig()), (trpo, TRPOConfig())):
        with pytest.raises(ValueError, match=f"{which} has no parameter with requires_grad=True.*learning rate to 0"):
            next(trainer(Maze(), *modules.values(), config, seed=0))
    modules[which].requires_grad_(True)
    start = [p.clone() for p in modules[which].parameters()]
    list(
        ppo(
            Maze(), *modules.values(), PPOConfig(**{"policy": {"lr": 0.0}, "critic": {"critic_lr": 0.0}}[which]), seed=0
        )
    )
    assert all(torch.equal(a, b) for a, b in zip(modules[which].parameters(), start))


@pytest.mark.parametrize("trainer", ["ppo", "reinforce", "actor_critic", "trpo"])
def test_gradients_that_are_switched_off_around_the_loop_change_nothing(trainer):
    trainer, config = {
        "ppo": (ppo, PPOConfig(iterations=3)),
        "reinforce": (reinforce, ReinforceConfig(iterations=3)),
        "actor_critic": (actor_critic, ActorCriticConfig(iterations=3)),
        "trpo": (trpo, TRPOConfig(iterations=3)),
    }[trainer]
    usual = list(trainer(Maze(), TabularPolicy(), TabularCritic(), config, seed=0))
    with torch.no_grad():
        assert list(trainer(Maze(), TabularPolicy(), TabularCritic(), config, seed=0)) == usual
        assert not torch.is_grad_enabled()


# ---- two dtypes in one run -------------------------------------------------------------------------------------------


def test_parameters_of_two_dtypes_each_learn_as_with_torch_and_stay_what_they_are():
    ours, theirs = (parameters(dtype=torch.float32)[:2] + parameters()[2:] for _ in range(2))
    optimizer = Adam([(ours[:2], 0.1), (ours[2:], 0.03)])
    reference = torch.optim.Adam([{"params": theirs[:2], "lr": 0.1}, {"params": theirs[2:], "lr": 0.03}], eps=1e-5)
    for t in range(STEPS):
        reference.zero_grad()
        loss(theirs, t).backward()
        reference.step()
        optimizer.backward(loss(ours, t))
        optimizer.step()
        if t == 9:  # values that are loaded meanwhile count
            for p in (ours[0], theirs[0]):
                nn.init.constant_(p, 0.25)
    for a, b in zip(ours, theirs):
        assert a.dtype == b.dtype
        room = STEPS * 10 * torch.finfo(a.dtype).eps  # some ten roundings a step, of numbers near 1
        torch.testing.assert_close(a, b, rtol=0, atol=room * max(1, b.abs().max().item()))


class OwnNetwork(nn.Module):
    """What a newcomer brings: float32, one-hot squares in, logits out."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))

    def forward(self, squares):
        x = nn.functional.one_hot(squares, 16).float()
        return torch.distributions.Categorical(logits=self.net(x))


def J_of(policy):
    return solve(policy(torch.arange(16)).probs.detach().double(), 0.99).J.item()


@pytest.mark.slow
def test_ones_own_float32_network_beside_a_float64_table():
    better = 0
    for seed in range(8):
        torch.manual_seed(seed)
        policy, critic = OwnNetwork(), TabularCritic()
        before = J_of(policy)
        rows = list(ppo(Maze(), policy, critic, PPOConfig(lr=0.01, critic_lr=0.3), seed=seed))
        assert {p.dtype for p in policy.parameters()} == {torch.float32} and critic.table.dtype == torch.float64
        assert all(row["ratio_error"] == 0 and row["kl"] > 0 for row in rows)
        better += J_of(policy) > before + 0.2
    assert better >= 6


def test_such_a_run_goes_on_from_its_checkpoint_bit_by_bit(tmp_path):
    def networks():
        torch.manual_seed(0)
        return OwnNetwork(), TabularCritic()

    config = PPOConfig(iterations=6, lr=0.01, checkpoint_every=2)
    whole = networks()
    rows = list(ppo(Maze(), *whole, config, seed=0))
    run = ppo(Maze(), *networks(), config, seed=0, resume=tmp_path / "run")
    for _ in range(5):
        next(run)
    run.close()
    again = networks()
    assert list(ppo(Maze(), *again, config, seed=0, resume=tmp_path / "run")) == rows
    for a, b in zip(whole, again):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
