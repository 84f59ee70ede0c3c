"""PPO's family: each member is a setting of advantage, ratio, clip or mask, aggregation and KL, and no more than that.

    config = replace(RLHFConfig(), **member("gspo"))

family.toml names the members, with sources. Left out: members without `settings` there, which are rows of a table only.
"""

import math

import torch
from torch import Tensor

from ..objectives import aggregate, cispo, clip_fraction, clipped_surrogate, dppo, sequence_log_ratio, surrogate
from ..validate import read_toml, require

MEMBERS = read_toml(__package__, "family.toml")


def member(name: str) -> dict:
    """The settings of RLHFConfig that make it this member; ValueError for a name that has none.

    >>> member("dapo")["eps_high"]
    0.28
    """
    known = [each for each, row in MEMBERS.items() if "settings" in row]
    require(name in known, ValueError, "family", "member", name, ", ".join(known))
    return MEMBERS[name]["settings"] | dict.fromkeys(MEMBERS[name].get("without", ()))


def policy_objective(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, config) -> tuple[Tensor, Tensor]:
    """What `config` maximises, per token, (B, T), and the share of tokens on which its limit binds.

    All (B, T), 0 outside the mask. config: an RLHFConfig. Where a limit binds a token has no gradient; of "cispo" its
    weight is no larger.
    """
    eps, high = config.eps, config.eps if config.eps_high is None else config.eps_high
    if config.ratio != "token":
        logp = sequence_log_ratio(logp, logp_old, mask, token=config.ratio == "sequence-token")
        logp_old = torch.zeros_like(logp)
    now = logp.detach()
    if config.objective == "clip":
        objective = clipped_surrogate(logp, logp_old, advantages, eps, eps_high=high, dual_clip=config.dual_clip)
        return objective, clip_fraction(now, logp_old, advantages, eps, eps_high=config.eps_high, mask=mask)
    if config.objective == "cispo":
        return cispo(logp, logp_old, advantages, high), aggregate(now - logp_old > math.log1p(high), mask)
    if config.objective == "plain":
        return surrogate(logp, logp_old, advantages), torch.zeros(())
    objective = dppo(logp, logp_old, advantages, eps, eps_high=config.eps_high, divergence=config.objective[5:])
    return objective, aggregate((objective == 0) & (advantages != 0), mask)
