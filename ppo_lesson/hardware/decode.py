"""Replies from a cache of fixed size: each step runs the same kernels on the same memory, so a CUDA graph replays it.

    decode = Decoder(prompt=64, half=torch.bfloat16)
    ids = decode(model, prompt_ids, prompt_mask, max_new_tokens=256, eos_id=1, pad_id=0, uniforms=uniforms)

It draws what `sampling.generate` draws from the same uniforms, where rounding allows. A step of `generate` costs a GPU
the time to start hundreds of kernels, whatever the batch; a replayed one costs the kernels. On a CPU the same steps run
one by one, which is for tests: there `generate` is faster, as it drops replies that have ended. The graph itself was
written without a GPU. Left out: sliding windows, and models that such a cache misleads (GPT-J, MPT, Bloom), for which
`decoder` falls back to `generate`.
"""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, StaticCache

from ..language.head import logits_of
from ..language.loading import with_trunk
from ..language.models import device, sampling_error
from ..language.sampling import cache_name, check_generate, check_temperature, generate, inverse_cdf, is_end, positions
from ..validate import require

EVERY = 16  # steps between two questions whether all replies have ended; each makes the CPU wait for the GPU
WARM = 3  # steps before the capture, in which libraries allocate what they need


def decoder(actor, prompts, profile) -> Callable:
    """What `roll_out` samples with: a `Decoder`, or `generate` where that is faster or the model cannot do it."""
    text = actor.config.get_text_config()
    window = getattr(text, "sliding_window", None) or getattr(text, "window_size", None)
    kinds = getattr(text, "layer_types", None) or ["sliding_attention" if window else "full_attention"]
    if set(kinds) != {"full_attention"} or not profile.static_decode:
        return generate
    try:  # does it give what one pass gives? Some make their positions, or windows, of the size of the cache
        with torch.autocast(device(actor).type, enabled=False):
            error, allowed = sampling_error(actor, Decoder(prompt=5))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, NotImplementedError):
        return generate
    return Decoder(prompt=max(len(ids) for _, ids in prompts), half=profile.half) if error <= allowed else generate


