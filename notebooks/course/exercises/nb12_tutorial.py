"""Exercise 12.ppo_iteration: a tutorial's loop of PPO for language models, repaired with the functions of the maze."""

from __future__ import annotations

from functools import wraps

import torch

from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae, whiten  # noqa: F401  (an edit below calls it)

from ..check.compare import difference
from ..check.spec import Exercise, Mistake, Wrong, close, require
from ..edited import edited
from .nb12_rewards import last_column, shape_rewards  # noqa: F401  (an edit below calls the first)
from .nb12_stand_ins import after, movement, situation


def ppo_iteration(actor, critic, reference, optimizer, ids, mask, scores, beta, epochs):
    """One iteration of PPO on sampled replies: note what is data, then some epochs of clipped steps."""
    with torch.no_grad():  # what was true when the replies were sampled
        logp_old, logp_ref, values_old = (torch.where(mask, model(ids), 0.0) for model in (actor, reference, critic))
        rewards = shape_rewards(scores, logp_old, logp_ref, mask, beta)
        next_values = torch.cat([values_old[:, 1:], torch.zeros_like(values_old[:, :1])], -1)  # behind the end: 0
        end = torch.zeros_like(mask)  # so no flag has to say that nothing follows
        advantages, returns = gae(rewards, values_old, next_values, terminated=end, mask=mask, gamma=1.0, lam=0.95)
    for _ in range(epochs):
        logp, values = torch.where(mask, actor(ids), 0.0), torch.where(mask, critic(ids), 0.0)
        objective = clipped_surrogate(logp, logp_old, advantages, eps=0.2)
        loss = aggregate(value_loss(values, returns) - objective, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def tutorial(actor, critic, reference, optimizer, ids, mask, scores, beta, epochs):
    """As a popular tutorial has it, in our words."""
    logp_old, logp_ref, values_old = actor(ids), reference(ids), critic(ids)
    rewards = -beta * (logp_old - logp_ref)
    rewards[:, -1] += scores  # the score is paid at the end
    advantages, following = torch.zeros_like(rewards), 0.0
    for t in reversed(range(rewards.shape[1])):
        next_value = values_old[:, t + 1] if t + 1 < rewards.shape[1] else 0.0
        following = rewards[:, t] + next_value - values_old[:, t] + 0.95 * following
        advantages[:, t] = following
    returns = advantages + values_old
    for _ in range(epochs):
        ratio = actor(ids).exp() / logp_old.exp()  # clip
        policy_loss = (-advantages * ratio).mean()
        value_loss = (returns - critic(ids)).square().mean()
        loss = policy_loss + 0.5 * value_loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


# ---- what must hold --------------------------------------------------------------------------------------------------


def _cases():
    return [situation(1, (0,), (1,), (2,)), situation(2), situation(3, dtype=torch.float32)]


JUDGED = (  # settings of situations; between them every known mistake does something else than the solution
    {"seed": 7, "epochs": 4, "shared": True},
    {"seed": 10, "epochs": 3, "lr": 40.0},
    {"seed": 8, "epochs": 2, "outside": torch.nan},
    {"seed": 9, "epochs": 2, "lower": 200.0, "dtype": torch.float32},
    {"seed": 4},
    {"seed": 5, "pads": (3, 1), "prompts": (4, 4), "lengths": (5, 7), "beta": 0.5},
    {"seed": 6, "epochs": 3, "lr": 2.0},
)


def _epochs_end(fn):
    """A second epoch is possible: what was noted before the loop is data, without a graph behind it."""
    try:
        fn(*situation(11, epochs=2))
    except Wrong as wrong:
        wrong.mistake = "_not_data" if "second time" in wrong.message else ""
        raise


def _outside(fn):
    """Prompt and padding are no actions: nothing outside the mask moves, in the actor or in the critic."""
    case = situation(12)
    actor, critic = movement(fn, case)
    for name, moved in (("actor's", actor), ("critic's", critic)):
        most = moved.where(~case[5], 0.0).abs().max().item()
        require(most < 1e-9, f"The {name} numbers out there move by up to {most:.3g}.", case=())


def _reference_stays(fn):
    """The reference is read, and gets no gradient."""
    case = situation(13)
    fn(*case)
    read = all(p.grad is None or not p.grad.any() for p in case[2].parameters())
    require(read, case=(), mistake="_not_data")


def _first_step(fn):
    """Where the ratio is 1, the gradient is plain policy gradient: each real token moves by lr · A / (real tokens)."""
    rate, case = 0.1, situation(14, (1,), (2,), (2,), lr=0.1, beta=0.5)
    actor, critic, reference, _, _, mask, scores, beta, _ = case
    old, ref, values = (model(None).detach()[0, 3:5].tolist() for model in (actor, reference, critic))
    last = -beta * (old[1] - ref[1]) + scores.item() - values[1]
    first = -beta * (old[0] - ref[0]) + values[1] - values[0] + 0.95 * last
    got = movement(fn, case)[0][mask]
    want = torch.tensor([first, last]).to(got) * rate / 2
    require(got.any(), "Nothing moves: `backward()` finds the gradients, and `step()` goes along them.", case=())
    close(got, want, f"A reply of two tokens moves by {_row(got)}, and should by {_row(want)}.", case=(), rtol=1e-4)


def _padding(fn):
    """What stands on prompt and padding changes nothing: 1e6 there, or NaN."""
    before = after(fn, situation(15, epochs=2))
    words, near = "With {:g} there, the real tokens move elsewhere.", {"case": (), "rtol": 1e-4, "atol": 1e-6}
    close(after(fn, situation(15, epochs=2, outside=1e6)), before, words.format(1e6), **near)
    try:
        close(after(fn, situation(15, epochs=2, outside=torch.nan)), before, words.format(torch.nan), **near)
    except Wrong as wrong:
        wrong.mistake = "_nan_leaks"
        raise


def _clipped(fn):
    """A ratio beyond 0.8 ... 1.2 stops a token: after one large step all further epochs leave it where it is."""
    one, more = (movement(fn, situation(22, epochs=epochs, lr=40.0))[0] for epochs in (1, 4))
    worst = ((more - one).abs() * ((one.exp() - 1).abs() > 0.2)).argmax()
    got, want = more.flatten()[worst].item(), one.flatten()[worst].item()
    close(got, want, f"One epoch moves one of them by {want:+.4f}, four by {got:+.4f}.", case=(), rtol=1e-4)


def _unlikely(fn):
    """A token with a probability below the smallest float is a token like any other."""
    usual, low = (movement(fn, situation(17, epochs=2, lower=x, dtype=torch.float32))[0] for x in (0.0, 200.0))
    close(low, usual, "All log-probabilities 200 lower, no ratio changes.", case=(), rtol=1e-2, atol=1e-3)


def _everything(fn):
    """On every batch actor and critic end where the repaired loop takes them."""
    for settings in JUDGED:
        case = situation(**settings)
        pairs = zip(("actor", "critic"), after(fn, case), after(ppo_iteration, situation(**settings)))
        first = next((name for name, got, want in pairs if not _alike(got, want)), None)
        require(first is None, f"Here the {first} does not: beta {case[-2]}, epochs {case[-1]}.", case=())


def _row(x) -> str:
    return ", ".join(f"{v:+.4f}" for v in x.flatten().tolist())


# ---- wrong answers: the solution with one line as somebody wrote it --------------------------------------------------


def _named(holds):
    """The property, which also says which known mistake it is, if the function does just what that one does."""

    @wraps(holds)
    def check(fn):
        try:
            holds(fn)
        except Wrong as wrong:
            wrong.mistake = _recognised(fn) or wrong.mistake
            raise

    return check


def _recognised(fn) -> str:
    mine = [_ends(fn, settings) for settings in JUDGED]
    for mistake in TUTORIAL.mistakes:
        if all(_alike(here, _ends(mistake.fn, settings)) for here, settings in zip(mine, JUDGED)):
            return mistake.fn.__name__
    return ""


def _ends(fn, settings: dict):
    try:
        found = after(fn, situation(**settings))
    except Exception:
        return "broken"
    return found if all(x.isfinite().all() for x in found) else "broken"


def _alike(a, b) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str)
    return difference(a, b, rtol=1e-4, atol=1e-6, check_dtype=False) is None


