"""Files that are not what they seem, and checkpoints of a run with other layers."""

import functools

import gymnasium
import pytest
import torch
from gymnasium.vector import SyncVectorEnv
from safetensors.torch import save_file
from torch import nn
from torch.distributions import Categorical

from ppo_lesson import checkpoint, kl
from ppo_lesson.cartpole import CartPole
from ppo_lesson.maze import Maze
from ppo_lesson.policies import MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo


def save(path):
    checkpoint.save(path, {"a": torch.ones(2)}, {"settings": {}, "rows": []})


def test_a_name_that_cannot_be_is_named_and_nothing_else_is_lost(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    names = ["loop", "file/below", "folder", "a\0b", "x" * 300]
    for path in [*(f"{tmp_path}/{name}" for name in names), "~nobody_is_called_so/x", "/dev/null"]:
        with pytest.raises(OSError, match="could not write "):
            save(path)
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 3
    with open("/dev/null", "rb") as device:  # a program of root's would have put a file in its place
        assert not device.read()


def test_files_of_another_kind_are_no_checkpoints(tmp_path):
    run = functools.partial(ppo, Maze(), TabularPolicy(), TabularCritic(), seed=0, resume=tmp_path / "run")
    rule = PPOConfig(objective="penalty", kl=kl.PaperKL(1.0, 0.01), iterations=2, checkpoint_every=1)
    for facts in ("[1]", "null", "3", '{"settings": {}, "rows": [1]}', '{"settings": [], "rows": []}'):
        save_file({"a": torch.ones(1)}, tmp_path / "run", metadata={"facts": facts})
        with pytest.raises(ValueError, match="run is not the checkpoint of a run like this one"):
            next(run(config=rule))
    (tmp_path / "run").unlink()
    list(run(config=rule))
    tensors, facts = checkpoint.load(tmp_path / "run")
    for beta in (None, "1.0"):
        checkpoint.save(tmp_path / "run", tensors, facts | {"beta": beta})
        with pytest.raises(ValueError, match="not the checkpoint of a run like this one"):
            next(run(config=rule))


def test_an_error_of_the_disk_says_in_which_iteration_and_what_is_safe(tmp_path, monkeypatch):
    written = checkpoint.save

    def full(path, tensors, facts):
        if len(facts["rows"]) == 4:
            raise OSError("no space left")
        written(path, tensors, facts)

    monkeypatch.setattr(checkpoint, "save", full)
    config = PPOConfig(iterations=9, checkpoint_every=2)
    with pytest.raises(OSError, match="no space left") as caught:
        list(ppo(Maze(), TabularPolicy(), TabularCritic(), config, seed=0, resume=tmp_path / "run"))
    assert "in iteration 4 of seed 0" in caught.value.__notes__[0] and "up to iteration 2" in caught.value.__notes__[0]


@pytest.mark.parametrize("env", [Maze(), CartPole(), "vector"], ids=str)
def test_a_run_does_not_go_on_with_other_layers_behind_the_same_shapes(env, tmp_path):
    """With ReLU in the place of tanh the weights fit, and nobody noticed."""
    inputs = 16 if isinstance(env, Maze) else 4
    config = PPOConfig(iterations=4, lr=1e-3, critic_lr=1e-3, checkpoint_every=2, steps=32)

    def run(act, count=9, factor=1.0):
        torch.manual_seed(0)
        bodies = [nn.Sequential(nn.Linear(inputs, 8), act(), nn.Linear(8, n)) for n in (4 if inputs == 16 else 2, 1)]
        places = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2) if env == "vector" else env
        policy = On(bodies[0], inputs, lambda y: Categorical(logits=factor * y))
        rows = ppo(places, policy, On(bodies[1], inputs, lambda y: y[..., 0]), config, seed=0, resume=tmp_path / "run")
        got = [row for _, row in zip(range(count), rows)]
        rows.close()
        return got

    first = run(nn.Tanh, 3)
    with pytest.raises(ValueError, match=r"holds another run: layers was .*'Tanh'.*, is now .*'ReLU'"):
        run(nn.ReLU)
    with pytest.raises(ValueError, match=r"weights of other networks.*Make the same layers and functions again"):
        run(nn.Tanh, factor=0.5)
    assert run(nn.Tanh)[:2] == first[:2]


@pytest.mark.parametrize("numbers", [(3.0, 10.0), (10.0, 3.0)])
def test_a_run_does_not_go_on_with_another_number_in_a_layer(numbers, tmp_path):
    """The limit of `Standardize` shows only where an observation reaches it: the first ones do not."""
    config = PPOConfig(iterations=4, checkpoint_every=2, steps=32)

    def run(limit, count=9):
        policy, critic = MLPPolicy(4, 2, standardize=True), MLPCritic(4)
        policy.net.standardize.limit = limit
        rows = ppo(CartPole(), policy, critic, config, seed=0, resume=tmp_path / "run")
        got = [row for _, row in zip(range(count), rows)]
        rows.close()
        return got

    first = run(numbers[0], 3)
    with pytest.raises(ValueError, match=rf"'limit', {numbers[0]}.* is now .*'limit', {numbers[1]}"):
        run(numbers[1])
    assert run(numbers[0])[:2] == first[:2]


class On(nn.Module):
    def __init__(self, body, inputs, make):
        super().__init__()
        self.body, self.inputs, self.make = body, inputs, make

    def forward(self, x):
        x = x if x.is_floating_point() else nn.functional.one_hot(x, self.inputs).float()
        return self.make(self.body(x))
