"""token_logps: the log-probability of every token of a reply, from the model's logits."""

import torch

from ..check import Exercise, close, require, rows


def token_logps(logits, ids, response_length, temperature):
    """log pi of every reply token, read one column before it: (B, T) float32."""
    deciding = logits[:, -response_length - 1 : -1].float() / temperature  # (B, T, V)
    replies = ids[:, -response_length:]  # (B, T)
    return deciding.log_softmax(-1).gather(-1, replies[..., None])[..., 0]


def _batch(g, *, B, P, T, V, temperature, size=1.0, dtype=torch.float32):
    logits = size * torch.randn(B, P + T, V, generator=g)
    return logits.to(dtype), torch.randint(V, (B, P + T), generator=g), T, temperature


cases = rows("token_logps", _batch)


def one_token_has_to_come(fn):
    logits, ids, T, temperature = cases()[3]
    total = 0.0
    for token in range(logits.shape[-1]):
        ids[:, -1] = token
        total = total + fn(logits, ids, T, temperature)[:, -1].exp()
    close(total, torch.ones(len(logits)), case=(logits, ids, T, temperature), rtol=1e-4)


def last_column_is_free(fn):
    logits, ids, T, temperature = cases()[4]
    before = fn(logits, ids, T, temperature)
    logits = logits.clone()
    logits[:, -1] += 5 * torch.rand(logits.shape[-1], generator=torch.Generator().manual_seed(0))
    close(fn(logits, ids, T, temperature), before, case=(logits, ids, T, temperature))


def first_token_is_decided_by_the_prompt(fn):
    logits, ids, T, temperature = cases()[4]
    before = fn(logits, ids, T, temperature)
    logits = logits.clone()
    logits[:, -T - 1, ids[0, -T]] += 2.0
    after = fn(logits, ids, T, temperature)
    moved = (after[0] - before[0]).abs() > 1e-6
    require(moved[0] and not moved[1:].any(), case=(logits, ids, T, temperature), got=after)


def unlikely_tokens_too(fn):
    case = cases()[5]
    got, want = fn(*case), token_logps(*case)
    right = torch.isclose(got, want, rtol=1e-4, atol=1e-5)
    lost = right[want > -15].all() and not right[want < -110].any()
    require(not lost, case=case, got=got, mistake="log_of_softmax")


EXERCISE = Exercise(solution=token_logps, cases=cases, gradient=("logits",), rtol=0.0001, atol=1e-05)
