"""Notebook 04: generalized advantage estimation with both kinds of end.

n-step returns: nb04_steps.py. What follows a step, and the critic's targets: nb04_ends.py. The quiz: nb04_gae.toml.
"""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close


def _draw(g, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=g, dtype=dtype)


def _later(x):
    """x of the next step; 0 after the last one."""
    return torch.cat([x[..., 1:], torch.zeros_like(x[..., :1])], -1)


# ---- 04.gae: the recursion, with both kinds of end ---------------------------


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    """A_t = delta_t + gamma lam A_t+1, from the last step to the first; stopped where an episode ends. (..., T)."""
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values  # after the goal nothing comes
    trace = gamma * lam * (~(terminated | truncated)).to(deltas)  # no A of the next episode reaches this one
    advantages, later = torch.zeros_like(deltas), 0.0
    for t in reversed(range(deltas.shape[-1])):
        later = deltas[..., t] + trace[..., t] * later
        advantages[..., t] = later
    return advantages


def _recursion(deltas, trace, carry=0.0):
    advantages, later = torch.zeros_like(deltas), carry
    for t in reversed(range(deltas.shape[-1])):
        later = deltas[..., t] + trace[..., t] * later
        advantages[..., t] = later
    return advantages


def _gae_cases():
    g, no = torch.Generator().manual_seed(1), torch.tensor([False, False, False])
    r, v, nv = (torch.tensor(x).double() for x in ([0.0, 0.0, 1.0], [0.5, 0.6, 0.7], [0.6, 0.7, 9.0]))
    end = torch.tensor([False, False, True])
    cases = [(r, v, nv, no, no, 0.9, 0.5), (r, v, nv, end, no, 0.99, 0.95), (r, v, nv, no, end, 0.9, 0.5)]
    for shape, dtype, gamma, lam in (
        ((8,), torch.float64, 0.9, 0.8),
        ((3, 9), torch.float64, 0.97, 0.95),
        ((4, 6), torch.float32, 0.9, 1.0),
    ):
        r, v, nv = (_draw(g, *shape, dtype=dtype) for _ in range(3))
        u = torch.rand(*shape, generator=g)
        cases.append((r, v, nv, u < 0.2, u > 0.75, gamma, lam))
    return cases


def _zero_is_the_td_error(fn):
    """With lam = 0 the advantage must be the TD error: the critic is asked at once."""
    r, v, nv, end, cut, gamma, _ = _gae_cases()[3]
    want = r + gamma * torch.where(end, 0.0, nv) - v
    close(fn(r.clone(), v.clone(), nv.clone(), end, cut, gamma, 0.0), want, case=(r, v, nv, end, cut, gamma, 0.0))


def _one_is_return_minus_value(fn):
    """With lam = 1, on a walk that enters the goal, it must be the return minus V(s_t)."""
    r, v, _, _, _, gamma, _ = _gae_cases()[3]
    nv, end, cut = _later(v), torch.arange(8) == 7, torch.zeros(8).bool()
    G = torch.stack([sum(gamma ** (k - t) * r[k] for k in range(t, 8)) for t in range(8)])
    close(fn(r.clone(), v.clone(), nv, end, cut, gamma, 1.0), G - v, case=(r, v, nv, end, cut, gamma, 1.0))


def _two_episodes_in_a_row(fn):
    """Two episodes in one row must give what each of them gives alone."""
    for kind in ("end", "cut"):
        r, v, nv = _gae_cases()[3][:3]
        none, last = torch.zeros(8).bool(), torch.arange(8) == 3
        flags = (last, none) if kind == "end" else (none, last)
        alone = [fn(*(x[part].clone() for x in (r, v, nv, *flags)), 0.9, 0.8) for part in (slice(0, 4), slice(4, 8))]
        together = fn(*(x.clone() for x in (r, v, nv, *flags)), 0.9, 0.8)
        close(together, torch.cat(alone), case=(r, v, nv, *flags, 0.9, 0.8))


