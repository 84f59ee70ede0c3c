"""A run that was interrupted ends like one that was not, bit by bit; a bad file is named and left alone."""

import json
import multiprocessing
import os
import stat
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vector_envs import MODES, Failing, Script, Target, copies, scripts

from ppo_lesson import checkpoint
from ppo_lesson.kl import FixedKL, PaperKL
from ppo_lesson.maze import Maze
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo

FAST = {"iterations": 7, "steps": 8, "epochs": 2, "checkpoint_every": 2}
SLOW = {"lr": 3e-3, "critic_lr": 3e-3}


def cart_poles():
    return gymnasium.make_vec("CartPole-v1", num_envs=3, max_episode_steps=20)


def networks(start):
    return MLPPolicy(4, 2, hidden=(8,), seed=start), MLPCritic(4, hidden=(8,), seed=start)


def gaussians(start):
    settings = {"hidden": (8,), "seed": start, "standardize": True}
    return GaussianPolicy(2, 2, log_std=-0.5 * start, **settings), MLPCritic(2, **settings)


def tables(start, seeds=()):
    policy, critic = TabularPolicy(seeds=seeds), TabularCritic(seeds=seeds)
    policy.logits.data += 0.01 * start
    policy.logits.data[..., 0] += 0.01 * start
    critic.table.data += start
    return policy, critic


RUNS = {  # what: (environment, networks by where they start, seed, settings)
    "maze": (Maze, tables, 3, {"minibatches": 4}),
    "slippery maze": (lambda: Maze(slip=0.2, max_steps=9), tables, 3, {}),
    "maze, 4 seeds": (Maze, lambda s: tables(s, (4,)), range(4), {"minibatches": 3, "target_kl": 0.005}),
    "maze, a beta for each seed": (
        Maze,
        lambda s: tables(s, (4,)),
        range(4),
        {"objective": "penalty", "kl": PaperKL(1.0, 0.02), "lr": 0.1},
    ),
    "cart-pole": (cart_poles, networks, 5, SLOW | {"minibatches": 3, "anneal_clip": True}),
    "cart-pole, one beta": (cart_poles, networks, 5, SLOW | {"objective": "penalty", "kl": PaperKL(1.0, 1e-3)}),
    "real numbers, normalized": (
        lambda: copies(Target, 3),
        gaussians,
        5,
        SLOW | {"minibatches": 3, "normalize_rewards": True},
    ),
    "script, same step": (
        lambda: scripts(mode=MODES[1]),
        lambda s: (MLPPolicy(3, 3, seed=s), MLPCritic(3, seed=s)),
        5,
        SLOW,
    ),
    "script, disabled": (
        lambda: scripts(mode=MODES[2]),
        lambda s: (MLPPolicy(3, 3, seed=s), MLPCritic(3, seed=s)),
        5,
        SLOW | {"normalize_rewards": True},
    ),
}


def start(what, path=None, begin=0, env=None, **changes):
    """A new generator of a run, and its networks; begin: with which numbers they start."""
    make, both, seed, settings = RUNS[what]
    policy, critic = both(begin)
    config = PPOConfig(**FAST | settings | changes)
    return ppo(env or make(), policy, critic, config, seed=seed, resume=path), policy, critic


def take(generator, n):
    return [row for _, row in zip(range(n), generator)]


def finish(what, *arguments, **changes):
    generator, policy, critic = start(what, *arguments, **changes)
    return list(generator), state(policy, critic)


def state(*modules):
    return [x.detach().clone() for module in modules for x in module.state_dict().values()]


def same_rows(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert list(a) == list(b)
        for name in a:
            assert type(a[name]) is type(b[name]), name
            x, y = np.asarray(a[name]), np.asarray(b[name])
            assert x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True), (name, x, y)


def same_state(ours, theirs):
    assert len(ours) == len(theirs) and all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs))


# ---- bit by bit ------------------------------------------------------------------------------------------------------


LONG = (
    "cart-pole",
    "cart-pole, one beta",
    "real numbers, normalized",
    "script, same step",
)  # the others are of the same kinds


