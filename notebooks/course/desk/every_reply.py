"""Every reply there is, of a policy that is a table: expectations over groups of replies as sums, with no sampling.

The policy has a row of logits for each state: a prefix of a text, or a square of the maze. A group is n replies to one
prompt. What is taken from the library is only what is asked about: advantages, objective, aggregation, KL.
"""

from itertools import product

import torch

from ppo_lesson.kl import estimate, estimate_off_policy
from ppo_lesson.language.advantages import advantages_of
from ppo_lesson.language.family import policy_objective
from ppo_lesson.language.rollout import ReplyRollout
from ppo_lesson.objectives import aggregate, truncated_weight


class Replies:
    """All replies there are, each a list of (state, action), and a score for each."""

    def __init__(self, steps, scores, states, actions):
        longest = max(map(len, steps))
        full = torch.tensor([[*y, *[(0, 0)] * (longest - len(y))] for y in steps])
        self.steps, self.states, self.actions, self.scores = steps, full[..., 0], full[..., 1], scores
        self.mask = torch.arange(longest) < torch.tensor([[len(y)] for y in steps])
        self.shape = states, actions

    def logits(self, seed, size=0.6):
        g = torch.Generator().manual_seed(100 + seed)
        return size * torch.randn(self.shape, generator=g, dtype=torch.float64)

    def logps(self, logits):
        """(replies, longest): log pi of each token, 0 outside the mask."""
        return logits.log_softmax(-1)[self.states, self.actions].where(self.mask, 0)

    def J(self, logits, home=None, beta=0.0):
        """The mean score, minus beta KL(pi || home) of whole replies."""
        logp = self.logps(logits).sum(-1)
        price = 0.0 if home is None else beta * (logp - self.logps(home).sum(-1))
        return (logp.exp() * (self.scores - price)).sum()

    def true_gradient(self, logits, home=None, beta=0.0):
        x = logits.clone().requires_grad_()
        return torch.autograd.grad(self.J(x, home, beta), x)[0]

    def groups(self, config, logits, old, *, sampler=None, values=None, logp=None, home=None, beta=0.0):
        """(value, probability) of the objective of each group of config.replies, by the library's functions.

        beta: the price of KL(pi || home) in the reward; config.kl_loss is that in the loss.
        """
        which = torch.tensor([*product(range(len(self.steps)), repeat=config.replies)])  # (G, n)
        logp_old, mask = self.logps(old)[which.flatten()].detach(), self.mask[which.flatten()]
        self.taken = logp = (self.logps(logits) if logp is None else logp)[which.flatten()]
        sampled = self.logps(old if sampler is None else sampler).detach().sum(-1).exp()
        p = sampled[which].prod(-1)
        scores, ids = self.scores[which.flatten()], torch.arange(which.numel()) // config.replies
        values = None if values is None else values[which.flatten()]
        ref = logp_old if home is None else self.logps(home)[which.flatten()]
        rollout = ReplyRollout(mask, mask, mask, mask.any(-1), logp_old, ref, values, scores, [], [])
        advantages, _ = advantages_of(rollout, config, beta, ids)
        x, _ = policy_objective(logp, logp_old, advantages, mask, config)
        if config.tis_cap is not None:
            x = x * truncated_weight(logp_old, self.logps(sampler)[which.flatten()].detach(), config.tis_cap)
        if config.kl_loss:
            kind, where = config.kl_loss_kind, (logp, logp_old, ref) if config.kl_loss_ratio else (logp, ref)
            x = x - config.kl_loss * (estimate_off_policy if config.kl_loss_ratio else estimate)(*where, kind)
        shape = *which.shape, mask.shape[1]
        return aggregate(x.view(shape), mask.view(shape), config.aggregate, dim=(-2, -1)), p

    def gradient(self, config, logits, old, **more):
        """The expectation of the gradient, exactly."""
        x = logits.clone().requires_grad_()
        value, p = self.groups(config, x, old, **more)
        return torch.autograd.grad((p * value).sum(), x)[0]

    def spread(self, config, logits, old, **more):
        """(expectation, variance) of the gradient: the trace of its covariance, over all groups.

        A group's gradient is linear in those of its tokens' log pi, and these are (one-hot - pi) of their state's row.
        """
        logp = self.logps(logits).requires_grad_()
        value, p = self.groups(config, logits, old, logp=logp, **more)
        which = torch.tensor([*product(range(len(self.steps)), repeat=config.replies)])  # (G, n)
        (c,) = torch.autograd.grad(value.sum(), self.taken)  # (G n, T): d value / d log pi
        rows = torch.nn.functional.one_hot(self.actions, self.shape[1]) - logits.softmax(-1)[self.states]  # (N, T, A)
        each = torch.zeros(len(which), *self.shape, dtype=c.dtype)
        group = torch.arange(len(which)).repeat_interleave(config.replies)[:, None].expand_as(c)
        flat = which.flatten()
        each.index_put_((group, self.states[flat]), c[..., None] * rows[flat], accumulate=True)
        mean = (p[:, None, None] * each).sum(0)
        return mean, (p * (each - mean).square().sum((-2, -1))).sum().item()


def texts(longest=3, seed=0):
    """Three tokens, EOS is 0, at most `longest` of them; a state is a prefix, scores are random."""
    prefixes = [p for t in range(longest) for p in product((1, 2), repeat=t)]
    ends = sorted({y[: y.index(0) + 1] if 0 in y else y for y in product(range(3), repeat=longest)})
    steps = [[(prefixes.index(y[:t]), y[t]) for t in range(len(y))] for y in ends]
    scores = torch.randn(len(ends), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Replies(steps, scores, len(prefixes), 3)


def walks(start, longest, maze):
    """Prompts are start squares: all walks of at most `longest` steps, or up to the goal. Scores: what they collect."""
    open_walks, steps, scores = [([], start, 0.0)], [], []
    while open_walks:
        walk, at, score = open_walks.pop()
        if len(walk) == longest or at == maze.goal:
            steps.append(walk)
            scores.append(score)
            continue
        for a in range(4):
            after, reward = int(maze.next_state[at, a]), float(maze.move_reward[at, a])
            open_walks.append(([*walk, (at, a)], after, score + reward))
    return Replies(steps, torch.tensor(scores, dtype=torch.float64), maze.n_states, 4)