def _done_is_ignored(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * next_values - values
    return _recursion(deltas, torch.full_like(deltas, gamma * lam))


def _trace_never_cut(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return _recursion(deltas, torch.full_like(deltas, gamma * lam))


def _trace_runs_over_the_limit(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return _recursion(deltas, gamma * lam * (~terminated).to(deltas))


def _limit_is_the_goal(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated | truncated, truncated, gamma, lam)


def _goes_on_after_the_goal(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * next_values - values
    return _recursion(deltas, gamma * lam * (~(terminated | truncated)).to(deltas))


def _flags_one_step_late(rewards, values, next_values, terminated, truncated, gamma, lam):
    def late(x):
        return torch.cat([x[..., 1:], x[..., -1:]], -1)

    return gae(rewards, values, next_values, late(terminated), late(truncated), gamma, lam)


def _next_flag_stops_the_trace(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    goes_on = (~(terminated | truncated)).to(deltas)
    return _recursion(deltas, gamma * lam * torch.cat([goes_on[..., 1:], goes_on[..., -1:]], -1))


def _value_of_the_next_entry(rewards, values, next_values, terminated, truncated, gamma, lam):
    shifted = torch.cat([values[..., 1:], next_values[..., -1:]], -1)
    return gae(rewards, values, shifted, terminated, truncated, gamma, lam)


def _no_gamma_in_the_trace(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return _recursion(deltas, lam * (~(terminated | truncated)).to(deltas))


def _own_advantage_not_the_next(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, 0.0)


def _discounts_the_error(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return _recursion(gamma * lam * deltas, (~(terminated | truncated)).to(deltas))


def _returns_instead(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam) + values


def _starts_with_the_last_value(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return _recursion(deltas, gamma * lam * (~(terminated | truncated)).to(deltas), carry=next_values[..., -1])


def _no_advantage_at_the_end(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas, ended = gae(rewards, values, next_values, terminated, truncated, gamma, 0.0), terminated | truncated
    return _recursion(torch.where(ended, 0.0, deltas), gamma * lam * (~ended).to(deltas))


def _from_the_front(rewards, values, next_values, terminated, truncated, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    trace = gamma * lam * (~(terminated | truncated)).to(deltas)
    return _recursion(deltas.flip(-1), trace.flip(-1)).flip(-1)


GAE = Exercise(
    id="04.gae",
    title="Generalized advantage estimation",
    solution=gae,
    cases=_gae_cases,
    properties=[_zero_is_the_td_error, _one_is_return_minus_value, _two_episodes_in_a_row],
    mistakes=[
        Mistake(
            _done_is_ignored,
            "The flags are not used. After the goal there is no future, and behind every end stands another episode "
            "that must not leak into this one.",
            "walkinglabs/hands-on-modern-rl issue 63: a first PPO lab that does not learn",
        ),
        Mistake(
            _trace_never_cut,
            "The TD errors are right, but the sum runs on into the next episode. Where an episode ends, of either "
            "kind, the trace is cut: nothing of A_t+1 is added.",
            "vietnh1009/Super-mario-bros-PPO-pytorch issue 21",
        ),
        Mistake(
            _trace_runs_over_the_limit,
            "The trace is cut at the goal but runs over the step limit. There too the next entry of the row belongs to "
            "another episode.",
            "Toni-SM/skrl issues 224 and 449, the default setting",
        ),
        Mistake(
            _limit_is_the_goal,
            "You treated the step limit as the goal. A truncated walk would have gone on: its future is worth "
            "`next_values`. Only `terminated` makes it 0; both cut the trace.",
            "vwxyzjn/cleanrl issue 198 and pull requests 311 and 448, Toni-SM/skrl issue 449, the other setting",
        ),
        Mistake(
            _goes_on_after_the_goal,
            "A value was added after the goal. Where `terminated` is true, the TD error is r - V(s), whatever "
            "`next_values` holds there.",
            "asked of thu-ml/tianshou in issue 869",
        ),
        Mistake(
            _flags_one_step_late,
            "Each step got the flags of the step after it. Here `terminated[t]` says what step t itself did, so the "
            "index is t, not t + 1.",
            "anthonytorlucci/rlevo issue 342, RoboVerseOrg/RoboVerse pull request 814",
        ),
        Mistake(
            _next_flag_stops_the_trace,
            "The trace was stopped by the flag of the NEXT step. Code that stores flags before the step needs that; "
            "here a flag belongs to the step that ended: index t.",
        ),
        Mistake(
            _value_of_the_next_entry,
            "You used V of the next entry of the row. After an end that is another episode: `next_values[t]` has the "
            "right square.",
        ),
        Mistake(
            _no_gamma_in_the_trace,
            "The trace has lam but no gamma: the TD error of k steps later counts (gamma lam)^k times.",
            "callummcdougall/ARENA_3.0 pull request 249, a gamma missing in GAE",
        ),
        Mistake(
            _own_advantage_not_the_next,
            "Nothing of the later steps arrives: this is the TD error alone. Did you add `advantages[t]`, which is "
            "still 0, instead of `advantages[t + 1]`?",
            "4kasha/CartPole_PPO issue 1",
        ),
        Mistake(
            _discounts_the_error,
            "You discounted the new TD error instead of the sum so far. Going backwards, the OLD sum moves one step "
            "away, so it is the one that shrinks.",
            "proposed in ikostrikov/pytorch-a3c issue 34",
        ),
        Mistake(
            _returns_instead,
            "These are advantages plus values, the targets for the critic. Here the advantages alone are asked for.",
            "higgsfield-ai/higgsfield issue 6",
        ),
        Mistake(
            _starts_with_the_last_value,
            "The value behind the row is counted twice: the last TD error holds it already. The sum starts at 0.",
            "simonsays1980/rl-triton pull request 4",
        ),
        Mistake(
            _no_advantage_at_the_end,
            "Where an episode ends, A itself became 0. Only A_t+1 is cut off: the TD error of the last step stays.",
        ),
        Mistake(
            _from_the_front,
            "You went from the first step to the last. An advantage collects what comes AFTER it, so begin at the end.",
        ),
    ],
    hints=[
        "Two lines without a loop: the TD errors (0 instead of `next_values` where terminated), and the factor that "
        "A_t+1 gets (gamma * lam, or 0 where an episode ends).",
        "Then one loop over `reversed(range(T))`: a running sum, multiplied by the factor of step t, plus the TD error "
        "of step t.",
        "`later = deltas[..., t] + trace[..., t] * later`, stored in `advantages[..., t]`.",
    ],
)
