"""The settings of `rlhf`, and what each may be; a misspelled one is answered with the one that was meant.

Left out: what fits together with models and prompts, which `checks` looks at.
"""

from dataclasses import dataclass, field

from .. import validate
from ..kl import FixedKL, ZieglerKL
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
    advantages: "gae" with a critic; "group" (GRPO) or "rloo" without one. aggregate: how token losses become one
    (`aggregate`). objective: "clip", "cispo", "dppo-tv", "dppo-kl", or "plain" (ratio * A, no clip). ratio: of each
    "token"; of the "sequence" (GSPO), or that with each token's gradient, "sequence-token". `family` has PPO's family
    as such settings. tis_cap: limit of the weights for a sampler that is not the trainer. dynamic_sampling: groups of
    equal scores are dropped. overlong_buffer: the last tokens before max_new_tokens cost up to overlong_penalty.
    lam_alpha: lambda grows with a reply's length (VAPO). critic_lam: another for the critic's targets. critic_warmup:
    iterations of the critic alone (VC-PPO). ptx_coef: weight of the language-model loss on `documents` (PPO-ptx).
    no_eos_penalty: taken off a reply that was cut. score_clip: scores are limited to +-this. target_kl: stop where k3
    from old exceeds 1.5 times this. warmup: iterations until the full learning rate; anneal: then down to 0 on a line.
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
    lam_alpha: float | None = None
    critic_lam: float | None = None
    critic_warmup: int = 0
    objective: str = "clip"
    ratio: str = "token"
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
    dynamic_sampling: bool = False
    tis_cap: float | None = None
    whiten_advantages: bool = True
    aggregate: str = "token-mean"
    ptx_coef: float = 0.0
    ptx_batch: int = 16
    no_eos_penalty: float = 0.0
    overlong_buffer: int = 0
    overlong_penalty: float = 1.0
    score_clip: float | None = None
    target_kl: float | None = None
    max_grad_norm: float = 1.0
    checkpoint_every: int | None = None
    seed: int = 0

    def __post_init__(self):
        validate.settings(self)
        check_temperature(self.temperature)
        clip_range(self.eps, self.eps_high, self.dual_clip)
        validate.require(isinstance(self.kl, FixedKL | ZieglerKL | None), TypeError, "model", "kl", self.kl)
        _fits_together(self)


def _fits_together(run: RLHFConfig) -> None:
    """ValueError for members of PPO's family that cannot be one run, by the names of the settings that clash."""
    critic, cispo = run.advantages == "gae", run.objective == "cispo" and run.eps_high is not None
    for bad, name, *given in (
        (run.batch % run.replies or run.minibatches > run.batch, "batch", run.replies, run.minibatches, run.batch),
        (not critic and run.replies == 1, "alone", run.replies, run.advantages),
        (cispo and run.eps != RLHFConfig.eps, "cispo", run.eps, run.eps_high),
        (run.lam_alpha and run.lam != RLHFConfig.lam, "idle", "lam", run.lam, "lam_alpha", run.lam_alpha),
        (run.objective not in ("clip", "plain") and run.ratio != "token", "ratio", run.objective, run.ratio),
        (critic and run.ratio == "sequence", "sequence"),
        (run.dual_clip is not None and run.objective != "clip", "dual_clip", run.dual_clip, run.objective),
        (run.tis_cap is not None and not run.rescore, "tis_cap", run.tis_cap),
        (critic and run.whiten_advantages and run.batch == run.max_new_tokens == 1, "one token"),
        (run.dynamic_sampling and critic, "dynamic_sampling"),
        (run.dynamic_sampling and run.no_eos_penalty > 0, "raw score", run.no_eos_penalty),
        (run.overlong_buffer > run.max_new_tokens, "buffer", run.overlong_buffer, run.max_new_tokens),
        (run.critic_warmup >= run.iterations, "critic_warmup", run.critic_warmup, run.iterations),
        (not critic and run.critic_warmup, "no critic", "critic_warmup", run.critic_warmup, run.advantages),
        (not critic and run.critic_lam is not None, "no critic", "critic_lam", run.critic_lam, run.advantages),
        (not critic and run.lam_alpha is not None, "no critic", "lam_alpha", run.lam_alpha, run.advantages),
    ):
        validate.require(not bad, ValueError, "family", name, *given)
