"""gae: generalized advantage estimation."""

import torch

from ..check import Exercise, close, rows


def _later(x):
    """x of the next step; 0 after the last one."""
    return torch.cat([x[..., 1:], torch.zeros_like(x[..., :1])], -1)


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    """A_t = delta_t + gamma lam A_t+1, from the last step to the first; stopped where an episode ends. (..., T)."""
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values  # after the goal nothing comes
    trace = gamma * lam * (~(terminated | truncated)).to(deltas)  # no A of the next episode reaches this one
    advantages, later = torch.zeros_like(deltas), 0.0
    for t in reversed(range(deltas.shape[-1])):
        later = deltas[..., t] + trace[..., t] * later
        advantages[..., t] = later
    return advantages


def drawn(g, shape, gamma, lam, dtype=torch.float64):
    r, v, nv = (torch.randn(*shape, generator=g, dtype=dtype) for _ in range(3))
    u = torch.rand(*shape, generator=g)
    return r, v, nv, u < 0.2, u > 0.75, gamma, lam


cases = rows("gae", drawn)


def zero_is_the_td_error(fn):
    r, v, nv, end, cut, gamma, _ = cases()[3]
    want = r + gamma * torch.where(end, 0.0, nv) - v
    close(fn(r.clone(), v.clone(), nv.clone(), end, cut, gamma, 0.0), want, case=(r, v, nv, end, cut, gamma, 0.0))


def one_is_return_minus_value(fn):
    r, v, _, _, _, gamma, _ = cases()[3]
    nv, end, cut = _later(v), torch.arange(8) == 7, torch.zeros(8).bool()
    G = torch.stack([sum(gamma ** (k - t) * r[k] for k in range(t, 8)) for t in range(8)])
    close(fn(r.clone(), v.clone(), nv, end, cut, gamma, 1.0), G - v, case=(r, v, nv, end, cut, gamma, 1.0))


def two_episodes_in_a_row(fn):
    for kind in ("end", "cut"):
        r, v, nv = cases()[3][:3]
        none, last = torch.zeros(8).bool(), torch.arange(8) == 3
        flags = (last, none) if kind == "end" else (none, last)
        alone = [fn(*(x[part].clone() for x in (r, v, nv, *flags)), 0.9, 0.8) for part in (slice(0, 4), slice(4, 8))]
        together = fn(*(x.clone() for x in (r, v, nv, *flags)), 0.9, 0.8)
        close(together, torch.cat(alone), case=(r, v, nv, *flags, 0.9, 0.8))


EXERCISE = Exercise(solution=gae, cases=cases)
