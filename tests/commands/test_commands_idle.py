"""An option, or two together, that would change nothing is refused; every option of every command is read."""

import ast
import inspect
import json
import re
from types import SimpleNamespace

import pytest
import shop

from ppo_lesson.commands import export, main, options, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shop.make(tmp_path_factory.mktemp("shop"))


class Asked(dict):
    """Options that remember which were asked for."""

    def __init__(self, given):
        super().__init__(given)
        self.names = getattr(given, "names", set())  # of a copy, the same

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.slow
def test_every_option_is_read(folder, tmp_path, monkeypatch):
    """Of each command, in one run: an option that nobody asks for would be unused, in silence."""
    said = []

    def execute(command, given):
        said.append((command, Asked(given)))
        return run(command, said[-1][1])

    run = train.execute
    monkeypatch.setattr(train, "execute", execute)
    assert (
        shop.rlhf(folder, tmp_path / "rlhf", short=["--iterations", "1", "--batch", "4", "--max-new-tokens", "2"]) == 0
    )
    for command, data in (("sft", "pairs"), ("reward", "rankings")):
        data = ["--data", f"{folder / data}.jsonl", "--output", f"{tmp_path / command}", "--steps", "1"]
        assert main.main([command, "--model", f"{folder / 'model'}", *data]) == 0
    read = {x.value for x in ast.walk(ast.parse(inspect.getsource(export))) if isinstance(x, ast.Constant)}
    said.append(("export", SimpleNamespace(names=read)))
    for command, asked in said:
        known = {o["name"].removeprefix("--").replace("-", "_") for o in options.OPTIONS if command in o.get("of", ALL)}
        assert known - {"debug", "library"} <= asked.names, (command, known - asked.names)  # those two: by main itself


SHORT = ["--iterations", "1", "--batch", "4", "--max-new-tokens", "2"]
ALL = ("sft", "reward", "rlhf")
IDLE = {  # options of rlhf: words of the message
    "documents": (["--documents", "DOCUMENTS"], "documents have no effect with ptx_coef=0"),
    "documents, weight 0": (["--documents", "DOCUMENTS", "--set", "ptx_coef=0"], "documents have no effect"),
    "no documents": (["--set", "ptx_coef=0.5"], "ptx_coef=0.5 needs documents"),
    "empty documents": (["--documents", "EMPTY", "--set", "ptx_coef=0.5"], "--documents .* holds no text"),
    "empty documents, no weight": (["--documents", "EMPTY"], "documents have no effect"),
    "batch of documents": (["--set", "ptx_batch=2"], "ptx_batch=2 has no effect with ptx_coef=0.0"),
    "two prices": (["--kl", "loss", "--set", "kl_loss=0.3"], "--set kl_loss and --kl loss both say"),
    "a price and none": (["--kl", "none", "--set", "kl_loss=0.3"], "--set kl_loss and --kl none both say"),
    "beta for nobody": (["--kl", "none", "--beta", "0.3"], "--beta 0.3 is a price, and with --kl none nobody pays it"),
    "a target for nobody": (["--kl", "loss", "--adaptive-kl", "3"], "--adaptive-kl sets the price in the reward"),
    "kind of no price": (["--set", "kl_loss_kind=k3"], "kl_loss_kind='k3' has no effect with kl_loss=0.0"),
    "ratio of no price": (["--set", "kl_loss_ratio=false"], "kl_loss_ratio=False has no effect with kl_loss=0.0"),
    "lambda of groups": (["--set", "lam=0.9", "GROUP"], "lam=0.9 has no effect with advantages='group'"),
    "critic of groups": (["--set", "critic_lr=2e-3", "GROUP"], "critic_lr=0.002 has no effect with advantages='group'"),
    "groups of gae": (["--set", "scale_groups=false"], "scale_groups=False has no effect with advantages='gae'"),
    "twice": (["--set", "eps=0.1", "--set", "eps=0.3"], "eps is given twice"),
}
GROUP = ["--set", "advantages=group", "--set", "replies=2"]