@pytest.mark.parametrize("what", [pytest.param(x, marks=pytest.mark.slow if x in LONG else ()) for x in RUNS])
def test_a_run_interrupted_anywhere_ends_like_one_that_was_not(what, tmp_path):
    rows, end = finish(what)
    same_rows(rows, finish(what, tmp_path / "whole")[0])  # saved or not, it is the same run
    for stop in range(1, 8):
        path = tmp_path / f"{stop}"
        first, *_ = start(what, path)
        same_rows(take(first, stop), rows[:stop])
        first.close()
        assert path.exists() == (stop > 2), "a checkpoint is written when the next iteration begins"
        torch.rand(stop)  # the rest of the program may draw what it likes
        resumed, reached = finish(what, path, int(path.exists()))  # networks that start elsewhere, if there is a file
        same_rows(resumed, rows)
        same_state(reached, end)
    assert len({str(row) for row in rows}) == 7


@pytest.mark.parametrize("what", ["maze, a beta for each seed", "real numbers, normalized"])
def test_ctrl_c_saves_where_a_run_goes_on_bit_by_bit_and_says_what_is_safe(what, tmp_path):
    """Environments restart before iterations 2, 4 and 6 of 7: there, and at the end, nothing of them is lost."""
    rows, end = finish(what)
    for stop in range(1, 8):
        path, safe = tmp_path / f"{stop}", 7 if stop == 7 else stop // 2 * 2
        first, *_ = start(what, path)
        same_rows(take(first, stop), rows[:stop])
        with pytest.raises(KeyboardInterrupt) as caught:
            first.throw(KeyboardInterrupt)
        told = f"holds the run up to iteration {safe}" if safe else "Nothing is saved"
        assert told in caught.value.__notes__[0] and path.exists() == (stop > 1)
        assert not safe or len(checkpoint.load(path)[1]["rows"]) == safe
        resumed, reached = finish(what, path, int(path.exists()))
        same_rows(resumed, rows)
        same_state(reached, end)


def test_ctrl_c_in_a_run_without_a_file_says_that_nothing_is_saved():
    run, *_ = start("maze")
    next(run)
    with pytest.raises(KeyboardInterrupt) as caught:
        run.throw(KeyboardInterrupt)
    assert caught.value.__notes__ == ["The run is not saved; name a file with resume= to be able to go on."]


