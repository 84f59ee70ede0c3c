"""Notebook 04: what follows a step when records end, and the two things that are made of advantages."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from ..check.texts import written

# ---- 04.truncation: from a record of steps to what gae needs -----------------


def what_follows(table, states, returned, final, terminated, truncated):
    """The value of what really came next, and where the trace is cut: two (..., T), the second bool."""
    ended = terminated | truncated
    arrived = torch.where(ended, final, returned)  # before any reset
    next_values = torch.where(terminated, 0.0, table[arrived])  # nothing comes after the goal
    return next_values, ended


def _record(table, rows):
    """rows: (state, returned, final, terminated, truncated) of each step; final is filled with 0 where none ended."""
    states, returned, final, terminated, truncated = (torch.tensor(column) for column in zip(*rows))
    return torch.tensor(table).double(), states, returned, final, terminated.bool(), truncated.bool()


def _record_cases():
    on, end, cut = (0, 0), (1, 0), (0, 1)
    two = _record([5.0, 6.0, 7.0, 8.0], [(0, 1, 0, *on), (1, 0, 2, *cut)])
    goal = _record([5.0, 6.0, 7.0, 8.0], [(1, 2, 0, *on), (2, 0, 3, *end), (0, 1, 0, *on), (1, 0, 2, *cut)])
    start = _record([5.0, 6.0, 7.0, 8.0], [(1, 0, 0, *on), (0, 3, 0, *cut), (3, 2, 0, *on)])  # cut on square 0
    cases = [two, goal, start]
    for seed, shape in ((0, (12,)), (1, (3, 8))):
        g = torch.Generator().manual_seed(seed)
        table = torch.randn(16, generator=g, dtype=torch.float64) * 3
        states, returned, final = (torch.randint(1, 16, shape, generator=g) for _ in range(3))
        u = torch.rand(shape, generator=g)
        terminated, truncated = u < 0.2, u > 0.7
        ended = terminated | truncated
        returned = torch.where(ended, 0, returned)  # back on the start
        cases.append((table, states, returned, torch.where(ended, final, 0), terminated, truncated))
    return cases


def _the_loop_rests(fn):
    """One square, reward 1 for ever, cut after every second step, gamma 0.9: V = 10 must be its own target."""
    case = _record([10.0], [(0, 0, 0, 0, 0), (0, 0, 0, 0, 1)] * 2)
    next_values, cut = fn(*case)
    close(1 + 0.9 * next_values, torch.full((4,), 10.0), case=case)
    close(cut.double(), [0.0, 1.0, 0.0, 1.0], case=case)


def _nothing_after_the_goal(fn):
    """Where `terminated` is true, the next value must be 0, whatever the table says about the goal."""
    case = _record_cases()[1]
    close(fn(*case)[0][1], 0.0, case=case)


def _limit_is_the_goal(table, states, returned, final, terminated, truncated):
    ended = terminated | truncated
    return torch.where(ended, 0.0, table[returned]), ended


def _value_of_the_reset(table, states, returned, final, terminated, truncated):
    return torch.where(terminated, 0.0, table[returned]), terminated | truncated


def _value_of_this_square(table, states, returned, final, terminated, truncated):
    arrived = torch.where(truncated, states, returned)
    return torch.where(terminated, 0.0, table[arrived]), terminated | truncated


def _cut_at_the_goal_only(table, states, returned, final, terminated, truncated):
    return what_follows(table, states, returned, final, terminated, truncated)[0], terminated


def _cut_at_the_limit_only(table, states, returned, final, terminated, truncated):
    return what_follows(table, states, returned, final, terminated, truncated)[0], truncated


def _never_cut(table, states, returned, final, terminated, truncated):
    return table[returned], torch.zeros_like(terminated)


def _value_of_the_goal(table, states, returned, final, terminated, truncated):
    ended = terminated | truncated
    return table[torch.where(ended, final, returned)], ended


def _final_everywhere(table, states, returned, final, terminated, truncated):
    return torch.where(terminated, 0.0, table[final]), terminated | truncated


def _zero_means_nothing(table, states, returned, final, terminated, truncated):
    arrived = torch.where(final > 0, final, returned)
    return torch.where(terminated, 0.0, table[arrived]), terminated | truncated


def _one_step_late(table, states, returned, final, terminated, truncated):
    def late(x):
        return torch.cat([x[..., 1:], x[..., -1:]], -1)

    return what_follows(table, states, returned, final, late(terminated), late(truncated))


def _cut_means_go_on(table, states, returned, final, terminated, truncated):
    next_values, ended = what_follows(table, states, returned, final, terminated, truncated)
    return next_values, ~ended


TRUNCATION = Exercise(
    id="04.truncation",
    title="What follows a step",
    solution=what_follows,
    cases=_record_cases,
    properties=[_the_loop_rests, _nothing_after_the_goal],
    mistakes=[
        Mistake(
            _limit_is_the_goal,
            "You treated the step limit as the goal. There the record ends, not the robot's future: it is worth "
            "`table[final]`. Only `terminated` makes it 0.",
            "vwxyzjn/cleanrl issue 198 and pull requests 311 and 448, Toni-SM/skrl issue 449",
        ),
        Mistake(
            _value_of_the_reset,
            "At the step limit you asked the critic about the square after the reset. That is the first square of the "
            "next episode; this one ended on `final`.",
            "google-deepmind/mujoco_playground issue 305",
        ),
        Mistake(
            _value_of_this_square,
            "At the step limit you asked the critic about the square the robot came from. It had moved on, to `final`.",
            "DexForce/EmbodiChain pull requests 610 and 612, leggedrobotics/rsl_rl issue 151",
        ),
        Mistake(
            _cut_at_the_goal_only,
            "The next values are right, but the trace is cut at the goal only. Behind a step limit too stands another "
            "episode.",
            "Toni-SM/skrl issues 224 and 449",
        ),
        Mistake(
            _cut_at_the_limit_only,
            "The second result is true at the step limit only. Either kind of end cuts the trace: behind the goal too "
            "stands another episode.",
        ),
        Mistake(
            _never_cut,
            "The flags are not used at all: every end looks like one more move to the start.",
            "walkinglabs/hands-on-modern-rl issue 63",
        ),
        Mistake(
            _value_of_the_goal,
            "The table has an entry for the goal, and you used it. Nothing comes after the goal: where `terminated` is "
            "true, the next value is 0.",
        ),
        Mistake(
            _final_everywhere,
            "`final` is filled in only where an episode ended. On all other steps the robot arrived on `returned`.",
        ),
        Mistake(
            _zero_means_nothing,
            "You took final = 0 for 'nothing'. Square 0 is a square, and an episode may be cut there: ask the flags.",
        ),
        Mistake(
            _one_step_late,
            "Each step got the flags of the step after it: every end is noticed one step too early.",
            "anthonytorlucci/rlevo issue 342, RoboVerseOrg/RoboVerse pull request 814",
        ),
        Mistake(
            _cut_means_go_on, "The second result is upside down: true where the trace is cut, not where it goes on."
        ),
    ],
    hints=[
        "First: on which square did the robot really stand after the step? Where an episode ended it is in `final`, "
        "elsewhere in `returned`.",
        "Then ask the table about that square, and put 0 where `terminated` is true. An end of either kind cuts.",
        "`arrived = torch.where(ended, final, returned)`, then `torch.where(terminated, 0.0, table[arrived])`.",
    ],
)


# ---- 04.returns: one set of advantages, two uses -----------------------------


def returns_and_weights(advantages, values):
    """Targets for the critic, from the advantages as they are; weights for the actor, whitened. (B, T) each."""
    returns = advantages + values
    weights = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return returns, weights


def _batch_cases():
    g = torch.Generator().manual_seed(0)
    one = torch.tensor([[1.0, 3.0, 8.0]]).double(), torch.tensor([[-7.0, -5.0, -2.0]]).double()

    def batch(*shape, dtype=torch.float64):
        return 3 * torch.randn(*shape, generator=g, dtype=dtype) + 1, torch.randn(*shape, generator=g, dtype=dtype) - 7

    return [one, batch(2, 3), batch(3, 5), batch(4, 4), batch(3, 6, dtype=torch.float32)]


def _targets_add_up(fn):
    """A critic that moves onto its targets must move by exactly the advantages."""
    advantages, values = _batch_cases()[1]
    close(fn(advantages.clone(), values.clone())[0] - values, advantages, case=(advantages, values))


def _weights_are_white(fn):
    """The weights of the whole batch must have mean 0 and standard deviation 1, as `torch.std` measures it."""
    advantages, values = _batch_cases()[2]
    weights = fn(advantages.clone(), values.clone())[1]
    close(weights.mean(), 0.0, case=(advantages, values), atol=1e-6)
    close(weights.std(), 1.0, case=(advantages, values), rtol=1e-4)


def _white(x):
    return (x - x.mean()) / (x.std() + 1e-8)


def _targets_from_the_weights(advantages, values):
    return _white(advantages) + values, _white(advantages)


def _targets_without_values(advantages, values):
    return advantages.clone(), _white(advantages)


def _targets_stand_still(advantages, values):
    return torch.zeros_like(advantages) + values, _white(advantages)


def _minus_values(advantages, values):
    return advantages - values, _white(advantages)


def _white_targets(advantages, values):
    return _white(advantages + values), _white(advantages)


def _whitens_the_returns(advantages, values):
    return advantages + values, _white(advantages + values)


def _whitens_across_rows(advantages, values):
    spread = advantages.std(0, unbiased=False) + 1e-8
    return advantages + values, (advantages - advantages.mean(0)) / spread


def _whitens_each_row(advantages, values):
    spread = advantages.std(-1, keepdim=True) + 1e-8
    return advantages + values, (advantages - advantages.mean(-1, keepdim=True)) / spread


def _divides_by_n(advantages, values):
    return advantages + values, (advantages - advantages.mean()) / (advantages.std(unbiased=False) + 1e-8)


def _only_divides(advantages, values):
    return advantages + values, advantages / (advantages.std() + 1e-8)


def _not_whitened(advantages, values):
    return advantages + values, advantages.clone()


RETURNS = Exercise(
    id="04.returns",
    title="Targets for the critic, weights for the actor",
    solution=returns_and_weights,
    cases=_batch_cases,
    properties=[_targets_add_up, _weights_are_white],
    rtol=1e-4,
    atol=1e-6,
    mistakes=[
        Mistake(
            _targets_from_the_weights,
            "The targets were made from the whitened advantages. Whitening takes their mean away, so the critic would "
            "never learn how high it stands. Targets first, whitening after.",
            "luchris429/model-free-opponent-shaping issue 1, with whitened returns",
        ),
        Mistake(
            _targets_without_values,
            "The targets are the advantages alone. An advantage says how far the critic was off, so what it said must "
            "be added again.",
            "asked in openai/baselines issue 126",
        ),
        Mistake(
            _targets_stand_still,
            "The targets are the old values, so the critic would never move. Were the advantages you added still zero?",
            "vwxyzjn/cleanrl pull request 337",
        ),
        Mistake(_minus_values, "Advantages are returns MINUS values, so returns are advantages PLUS values."),
        Mistake(
            _white_targets,
            "The targets are whitened. The critic then learns a return of mean 0, and no TD error fits it any more.",
        ),
        Mistake(
            _whitens_the_returns,
            "The weights are whitened returns. The actor wants advantages: was it better than expected here?",
        ),
        Mistake(
            _whitens_across_rows,
            "You whitened every column by itself. With one row nothing is left but zeros. Take all steps of all rows "
            "together.",
            "tensorflow/agents issue 651",
        ),
        Mistake(
            _whitens_each_row,
            "You whitened each row by itself. One mean and one standard deviation for the whole batch.",
        ),
        Mistake(
            _divides_by_n,
            "Your standard deviation divides by N, as NumPy's does; `torch.std` divides by N - 1, and so do we.",
        ),
        Mistake(_only_divides, "The mean is still in the weights. Whitening subtracts it, then divides."),
        Mistake(_not_whitened, "The weights are the advantages as they are. Subtract the mean, divide by the spread."),
        *written(returns_and_weights),
    ],
    hints=[
        "An advantage is a return minus a value. Solve for the return.",
        "The weights: minus the mean of the whole batch, divided by its standard deviation plus 1e-8.",
        "`advantages + values`, and `(advantages - advantages.mean()) / (advantages.std() + 1e-8)`.",
    ],
)