@pytest.mark.parametrize(("more", "words"), IDLE.values(), ids=IDLE)
def test_options_that_would_change_nothing_are_refused(more, words, folder, tmp_path, capsys):
    (folder / "plain.txt").write_text("a cup of tea\n" * 99, "utf-8")
    (folder / "empty.txt").write_text("\n", "utf-8")
    places = {"DOCUMENTS": [f"{folder / 'plain.txt'}"], "EMPTY": [f"{folder / 'empty.txt'}"], "GROUP": GROUP}
    more = [word for given in more for word in places.get(given, [given])]
    assert shop.rlhf(folder, tmp_path / "run", *more) == 2
    said = capsys.readouterr().err
    assert re.search(words, said), said
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
def test_what_has_an_effect_together_still_runs(folder, tmp_path):
    (folder / "plain.txt").write_text("a cup of tea\n" * 99, "utf-8")
    for i, more in enumerate((GROUP, ["--documents", f"{folder / 'plain.txt'}", "--set", "ptx_coef=0.5"])):
        assert shop.rlhf(folder, tmp_path / str(i), *more, short=SHORT) == 0


@pytest.mark.parametrize("command", ["sft", "reward"])
def test_what_a_command_does_not_use_is_no_option_of_it(command, folder, tmp_path, capsys):
    """While these two train there are no replies to show."""
    with pytest.raises(SystemExit):
        main.main([command, "--model", "x", "--data", "y", "--output", f"{tmp_path}", "--show-every", "3"])
    assert f"{command} has no --show-every" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [["--seed", "5"], ["--set", "seed=5"]])
def test_a_seed_is_one_seed_however_it_is_said(seed, folder, tmp_path, monkeypatch):
    seen, roles = [], train.machine.roles
    monkeypatch.setattr(train.machine, "roles", lambda *args, **how: seen.append(how["seed"]) or roles(*args, **how))
    assert shop.rlhf(folder, tmp_path, *seed, short=SHORT) == 0 and seen == [5]


@pytest.mark.parametrize(
    ("config", "more", "words"),
    [
        ({}, {"mean_length": 20.0}, "--mean-length 20 has no effect"),
        ({"advantages": "group", "replies": 4}, {"critic": "x"}, "--critic x has no effect with advantages='group'"),
        ({"advantages": "group", "replies": 4, "lam": 0.9}, {}, "lam=0.9 has no effect"),
        ({"kl_loss_kind": "k3"}, {}, "kl_loss_kind='k3' has no effect"),
    ],
)
def test_an_export_refuses_what_its_run_would_not_use(config, more, words, folder, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(config), "utf-8")
    given = {o["name"].removeprefix("--").replace("-", "_"): o.get("default") for o in options.OPTIONS}
    given |= {"model": f"{folder / 'model'}", "prompts": f"{folder / 'prompts.jsonl'}", "format": "jsonl"} | more
    given |= {"reward": f"{folder / 'my_reward.py'}:score", "output": f"{tmp_path / 'verl'}"}
    with pytest.raises(ValueError, match=words):
        export.execute(given | {"config": f"{tmp_path / 'settings.json'}"})
    assert not (tmp_path / "verl").exists()


SIGNATURES = ["prompt", "", "prompt, reply, more", "*, prompt, reply", "prompt, /, *, reply"]


@pytest.mark.parametrize("takes", SIGNATURES)
def test_a_reward_function_with_other_parameters_is_told_which_it_must_take(takes, folder, tmp_path, capsys):
    """Not a line of a file of ours, where it is called."""
    (folder / "other.py").write_text(f"def score({takes}):\n    return 1.0\n")
    assert shop.rlhf(folder, tmp_path / "run", reward="other.py:score") == 2
    said = capsys.readouterr().err
    assert "it must take two texts, (prompt, reply)" in said and "TypeError: score() " in said, said
    assert "loading.py" not in said


def test_an_error_inside_of_a_reward_function_still_has_its_line(folder, tmp_path, capsys):
    (folder / "inside.py").write_text("def score(prompt, reply):\n    return len(1)\n")
    assert shop.rlhf(folder, tmp_path / "run", reward="inside.py:score") == 2
    said = capsys.readouterr().err
    assert "line 2 of inside.py" in said and "must take" not in said