def test_a_run_that_is_finished_tells_its_rows_and_changes_nothing(tmp_path):
    path = tmp_path / "deep" / "er" / "run"  # folders are made
    rows, end = finish("cart-pole", path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    again, reached = finish("cart-pole", str(path), 1)
    same_rows(again, rows)
    same_state(reached, end)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(path.parent) == ["run"]


def test_a_run_interrupted_twice(tmp_path):
    rows, end = finish("maze")
    for stop in (3, 1, 5, 6):  # the second time before it got anywhere
        generator, *_ = start("maze", tmp_path / "run", int((tmp_path / "run").exists()))
        same_rows(take(generator, stop), rows[:stop])
        generator.close()
    resumed, reached = finish("maze", tmp_path / "run", 9)
    same_rows(resumed, rows)
    same_state(reached, end)


def test_rows_that_you_change_are_saved_as_they_were(tmp_path):
    rows, _ = finish("maze")
    generator, *_ = start("maze", tmp_path / "run")
    for row in generator:
        row |= {"mine": object(), "kl": -1.0}
    resumed = []
    for row in start("maze", tmp_path / "run")[0]:
        resumed.append(dict(row))
        row.clear()
    same_rows(resumed, rows)


def test_a_checkpoint_begins_everything_anew_so_its_rhythm_is_part_of_the_run():
    runs = [finish("maze", checkpoint_every=every)[0] for every in (2, 3, None)]
    assert runs[0][:2] == runs[1][:2] == runs[2][:2] and runs[1][:3] == runs[2][:3]
    assert runs[0][2] != runs[1][2] and runs[1][3] != runs[2][3]
    seeds = [checkpoint.fresh_seed(s, i) for s in range(50) for i in range(50)]
    assert len(set(seeds)) == 2500 and all(0 <= s < 2**32 for s in seeds)


@pytest.mark.slow
def test_a_killed_program_goes_on(tmp_path):
    """The operating system ends it in the middle of the run; no handler of Python's runs."""
    script = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import torch
torch.set_num_threads(1)
import test_checkpoint
for row in test_checkpoint.start("real numbers, normalized", sys.argv[1], iterations=10_000, anneal=False)[0]:
    print(row["iteration"], flush=True)
"""
    settings = {"iterations": 10_000, "anneal": False}
    path = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as program:
        for line in program.stdout:
            if int(line) == 5:
                program.kill()
                break
    assert program.returncode
    generator, policy, critic = start("real numbers, normalized", path, 1, **settings)
    reached = checkpoint.load(path)[1]["rows"]
    assert 4 <= len(reached) < 1000
    n = len(reached) + 4
    whole, same_policy, same_critic = start("real numbers, normalized", **settings)
    same_rows(take(generator, n), take(whole, n))
    same_state(state(policy, critic), state(same_policy, same_critic))


TRIED = 2 * 16  # steps before the first iteration: what the environment shows, and whether it shows it again


def test_a_failure_in_the_environment_leaves_the_last_good_checkpoint(tmp_path):
    def run(at, begin=0):
        parts = [lambda: Script(0), lambda: Failing(Script(1), at, "raise")]
        env = gymnasium.vector.SyncVectorEnv(parts, autoreset_mode=MODES[1])
        both = MLPPolicy(3, 3, seed=begin), MLPCritic(3, seed=begin)
        return ppo(env, *both, PPOConfig(**FAST | SLOW), seed=2, resume=tmp_path / "run"), both

    with pytest.raises(RuntimeError, match="the floor gave way") as caught:
        list(run(at=TRIED + 10)[0])
    words = " ".join(caught.value.__notes__)
    assert "in iteration 1 of seed 2. Nothing is saved in" in words and "the first checkpoint had not been" in words
    with pytest.raises(RuntimeError, match="the floor gave way") as caught:
        list(run(at=TRIED + 2 * 16 + 45)[0])  # and tried at two checkpoints
    words = " ".join(caught.value.__notes__)
    assert "in iteration 5 of seed 2." in words and "holds the run up to iteration 4; the same call goes on" in words
    assert os.listdir(tmp_path) == ["run"]
    resumed, both = run(at=None, begin=1)
    rows = list(resumed)
    os.remove(tmp_path / "run")
    whole, others = run(at=None)
    same_rows(rows, list(whole))
    same_state(state(*both), state(*others))


def test_a_restart_that_fails_says_what_is_safe(tmp_path):
    class Once(Script):
        resets = 0

        def reset(self, *, seed=None, options=None):
            Once.resets += seed is not None
            if Once.resets > 1 + 2 * 2:  # its first one, and two for each of the two tries
                raise OSError("no second beginning")
            return super().reset(seed=seed)

    run = ppo(copies(Once, 1), MLPPolicy(3, 3), MLPCritic(3), PPOConfig(**FAST | SLOW), seed=0, resume=tmp_path / "run")
    with pytest.raises(RuntimeError, match=r"failed in reset\(\): OSError") as caught:
        list(run)
    assert "in iteration 2 of seed 0" in caught.value.__notes__[0]
    assert "holds the run up to iteration 2" in caught.value.__notes__[0]


# ---- the file --------------------------------------------------------------------------------------------------------


def test_tensors_and_facts_come_back_as_they_were(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    tensors = {
        "view": whole.T,
        "part": whole[1],
        "whole": whole,
        "one": torch.tensor(2, dtype=torch.int32),
        "nan": torch.tensor([float("nan"), float("-inf")], dtype=torch.float64),
        "none": torch.zeros(0, 3),
    }
    facts = {
        "x": 0.1,
        "nan": float("nan"),
        "inf": float("inf"),
        "none": None,
        "words": ["a", "é"],
        "n": 2**60,
        "single": np.float32([0.1, np.nan]),
        "counts": np.array([[1], [2]]),
        "flags": np.array([True, False]),
        "scalar": np.float64(0.3),
        "tensor": torch.tensor([1.5]),
        "nested": {"array": 3},
    }
    checkpoint.save(tmp_path / "file", tensors, facts)
    back, told = checkpoint.load(tmp_path / "file")
    assert back.keys() == tensors.keys()
    for name, x in tensors.items():
        assert back[name].dtype == x.dtype and torch.equal(back[name].nan_to_num(7), x.nan_to_num(7))
    assert told["x"] == 0.1 and np.isnan(told["nan"]) and told["inf"] == float("inf") and told["none"] is None
    assert told["words"] == ["a", "é"] and told["n"] == 2**60 and told["nested"] == {"array": 3}
    assert told["scalar"] == 0.3 and type(told["scalar"]) is float
    for name in ("single", "counts", "flags", "tensor"):
        expected = np.asarray(facts[name])
        assert told[name].dtype == expected.dtype and told[name].shape == expected.shape
        assert np.array_equal(told[name], expected, equal_nan=expected.dtype.kind == "f")
    with pytest.raises(TypeError, match="cannot hold a set"):
        checkpoint.save(tmp_path / "file", {}, {"x": {1}})
    assert checkpoint.load(tmp_path / "file")[1]["x"] == 0.1, "and the old file is still there"


def test_what_was_loaded_is_the_programs_own(tmp_path):
    """A tensor that is changed after loading does not change the file, nor one that is saved again over it."""
    checkpoint.save(tmp_path / "file", {"x": torch.ones(5)}, {})
    x = checkpoint.load(tmp_path / "file")[0]["x"]
    x += 1
    assert checkpoint.load(tmp_path / "file")[0]["x"].tolist() == [1.0] * 5
    checkpoint.save(tmp_path / "file", {"x": x}, {})
    assert checkpoint.load(tmp_path / "file")[0]["x"].tolist() == [2.0] * 5


def test_a_program_that_dies_while_saving_leaves_the_last_good_file(tmp_path, monkeypatch):
    rows, end = finish("maze")
    path, original, calls = tmp_path / "run", os.replace, []

    def replace(source, target):
        calls.append((os.fspath(source), os.fspath(target)))
        if len(calls) == 2:
            raise OSError("the power is gone")
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="the power is gone"):
        list(start("maze", path)[0])
    assert len(checkpoint.load(path)[1]["rows"]) == 2
    assert all(source != target == str(path) for source, target in calls), "written elsewhere, then moved"
    monkeypatch.setattr(os, "replace", original)
    for name in ("run.part", "run.123.part"):  # what killed programs have left an hour ago
        (tmp_path / name).write_bytes(b"half a file")
        os.utime(tmp_path / name, (0, 0))
    resumed, reached = finish("maze", path, 1)
    same_rows(resumed, rows)
    same_state(reached, end)
    assert os.listdir(tmp_path) == ["run"]


def test_the_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (events.append(name), real(*a))[1])
    checkpoint.save(tmp_path / "file", {"x": torch.ones(3)}, {})
    assert events == ["fsync", "replace"]


def damage(path, how):
    good = path.read_bytes()
    if how == "another":
        save_file({"x": torch.ones(2)}, path)
    elif how == "no run":
        checkpoint.save(path, {"x": torch.ones(2)}, {"notes": "a table"})
    elif how == "no JSON":
        save_file({"x": torch.ones(2)}, path, metadata={"facts": "{"})
    elif how == "flipped":  # a header that promises more than there is
        path.write_bytes(b"\xff" * 8 + good[8:])
    else:
        path.write_bytes({"half": good[: len(good) // 2], "byte": good[:-1], "empty": b"", "text": b"hello\n" * 9}[how])
    return path.read_bytes()


@pytest.mark.parametrize("how", ["half", "byte", "empty", "text", "flipped", "another", "no run", "no JSON"])
def test_a_damaged_file_is_named_and_left_alone(how, tmp_path):
    path = tmp_path / "run"
    finish("maze", path)
    bad = damage(path, how)
    words = "not the checkpoint of a run" if how == "no run" else "not a complete checkpoint.*delete it to start anew"
    generator, policy, critic = start("maze", path, 1)
    before = state(policy, critic)
    with pytest.raises(ValueError, match=words) as caught:
        next(generator)
    assert str(path) in str(caught.value) and path.read_bytes() == bad
    same_state(state(policy, critic), before)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        next(start("maze", tmp_path)[0])


DIFFERENT = {  # what is not as it was: (run, other settings, environment, words of the message)
    "steps": ("maze", {"steps": 9}, None, ["steps was 8, is now 9"]),
    "two": ("maze", {"lr": 0.1, "gamma": 0.9}, None, ["lr was 0.4, is now 0.1", "gamma was 0.99, is now 0.9"]),
    "longer": ("maze", {"iterations": 8}, None, ["iterations was 7, is now 8"]),
    "rhythm": ("maze", {"checkpoint_every": 3}, None, ["checkpoint_every was 2, is now 3"]),
    "rule": (
        "cart-pole, one beta",
        {"kl": FixedKL(1.0)},
        None,
        ["kl was PaperKL(beta=1.0, target=0.001), is now FixedKL(beta=1.0)"],
    ),
    "walls": ("maze", {}, lambda: Maze(walls=[5]), ["env was Maze(4), ", "is now Maze(4, walls=[5])"]),
    "limit": ("maze", {}, lambda: Maze(max_steps=50), ["max_steps=100", "max_steps=50"]),
    "goal": ("maze", {}, lambda: Maze(goal=14), ["goal=15", "goal=14"]),
    "reward": ("maze", {}, lambda: Maze(step_reward=-0.2), ["step_reward=-0.1", "step_reward=-0.2"]),
    "environment": (
        "cart-pole",
        {},
        lambda: gymnasium.make_vec("Acrobot-v1", num_envs=3),
        ["3 x CartPole-v1", "3 x Acrobot-v1"],
    ),
    "how many": ("cart-pole", {}, lambda: gymnasium.make_vec("CartPole-v1", num_envs=4), ["3 x CartPole", "4 x Cart"]),
    "time": (
        "cart-pole",
        {},
        lambda: gymnasium.make_vec("CartPole-v1", num_envs=3),
        ["'max_episode_steps': 20", "500"],
    ),
    "mode": ("script, same step", {}, lambda: scripts(mode=MODES[2]), ["SAME_STEP", "DISABLED"]),
    "spaces": (
        "script, same step",
        {},
        lambda: scripts(mode=MODES[1], actions=gymnasium.spaces.Discrete(4)),
        ["actions Discrete(3)", "actions Discrete(4)"],
    ),
}


@pytest.mark.parametrize(("what", "changes", "env", "words"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_the_checkpoint_of_another_run_names_every_difference(what, changes, env, words, tmp_path):
    path = tmp_path / "run"
    first, *_ = start(what, path)
    take(first, 3)
    first.close()
    before = path.read_bytes()
    generator, policy, critic = start(what, path, 1, env=env and env(), **changes)
    untouched = state(policy, critic)
    with pytest.raises(ValueError, match=r"holds another run: .* Go on with its settings, or name another") as caught:
        next(generator)
    message = str(caught.value)
    assert all(word in message for word in (str(path), *words)), message
    assert message.count(" was ") == max(1, len(changes)), "and nothing else"
    assert path.read_bytes() == before
    same_state(state(policy, critic), untouched)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: (MLPPolicy(4, 2, hidden=(9,)), MLPCritic(4, hidden=(8,))), "policy.net.weights.0 was .*4, 8.*, 9"),
        (lambda: (MLPPolicy(4, 2, hidden=(8, 8)), MLPCritic(4, hidden=(8,))), "policy.net.weights.2 was absent"),
        (
            lambda: (MLPPolicy(4, 2, hidden=(8,), standardize=True), MLPCritic(4, hidden=(8,))),
            "layers was .*, is now .*'Standardize'",
        ),
        (lambda: (MLPPolicy(4, 2, hidden=(8,)), MLPCritic(4, hidden=(8,)).double()), "critic.*float32.*float64"),
    ],
    ids=["width", "depth", "standardize", "precision"],
)
def test_other_networks_are_refused(change, words, tmp_path):
    path = tmp_path / "run"
    take(start("cart-pole", path)[0], 3)
    _, _, seed, settings = RUNS["cart-pole"]
    with pytest.raises(ValueError, match=f"holds another run: .*{words}"):
        next(ppo(cart_poles(), *change(), PPOConfig(**FAST | settings), seed=seed, resume=path))


@pytest.mark.parametrize(
    ("saved", "now", "good"),
    [
        (3, 4, False),
        (range(4), range(1, 5), False),
        (range(1), 0, False),
        (3, np.int64(3), True),
        (range(4), np.arange(4), True),
        (range(4), [0, 1, 2, 3], True),
    ],
    ids=str,
)
def test_a_seed_is_a_number_however_it_is_written(saved, now, good, tmp_path):
    def run(seed):
        axes = () if np.ndim(seed) == 0 else (len(seed),)
        return ppo(Maze(), *tables(0, axes), PPOConfig(**FAST), seed=seed, resume=tmp_path / "run")

    rows = list(run(saved))
    if good:
        same_rows(list(run(now)), rows)
    else:
        with pytest.raises(ValueError, match=r"seed was .*, is now "):
            next(run(now))


def test_a_vector_environment_takes_numpys_whole_numbers_too():
    rows = [list(ppo(cart_poles(), *networks(0), PPOConfig(**FAST | SLOW), seed=s)) for s in (5, np.int64(5))]
    same_rows(*rows)


def test_the_file_is_small_and_holds_no_code(tmp_path):
    path = tmp_path / "run"
    finish("maze", path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert set(header) == {"__metadata__", "policy.logits", "critic.table", "adam.mean", "adam.square", "adam.steps"}
    assert set(json.loads(header["__metadata__"]["facts"])) == {"settings", "rows", "beside"} and len(data) < 20_000


# ---- files as others use them ----------------------------------------------------------------------------------------


def writes(path, times, number):
    for _ in range(times):
        checkpoint.save(path, {"x": torch.full((1000,), float(number))}, {"number": number})


@pytest.mark.slow
def test_two_programs_that_write_the_same_file_do_each_other_no_harm(tmp_path):
    """They shared one unfinished file, and the second to move it into place found none."""
    context = multiprocessing.get_context("spawn")
    programs = [context.Process(target=writes, args=(tmp_path / "run", 150, n)) for n in (1, 2)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert [program.exitcode for program in programs] == [0, 0]
    tensors, facts = checkpoint.load(tmp_path / "run")
    assert (tensors["x"] == facts["number"]).all() and os.listdir(tmp_path) == ["run"]


@pytest.mark.skipif(os.name == "nt", reason="rights of this kind")
def test_a_file_has_the_rights_of_any_new_one_and_keeps_those_it_was_given(tmp_path):
    path, other = tmp_path / "run", tmp_path / "other"
    writes(path, 1, 1)
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
    path.chmod(0o640)
    writes(path, 1, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and checkpoint.load(path)[1] == {"number": 2}


@pytest.mark.skipif(os.name == "nt", reason="links need rights of their own")
def test_a_link_stays_a_link_and_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    for number in (1, 2):
        writes(tmp_path / "run", 1, number)
        assert (tmp_path / "run").is_symlink() and checkpoint.load(tmp_path / "disk" / "run")[1] == {"number": number}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "disk")
    rows = list(start("maze", "~/again")[0])
    assert sorted(os.listdir(tmp_path)) == ["again", "disk", "run"] and os.listdir() == ["run"]
    assert len(checkpoint.load("~/again")[1]["rows"]) == len(rows)
