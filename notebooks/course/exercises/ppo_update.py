"""ppo_update: one whole update, held against the golden trace."""

import torch

from ppo_lesson.kl import estimate
from ppo_lesson.objectives import clip_fraction, clipped_surrogate
from ppo_lesson.returns import whiten

from ..check import Exercise, close, require
from .entropy import entropy
from .frozen_batch import OTHER, frozen
from .minibatches import minibatches
from .value_loss import value_loss


def ppo_update(policy, critic, optimizer, rollout, config, generator):
    """Several epochs of mini-batches over one rollout: the trace, one dict of six numbers for each mini-batch."""
    advantages, returns = rollout.gae(config.gamma, config.lam)
    columns = rollout.observations, rollout.actions, advantages, returns
    observations, actions, advantages, returns = (x.flatten() for x in columns)
    with torch.no_grad():
        logp_old = policy(observations).log_prob(actions)
    parameters = [*policy.parameters(), *critic.parameters()]
    trace = []
    for _ in range(config.epochs):
        for part in minibatches(len(actions), config.minibatches, generator):
            distribution, values = policy(observations[part]), critic(observations[part])
            logp, old, weights = distribution.log_prob(actions[part]), logp_old[part], whiten(advantages[part])
            policy_loss = -clipped_surrogate(logp, old, weights, config.eps).mean()
            critic_loss = value_loss(values, returns[part], None, None).mean()
            bonus = entropy(distribution.logits).mean()
            loss = policy_loss + config.value_coef * critic_loss - config.entropy_coef * bonus
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            optimizer.step()
            trace.append(
                {
                    "policy_loss": policy_loss.item(),
                    "value_loss": critic_loss.item(),
                    "entropy": bonus.item(),
                    "approx_kl": estimate(old, logp.detach(), "k3").mean().item(),
                    "clip_fraction": clip_fraction(logp, old, weights, config.eps).item(),
                    "grad_norm": norm.item(),
                }
            )
    return trace


def one_row_each(fn):
    case = frozen()
    trace = fn(*case)
    want = case[4].epochs * case[4].minibatches
    rows = isinstance(trace, list) and len(trace) == want and all(isinstance(row, dict) for row in trace)
    words = f"Here {want}; got {len(trace) if isinstance(trace, list) else type(trace).__name__}."
    require(rows, words, case=case, got=trace)


def policy_and_critic_learn(fn):
    mine, right = frozen(), frozen()
    if fn(*mine) != ppo_update(*right):
        return  # the trace says more, and is compared next
    close(mine[0].logits.detach(), right[0].logits.detach(), "The policy's logits differ.", case=mine)
    close(mine[1].table.detach(), right[1].table.detach(), "The critic's values differ.", case=mine)


EXERCISE = Exercise(solution=ppo_update, cases=lambda: [frozen(), frozen(OTHER, seed=1)])