NOTED = "(torch.where(mask, model(ids), 0.0) for model in (actor, reference, critic))"
LINES = "torch.where(mask, actor(ids), 0.0), torch.where(mask, critic(ids), 0.0)"
SHAPED = "shape_rewards(scores, logp_old, logp_ref, mask, beta)"
CLIP = "clipped_surrogate(logp, logp_old, advantages, eps=0.2)"
RATIO = "torch.exp(logp - logp_old)"
LOSS = "aggregate(value_loss(values, returns) - objective, mask)"
ROWS = "mask = mask.flip(1).cumsum(1).flip(1) > 0\n    with torch.no_grad():"  # from column 0 to the end of the reply

SUITE = (_epochs_end, _reference_stays, _outside, _first_step, _padding, _clipped, _unlikely, _everything)

TUTORIAL = Exercise(
    id="12.ppo_iteration",
    title="Repair the tutorial's loop",
    solution=ppo_iteration,
    cases=_cases,
    properties=[_named(holds) for holds in SUITE],
    many_answers=True,  # whatever comes back: what counts is what the models have become
    mistakes=[
        Mistake(
            tutorial,
            "This is the tutorial as it stands. Before the loop nothing is learned: put it under `torch.no_grad()`. "
            "Without that the second epoch fails, and in the first one the actor's two gradients cancel.",
            "a popular tutorial on PPO for language models",
        ),
        Mistake(
            edited(
                ppo_iteration,
                {
                    "with torch.no_grad():": "if True:",
                    CLIP: f"torch.minimum({RATIO} * advantages, {RATIO}.clamp(0.8, 1.2) * advantages)",
                },
                "_not_data",
            ),
            "The old log-probabilities carry a gradient. In the first epoch it cancels that of the new ones, in the "
            "second the graph is gone. They were noted while sampling: `torch.no_grad()`.",
            "hijkzzz/pymarl2 issue 46",
        ),
        Mistake(
            edited(ppo_iteration, {CLIP: f"{RATIO} * advantages"}, "_no_clip"),
            "The comment says clip, the code does not. `clipped_surrogate` takes the smaller of the two products.",
            "a popular tutorial on PPO for language models",
        ),
        Mistake(
            edited(ppo_iteration, {CLIP: f"{RATIO}.clamp(0.8, 1.2) * advantages"}, "_clamp_alone"),
            "You clamp the ratio and forget the minimum. A token that went the WRONG way beyond the range then has no "
            "gradient back.",
        ),
        Mistake(
            edited(
                ppo_iteration, {CLIP: f"torch.minimum({RATIO}, {RATIO}.clamp(0.8, 1.2)) * advantages"}, "_min_first"
            ),
            "The smaller ratio was taken, and then multiplied. For A < 0 the order turns round: multiply first.",
            "takuseno/ppo issue 3",
        ),
        Mistake(
            edited(ppo_iteration, {CLIP: "clipped_surrogate(logp, logp.detach(), advantages, eps=0.2)"}, "_old_is_new"),
            "Your old log-probabilities are those of this very epoch, so every ratio is 1 and nothing is ever clipped. "
            "Note them once, before the loop.",
            "tensorforce/tensorforce issue 312",
        ),
        Mistake(
            edited(
                ppo_iteration,
                {CLIP: CLIP.replace("(logp, logp_old", "((logp.exp() / logp_old.exp()).log(), 0 * logp_old")},
                "_probabilities",
            ),
            "Probabilities are divided. For an unlikely token both are 0 in floating point, and 0 / 0 is NaN. Subtract "
            "the logarithms first.",
        ),
        Mistake(
            edited(ppo_iteration, {SHAPED: SHAPED.replace("shape_rewards", "last_column")}, "_last_column"),
            "The score is paid in the last column. For a short reply that is padding, and its tokens never hear of it.",
            "openai/lm-human-preferences issue 12 asks about this very line",
        ),
        Mistake(
            edited(ppo_iteration, {SHAPED: SHAPED.replace("beta", "0.0")}, "_no_price"),
            "The price of leaving the reference is missing: β times log π_old - log π_ref, on every real token.",
        ),
        Mistake(
            edited(ppo_iteration, {NOTED: "(model(ids) for model in (actor, reference, critic))"}, "_value_of_padding"),
            "The last token of a reply looks up the value of the padding behind it. Nothing follows there: 0, which "
            "`torch.where(mask, critic(ids), 0.0)` gives.",
            "volcengine/verl pull request 50",
        ),
        Mistake(
            edited(ppo_iteration, {"with torch.no_grad():": ROWS}, "_prompt_too"),
            "The prompt takes part. Nobody chose its tokens, and it outnumbers many replies: only the mask is real.",
            "radixark/miles pull request 1827, for the answers of tools",
        ),
        Mistake(
            edited(ppo_iteration, {LOSS: "(value_loss(values, returns) - objective).mean()"}, "_mean_of_all"),
            "The loss is divided by the number of all places, prompt and padding included: `aggregate(..., mask)`.",
        ),
        Mistake(
            edited(ppo_iteration, {LOSS: "(value_loss(values, returns) - objective)[mask].sum()"}, "_sum"),
            "A sum over tokens grows with the batch, and with it the step. A mean over the real tokens.",
        ),
        Mistake(
            edited(ppo_iteration, {LOSS: LOSS.replace("mask)", 'mask, "seq-mean-token-mean")')}, "_mean_a_reply"),
            "The mean of each reply was taken, and then the mean of these. Some algorithms choose that. Here every "
            "real token counts the same.",
        ),
        Mistake(
            edited(ppo_iteration, {"(values, returns) - objective": "(values, returns) + objective"}, "_no_minus"),
            "The objective goes up, the loss goes down: a minus is missing.",
            "natolambert/rlhf-book issue 125",
        ),
        Mistake(
            edited(ppo_iteration, {"value_loss(values, returns) - objective": "-objective"}, "_no_critic"),
            "The critic's loss is gone: it never learns, and advantages stay as noisy as in the first iteration.",
        ),
        Mistake(
            edited(ppo_iteration, {"value_loss(values, returns)": "2 * value_loss(values, returns)"}, "_whole_square"),
            "The critic's loss lost its 1/2: `value_loss` has it inside, a square of your own needs it in front.",
        ),
        Mistake(
            edited(ppo_iteration, {"value_loss(values, returns)": "value_loss(values, returns) / 2"}, "_halved_twice"),
            "`value_loss` has its 1/2 inside. Another one, as in the tutorial's line, halves the steps of the critic.",
        ),
        Mistake(
            edited(ppo_iteration, {"        optimizer.zero_grad()\n": ""}, "_gradients_add_up"),
            "Without `zero_grad()` the gradients of all epochs add up.",
        ),
        Mistake(
            edited(ppo_iteration, {"range(epochs)": "range(1)"}, "_one_epoch"),
            "You go over the data once. `epochs` says how often.",
        ),
        Mistake(
            edited(
                ppo_iteration, {"lam=0.95)": "lam=0.95)\n        advantages = whiten(advantages, mask)"}, "_whitened"
            ),
            "You whiten the advantages. That is often wise and was the course's choice; this tutorial does not, and "
            "its repair should not hide other changes.",
        ),
        Mistake(
            edited(
                ppo_iteration,
                {
                    NOTED: "(model(ids) * mask for model in (actor, reference, critic))",
                    LINES: "actor(ids) * mask, critic(ids) * mask",
                },
                "_nan_leaks",
            ),
            "NaN on prompt or padding reaches your loss. A product with the mask does not help, 0 times NaN is NaN: "
            "`torch.where(mask, x, 0.0)`, around each of the models' numbers, chooses before it computes.",
            "OpenRLHF/OpenRLHF pull request 1240",
        ),
    ],
    hints=[
        "Sort the lines: what was true when the replies were sampled, and what changes with every epoch? The first "
        "group is data. Then ask of each line what it does with prompt and padding.",
        "Before the loop, under `torch.no_grad()`: three `torch.where(mask, model(ids), 0.0)`, `shape_rewards`, `gae` "
        "with `mask=mask` and the next values (0 behind the last column).",
        "In the loop: `objective = clipped_surrogate(logp, logp_old, advantages, 0.2)` and "
        "`loss = aggregate(value_loss(values, returns) - objective, mask)`, then zero_grad, backward, step.",
    ],
)
