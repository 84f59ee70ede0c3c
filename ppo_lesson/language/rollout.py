"""Experience of a language model: replies that it sampled, and what actor, reference, critic and reward think of them.

What `rollout` is to the maze. A reply is an episode, a token an action; all tensors are (B, T) with `mask` true up to
the first EOS, that one included. They are 0 outside the mask, so that nothing which stands there can leak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .. import validate
from ..hardware.hardware import CPU, Hardware
from .microbatch import micro_batches
from .models import Models, ScalarModel, device
from .reward import score
from .sampling import full_mask, generate, is_end, response_mask, token_logps, token_values
from .text import end_ids, pad_left, reply_text


@dataclass
class ReplyRollout:
    """B replies to B prompts. P: columns of the prompts, T: columns of the replies.

    ids, attention_mask: (B, P + T). mask: (B, T), the reply's real tokens. ended: (B,), an EOS was sampled.
    logp, logp_ref: (B, T), log-probability under the actor that sampled and under the reference. values: (B, T), of the
    state before each token; None without a critic. scores: (B,), of whole replies. texts: (B,) strings.
    logp_sampler: (B, T), what the sampler itself said, where tis_cap asks for it.
    """

    ids: Tensor
    attention_mask: Tensor
    mask: Tensor
    ended: Tensor
    logp: Tensor
    logp_ref: Tensor
    values: Tensor | None
    scores: Tensor
    prompts: list[str]
    texts: list[str]
    logp_sampler: Tensor | None = None

    @property
    def kl_ref(self) -> Tensor:
        """k1 summed over each reply, (B,) nats: an unbiased estimate of KL(actor || reference), can be negative."""
        return (self.logp - self.logp_ref).sum(-1)

    def only(self, kept: Tensor) -> "ReplyRollout":
        """The replies that `kept`, (B,) bool, marks."""
        chosen = kept.nonzero()[:, 0].tolist()
        some = {n: [x[i] for i in chosen] if isinstance(x, list) else x for n, x in vars(self).items()}
        return ReplyRollout(**{n: x[kept] if isinstance(x, Tensor) else x for n, x in some.items()})


@torch.no_grad()
def roll_out(
    models: Models, tokenizer, prompts: Sequence[tuple[str, list[int]]], config, generator, *, hardware=CPU, decode=None
) -> ReplyRollout:
    """Sample one reply to each prompt, and let the four models judge it. prompts: (text, ids) pairs.

    Each process does its part of the prompts, and all get the whole. decode: what does the same as `generate`.
    """
    actor, critic, reference, reward = models
    eos_id, pad_id = end_ids(tokenizer, actor), tokenizer.pad_token_id
    part, count = hardware.part(len(prompts)), len(prompts)
    ids, prompt_mask = (x[part].to(device(actor)) for x in pad_left([ids for _, ids in prompts], pad_id))  # (B, P)
    uniforms = torch.rand(count, config.max_new_tokens, generator=generator, dtype=torch.float64)[part].to(ids.device)
    questions = [text for text, _ in prompts[part]]
    with hardware.forward():
        asked = {"max_new_tokens": config.max_new_tokens, "temperature": config.temperature, "uniforms": uniforms}
        asked |= {"eos_id": eos_id, "pad_id": pad_id, "return_logps": True}
        out, sampled = (decode or generate)(actor, ids, prompt_mask, **asked)  # (B, P + max_new_tokens), those of T
    mask = response_mask(out[:, ids.shape[1] :], eos_id)
    T = int(hardware.largest(mask.sum(-1).max().item(), mask.device))  # columns that nobody reached cost time
    out, mask = out[:, : ids.shape[1] + T], mask[:, :T]  # (B, P + T), (B, T)
    replies, attention = out[:, ids.shape[1] :], full_mask(prompt_mask, mask)
    ended = (is_end(replies, eos_id) & mask).any(-1)  # (B,)
    rows = zip(replies.cpu(), mask.cpu(), questions)
    texts = [reply_text(tokenizer, row[real], prompt=text, ends=eos_id) for row, real, text in rows]

    everything = torch.arange(len(mask))
    batches = list(micro_batches(out, attention, mask, everything, config.micro_batch, tokens=hardware.micro_tokens))

    def of_tokens(read) -> Tensor:  # (B, T), by the same forward pass as the updates, a micro-batch at a time
        numbers = torch.zeros(mask.shape, device=mask.device)
        for which, *batch, t in batches:
            with hardware.forward():
                numbers[which, :t] = read(*batch, t).where(mask[which, :t], 0)
        return numbers

    def scored(model) -> Tensor:
        return of_tokens(lambda *batch: token_logps(model, *batch, temperature=config.temperature))

    logp_ref = scored(reference)
    logp = scored(actor) if config.rescore else sampled[:, :T].where(mask, 0)  # so that the first ratio is exactly 1
    values = None if critic is None else of_tokens(lambda *batch: token_values(critic, *batch))
    scores = scores_of(reward, tokenizer, questions, texts, ended, config, hardware)
    told = None if config.tis_cap is None else sampled[:, :T].where(mask, 0)
    own = ReplyRollout(out, attention, mask, ended, logp, logp_ref, values, scores, questions, texts, told)
    return ReplyRollout(**{f.name: hardware.gather(getattr(own, f.name), count) for f in fields(own)})


def scores_of(
    reward: ScalarModel | Callable, tokenizer, questions, texts, ended: Tensor, config, hardware: Hardware = CPU
) -> Tensor:
    """What each reply is worth, (B,): by the reward model, or by any function of prompt and reply."""
    if isinstance(reward, ScalarModel):
        with hardware.forward():
            scores = score(reward, tokenizer, questions, texts, ended.tolist(), rows=config.micro_batch)
    else:
        scores = torch.tensor([_asked(reward, *pair) for pair in zip(questions, texts)], dtype=torch.float32)
    limit = torch.inf if config.score_clip is None else config.score_clip
    return scores.to(ended.device).clamp(-limit, limit) - config.no_eos_penalty * ~ended


def _asked(reward: Callable, prompt: str, reply: str) -> float:
    """One score from somebody's own function, or an error that says what it did wrong."""
    try:
        value = reward(prompt, reply)
    except (Exception, KeyboardInterrupt) as error:
        error.add_note(f"raised by the reward function {reward!r} for prompt {prompt!r} and reply {reply!r}")
        raise
    except BaseException as end:  # sys.exit would end the program as if all were well, and nothing were to be saved
        how = f"called sys.exit({end.code})" if isinstance(end, SystemExit) else f"raised {end!r}"
        raise RuntimeError(f"reward({prompt!r}, {reply!r}) {how}; let it raise an error") from end
    value = value * 1 if isinstance(value, bool) or hasattr(value, "dtype") else value
    what, most = f"reward({prompt!r}, {reply!r})", torch.finfo(torch.float32).max
    return validate.number(what, validate.number(what, value), -most, most)
