"""The settings of `rlhf`, and what each may be; a misspelled one is answered with the one that was meant.

`check` looks at every field before anything is computed: a gradient norm of -1 would turn each step around, in silence.
Left out: what fits together with models and prompts, which `checks` looks at.
"""

from dataclasses import dataclass, field

from .. import validate
from ..kl import FixedKL, PaperKL, ZieglerKL
from ..objectives import clip_range
from .sampling import check_temperature


@validate.helpful
@dataclass(frozen=True)
class RLHFConfig:
    """`iterations` times: `batch` replies, then `epochs` passes over them in `minibatches` steps each.

    replies: sampled for each prompt (GRPO needs several). micro_batch: rows in memory at a time, on average; changes no
    gradient. rescore: the old log-probabilities come from one more forward, as the reference's do, so that the KL of
    equal models is exactly 0; without, the sampler's are taken: faster, and as good where both compute in float32.
    kl: about the reference, in the reward: FixedKL, ZieglerKL, or None. kl_loss: its coefficient in the loss, with
    kl_loss_kind "k1", "k2" or "k3". kl_loss_ratio: with the importance ratio, the right gradient in each step; without,
    k2 has it in the first step of a rollout, k3 (as in GRPO's paper) another, k1 none: to compare, to see it fail.
    advantages: "gae" with a critic, or "group" without one. aggregate: how token losses become one (`aggregate`).
    ptx_coef: weight of the language-model loss on `documents` (PPO-ptx). no_eos_penalty: taken off a reply that was
    cut. score_clip: scores are limited to +-this. target_kl: stop the epochs where k3 from the old policy exceeds 1.5
    times this. warmup: iterations until the full learning rate; anneal: then down to 0 on a line.
    """

    iterations: int = 60
    batch: int = 64
    replies: int = 1
    epochs: int = 2
    minibatches: int = 2
    micro_batch: int = 16
    max_new_tokens: int = 48
    temperature: float = 1.0
    rescore: bool = True
    lr: float = 6e-4
    critic_lr: float = 1e-3
    warmup: int = 5
    anneal: bool = False
    gamma: float = 1.0
    lam: float = 0.95
    eps: float = 0.2
    eps_high: float | None = None
    dual_clip: float | None = None
    value_clip: float | None = 0.2
    entropy_coef: float = 0.0
    kl: FixedKL | ZieglerKL | None = field(default_factory=lambda: FixedKL(0.1))
    kl_loss: float = 0.0
    kl_loss_kind: str = "k2"
    kl_loss_ratio: bool = True
    advantages: str = "gae"
    scale_groups: bool = True
    whiten_advantages: bool = True
    aggregate: str = "token-mean"
    ptx_coef: float = 0.0
    ptx_batch: int = 16
    no_eos_penalty: float = 0.0
    score_clip: float | None = None
    target_kl: float | None = None
    max_grad_norm: float = 1.0
    checkpoint_every: int | None = None
    seed: int = 0


def check(config) -> None:
    """ValueError that names field, value and what it may be, if an RLHFConfig or SupervisedConfig cannot work."""
    validate.settings(config)
    if isinstance(config, RLHFConfig):
        check_temperature(config.temperature)
        clip_range(config.eps, config.eps_high, config.dual_clip)
        if not isinstance(config.kl, FixedKL | ZieglerKL | None):
            about = " PaperKL is about the old policy and belongs to ppo" if isinstance(config.kl, PaperKL) else ""
            raise TypeError(f"kl must be a FixedKL, a ZieglerKL or None; got {type(config.kl).__name__}.{about}")
        if config.batch % config.replies or config.minibatches > config.batch:
            raise ValueError(validate.refusal("model", "batch", config.replies, config.minibatches, config.batch))