class Decoder:
    """`generate` for one shape of batch. prompt: columns of prompts, as many as the longest has.

    half: sample from a copy of the model in this dtype, with its LoRA adapter merged; each call copies the weights.
    """

    def __init__(self, *, prompt: int, half: torch.dtype | None = None):
        self.prompt, self.half = prompt, half
        self.twin = self.graph = self.settings = None

    @torch.no_grad()
    def __call__(
        self,
        model,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        eos_id: int | Sequence[int],
        pad_id: int,
        uniforms: Tensor,
        return_logps: bool = False,
    ):
        """As `sampling.generate`; uniforms: (B, max_new_tokens) numbers in [0, 1)."""
        ends = check_generate(model, prompt_ids, prompt_mask, max_new_tokens, eos_id, pad_id)
        require(prompt_ids.shape[1] <= self.prompt, ValueError, "texts", "decoder", prompt_ids.shape[1], self.prompt)
        with torch.autocast(prompt_ids.device.type, enabled=False):  # a graph must not hold casts of old weights
            model = self._own(model)
            settings = (len(prompt_ids), max_new_tokens, check_temperature(temperature), ends, pad_id, id(model))
            if settings != self.settings:
                self._allocate(model, settings, prompt_ids.device)
            self._prefill(model, prompt_ids, prompt_mask.bool(), uniforms)
            for t in range(1, max_new_tokens):
                self._advance(model, t)
                if t % EVERY == 0 and bool(self.done.all()):
                    break
        require(self.logps.isfinite().all(), FloatingPointError, "model", "broken logits")
        ids = torch.cat([prompt_ids, self.replies], -1)
        return (ids, self.logps.clone()) if return_logps else ids

    def _own(self, model):
        """The model to sample from, with today's weights, always at the same addresses."""
        if self.half is None:
            return model
        weights = model.merged() if hasattr(model, "merged") else dict(model.named_parameters())
        if self.twin is None:
            with torch.device(next(iter(weights.values())).device):
                twin = AutoModelForCausalLM.from_config(model.config, dtype=self.half, trust_remote_code=False)
            self.twin = with_trunk(twin).eval()
        for name, p in self.twin.named_parameters():
            p.requires_grad_(False).copy_(weights[name])
        return self.twin

    def _allocate(self, model, settings: tuple, device) -> None:
        """All memory that a step reads and writes."""
        self.settings, self.graph = settings, None
        B, T, self.temperature, self.ends, self.pad_id, _ = settings
        self.cache = StaticCache(config=model.config, max_cache_len=self.prompt + T)
        self.cache_position = {}  # older transformers want to be told in which column of the cache they are
        if "cache_position" in inspect.signature(model.base_model.forward).parameters:
            self.cache_position["cache_position"] = torch.zeros(1, dtype=torch.long, device=device)
        self.seen = torch.zeros(B, 1, 1, self.prompt + T, dtype=torch.bool, device=device)
        self.token = torch.zeros(B, 1, dtype=torch.long, device=device)
        self.place, self.column = torch.zeros_like(self.token), torch.zeros(1, dtype=torch.long, device=device)
        self.done = torch.zeros(B, dtype=torch.bool, device=device)
        self.uniforms = torch.zeros(B, T, dtype=torch.float64, device=device)
        self.replies = torch.zeros(B, T, dtype=torch.long, device=device)
        self.logps = torch.zeros(B, T, device=device)

    def _prefill(self, model, prompt_ids: Tensor, prompt_mask: Tensor, uniforms: Tensor) -> None:
        """Read the prompts, padded to `prompt` columns, and draw the first token."""
        P, gap = self.prompt, self.prompt - prompt_ids.shape[1]
        ids = torch.nn.functional.pad(prompt_ids, (gap, 0), value=self.pad_id)
        mask = torch.nn.functional.pad(prompt_mask, (gap, 0), value=False)
        self.uniforms.copy_(uniforms)
        self.replies.fill_(self.pad_id)
        for buffer in (self.logps, self.done, self.column, self.seen):
            buffer.zero_()
        self.seen[:, 0, 0, :P] = mask
        self.place.copy_(positions(mask)[:, -1:])
        self.cache.reset()
        columns = torch.arange(P + self.replies.shape[1], device=ids.device)
        earlier = columns <= columns[:P, None]  # and padding sees itself, since a softmax over nothing is no number
        sees = (self.seen & earlier) | (columns == columns[:P, None])
        self._draw(model, ids, sees, positions(mask), dict.fromkeys(self.cache_position, columns[:P]))

    def _draw(self, model, ids: Tensor, sees: Tensor, places: Tensor, columns: dict[str, Tensor]) -> None:
        """Read ids, (B, n), and write the next token of every reply everywhere where the next step looks for it."""
        given = {"attention_mask": sees, "position_ids": places, cache_name(model): self.cache} | columns
        hidden = model.base_model(input_ids=ids, use_cache=True, **given).last_hidden_state[:, -1]  # (B, d)
        logits = logits_of(model, hidden, self.temperature)
        token, logp = inverse_cdf(logits, self.uniforms.index_select(1, self.column))
        token = torch.where(self.done, self.pad_id, token)
        self.replies.index_copy_(1, self.column, token[:, None])
        self.logps.index_copy_(1, self.column, torch.where(self.done, 0, logp)[:, None])
        self.done.logical_or_(is_end(token, self.ends))
        self.token.copy_(token[:, None])
        self.seen.index_fill_(3, self.prompt + self.column, True)
        for where in self.cache_position.values():
            where.copy_(self.prompt + self.column)
        self.column.add_(1)
        self.place.add_(1)

    def _step(self, model) -> None:
        self._draw(model, self.token, self.seen, self.place, self.cache_position)

    def _advance(self, model, t: int) -> None:
        """Step t: on a GPU the first ones warm up beside the main stream, one is captured, and all others replay it."""
        if not self.token.is_cuda:
            self._step(model)
        elif self.graph is not None:
            self.graph.replay()
        elif t <= WARM:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self._step(model)
            torch.cuda.current_stream().wait_stream(beside)
        else:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):  # records the step and does not run it
                self._step(model)
            self.graph = graph
            self.graph.replay()
