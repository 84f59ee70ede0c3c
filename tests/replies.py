"""Every reply there is, of a policy that is a table: expectations over groups of replies as sums, with no sampling.

Three tokens, EOS is 0, at most `longest` of them; the policy has a row of logits for each prefix. A group is n replies
to one prompt. What is taken from the library is only what is asked about: advantages, objective, aggregation.
"""

from dataclasses import replace
from itertools import product

import torch

from ppo_lesson.language.advantages import advantages_of
from ppo_lesson.language.family import policy_objective
from ppo_lesson.language.rollout import ReplyRollout
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.objectives import aggregate, truncated_weight

PLAIN = RLHFConfig(kl=None, max_new_tokens=3, replies=2)


class Replies:
    """All replies of at most `longest` tokens, and a score for each."""

    def __init__(self, longest=3, seed=0):
        self.prefixes = [p for t in range(longest) for p in product((1, 2), repeat=t)]
        ends = {y[: y.index(0) + 1] if 0 in y else y for y in product(range(3), repeat=longest)}
        self.all = sorted(ends)
        self.mask = torch.tensor([[t < len(y) for t in range(longest)] for y in self.all])
        self.places = [[self.prefixes.index(y[:t]) for t in range(len(y))] for y in self.all]
        g = torch.Generator().manual_seed(seed)
        self.scores = torch.randn(len(self.all), generator=g, dtype=torch.float64)

    def logits(self, seed, size=0.6):
        g = torch.Generator().manual_seed(100 + seed)
        return size * torch.randn(len(self.prefixes), 3, generator=g, dtype=torch.float64)

    def logps(self, logits):
        """(replies, longest): log pi of each token, 0 outside the mask."""
        table = logits.log_softmax(-1)
        rows = [[table[at, y[t]] for t, at in enumerate(p)] for y, p in zip(self.all, self.places)]
        zero = table.new_zeros(())
        return torch.stack([torch.stack(row + [zero] * (self.mask.shape[1] - len(row))) for row in rows])

    def J(self, logits):
        return (self.logps(logits).sum(-1).exp() * self.scores).sum()

    def true_gradient(self, logits):
        x = logits.clone().requires_grad_()
        return torch.autograd.grad(self.J(x), x)[0]

    def groups(self, config, logits, old, *, sampler=None, values=None):
        """(value, probability) of the objective of each group of config.replies, by the library's functions."""
        which = torch.tensor([*product(range(len(self.all)), repeat=config.replies)])  # (G, n)
        logp_old, mask = self.logps(old)[which.flatten()].detach(), self.mask[which.flatten()]
        logp = self.logps(logits)[which.flatten()]
        sampled = self.logps(old if sampler is None else sampler).detach().sum(-1).exp()
        p = sampled[which].prod(-1)
        scores, ids = self.scores[which.flatten()], torch.arange(which.numel()) // config.replies
        values = None if values is None else values[which.flatten()]
        rollout = ReplyRollout(mask, mask, mask, mask.any(-1), logp_old, logp_old, values, scores, [], [])
        advantages, _ = advantages_of(rollout, config, 0.0, ids)
        x, _ = policy_objective(logp, logp_old, advantages, mask, config)
        if config.tis_cap is not None:
            x = x * truncated_weight(logp_old, self.logps(sampler)[which.flatten()].detach(), config.tis_cap)
        shape = *which.shape, mask.shape[1]
        return aggregate(x.view(shape), mask.view(shape), config.aggregate, dim=(-2, -1)), p

    def gradient(self, config, logits, old, **more):
        """The expectation of the gradient, exactly."""
        x = logits.clone().requires_grad_()
        value, p = self.groups(config, x, old, **more)
        return torch.autograd.grad((p * value).sum(), x)[0]

    def spread(self, config, logits, old, **more):
        """(expectation, variance) of the gradient: the trace of its covariance, over all groups."""
        x = logits.clone().requires_grad_()
        value, p = self.groups(config, x, old, **more)
        each = torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0] for v in value])  # (G, prefixes, 3)
        mean = (p[:, None, None] * each).sum(0)
        return mean, (p * (each - mean).square().sum((-2, -1))).sum().item()


def setting(**changes):
    return replace(PLAIN, **changes)
