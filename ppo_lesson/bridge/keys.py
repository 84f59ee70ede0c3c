"""The words of verl 0.9.1, TRL 1.12.0 and OpenRLHF 0.11.2 for what `RLHFConfig` says: data alone, no code.

The bridge translates with it. Every name and every default was read in the libraries' own wheels, and a test reads them
there again. Left out: the hundreds of their settings that say on which machines a run takes place, not what it does.
"""

from __future__ import annotations

from typing import NamedTuple

VERSIONS = {"verl": "0.9.1", "trl": "1.12.0", "openrlhf": "0.11.2"}
OFF = 1e9  # a limit that nothing reaches (verl holds log-ratios within 20, and e^20 is 5e8); off, where None is refused
NO_LIMIT = 1_000_000.0  # the same for OpenRLHF's scores; its command line would take -1e9 for a flag

A, R, C = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout.", "critic."
K = "algorithm.kl_ctrl."
ADV, CORRECTION = "algo.advantage.", "algorithm.rollout_correction."


class Note(NamedTuple):
    """What did not go over the bridge as it was.

    kind: "lost" (no word for it), "changed" (not quite the same), "ignored" (the library does not heed it itself),
    "unknown" (this bridge does not know the key), "launch" (about the machine, not the training).
    """

    kind: str
    key: str
    value: object
    why: str

    def __str__(self):
        return f"{self.kind}: {self.key}={self.value!r}: {self.why}"


class Row(NamedTuple):
    """One line of the key map. ours: a field of RLHFConfig, or "" for what we have no field for."""

    ours: str
    verl: str
    trl: str
    openrlhf: str
    meaning: str
    trap: str = ""


ROWS = [
    Row(
        "iterations",
        "trainer.total_training_steps",
        "total_episodes",
        "train.num_episodes",
        "how often replies are sampled and learnt from",
        "TRL counts replies, OpenRLHF passes over the prompts; verl stops at trainer.total_epochs if that comes first",
    ),
    Row(
        "batch",
        "data.train_batch_size",
        "per_device_train_batch_size x gradient_accumulation_steps x GPUs",
        "rollout.batch_size",
        "replies in one iteration",
        "verl and OpenRLHF count prompts here: times replies a prompt. verl drops a last, smaller batch of prompts",
    ),
    Row(
        "replies",
        R + "n",
        "",
        "rollout.n_samples_per_prompt",
        "replies to each prompt",
        "an advantage by groups of one is 0 in ours and OpenRLHF refuses it; verl then learns from the bare score",
    ),
    Row(
        "epochs",
        A + "ppo_epochs",
        "num_ppo_epochs",
        "train.max_epochs",
        "passes over one batch of replies",
        "TRL's default is 4, the others' 1; critic.ppo_epochs follows the actor's",
    ),
    Row(
        "minibatches",
        A + "ppo_mini_batch_size",
        "",
        "train.batch_size",
        "optimizer steps in one pass; theirs is the size of one step",
        "verl: prompts a step, times rollout.n, over all GPUs; OpenRLHF: replies. One epoch of one mini-batch never "
        "clips: the ratio is 1. TRL's num_mini_batches changes nothing: gradient accumulation makes one step a pass",
    ),
    Row(
        "micro_batch",
        A + "ppo_micro_batch_size_per_gpu",
        "per_device_train_batch_size",
        "train.micro_batch_size",
        "replies at a time in memory",
        "must not change the result, and does not in verl and OpenRLHF, which know the step's tokens beforehand; TRL "
        "averages each micro-batch alone, so tokens of short replies weigh more",
    ),
    Row(
        "max_new_tokens",
        "data.max_response_length",
        "response_length",
        "rollout.max_new_tokens",
        "longest reply",
        "OpenRLHF's default is whatever data.max_len leaves after the prompt",
    ),
    Row(
        "temperature",
        R + "temperature",
        "temperature",
        "rollout.temperature",
        "divides the logits when sampling, and everywhere else",
        "TRL's default is 0.7",
    ),
    Row(
        "rescore",
        CORRECTION + "bypass_mode",
        "",
        "",
        "the trainer computes the old log-probabilities itself",
        "bypass_mode=True says no: the engine's are taken. TRL always takes the sampler's, OpenRLHF always computes",
    ),
    Row(
        "lr",
        A + "optim.lr",
        "learning_rate",
        "actor.adam.lr",
        "learning rate of the actor",
        "1e-6 to 3e-6 for billions of weights trained whole; small models and LoRA want far more",
    ),
    Row(
        "critic_lr",
        C + "optim.lr",
        "",
        "critic.adam.lr",
        "learning rate of the critic",
        "TRL has one optimizer, and so one rate, for both",
    ),
    Row(
        "warmup",
        A + "optim.lr_warmup_steps",
        "warmup_steps",
        "actor.lr_warmup_ratio",
        "iterations until the full learning rate",
        "theirs begin at 0, ours at one part: their first iteration moves nothing. OpenRLHF: a share of all optimizer "
        "steps",
    ),
    Row(
        "anneal",
        A + "optim.lr_scheduler_type",
        "lr_scheduler_type",
        "actor.lr_scheduler",
        "whether the learning rate then falls to 0 on a line",
        "verl has no line, only a cosine; TRL falls by default, OpenRLHF to a tenth on a cosine",
    ),
    Row("gamma", "algorithm.gamma", "gamma", ADV + "gamma", "discount of a token's reward", ""),
    Row(
        "lam",
        "algorithm.lam",
        "lam",
        ADV + "lambd",
        "GAE's lambda",
        "1.0 in verl and OpenRLHF: no help from the critic but as a baseline; 0.95 in TRL and ours",
    ),
    Row(
        "eps",
        A + "clip_ratio_low",
        "cliprange",
        "actor.eps_clip_low_high",
        "how far the ratio may fall: 1 - eps",
        "verl's clip_ratio does nothing, unless clip_ratio_low and clip_ratio_high are null: both are 0.2, and win",
    ),
    Row("eps_high", A + "clip_ratio_high", "", "actor.eps_clip_low_high", "how far it may rise, if not as far", ""),
    Row(
        "dual_clip",
        A + "clip_ratio_c",
        "",
        "actor.dual_clip",
        "for advantages below 0: no more gradient where the ratio exceeds this",
        "always on in verl, at 3.0; off in the others. It cannot be switched off, only set out of reach",
    ),
    Row(
        "value_clip",
        C + "cliprange_value",
        "cliprange_value",
        "critic.value_clip",
        "how far a value may move in one iteration",
        "always on; 0.5 in verl and OpenRLHF, 0.2 in TRL. It should have the scale of your scores",
    ),
    Row("entropy_coef", A + "entropy_coeff", "", "actor.entropy_coef", "reward for entropy, in the loss", ""),
    Row(
        "kl",
        f"algorithm.use_kl_in_reward, {K}type, {K}kl_coef, {K}target_kl, {K}horizon",
        "kl_coef",
        "algo.kl.init_coef, algo.kl.target, algo.kl.horizon",
        "price of a nat of distance to the reference, in the reward (k1)",
        "off in verl, whatever kl_coef says, unless use_kl_in_reward is True; verl's own example run_gemma.sh sets it "
        "in vain. An adaptive target is a reply's sum in ours, a token's mean in verl and OpenRLHF (whose code calls "
        "adaptive prices incompatible): copied, it is wrong by the length of a reply. k3 in the reward is another "
        "objective",
    ),
    Row(
        "kl_loss",
        A + "use_kl_loss, " + A + "kl_loss_coef",
        "",
        "algo.kl.use_loss, algo.kl.init_coef",
        "price of that distance in the loss",
        "verl can have both prices at once; OpenRLHF has one coefficient, and use_loss moves it",
    ),
    Row(
        "kl_loss_kind",
        A + "kl_loss_type",
        "",
        "algo.kl.estimator",
        "how the distance is estimated there",
        "verl's default low_var_kl is k3, held within 10: the gradient of the other KL. k2, or verl's k3+, has the "
        "right one, k1 none",
    ),
    Row(
        "advantages",
        "algorithm.adv_estimator",
        "",
        ADV + "estimator",
        "gae, or group: GRPO, without a critic",
        "grpo in verl, group_norm in OpenRLHF, where the KL in the reward stays outside the group's comparison",
    ),
    Row(
        "scale_groups",
        "algorithm.norm_adv_by_std_in_grpo",
        "",
        ADV + "estimator",
        "divide by the group's standard deviation",
        "OpenRLHF's dr_grpo is the estimator without it",
    ),
    Row(
        "whiten_advantages",
        "",
        "",
        "",
        "mean 0 and standard deviation 1 over the batch",
        "with gae all three always do, and have no switch; OpenRLHF can leave out the division (no_std_norm)",
    ),
    Row(
        "aggregate",
        A + "loss_agg_mode",
        "",
        "actor.loss_agg_mode",
        "how the losses of tokens become one number",
        "token-mean lets a long reply weigh more than a short one. In verl the critic's follows the actor's; in "
        "OpenRLHF KL and entropy stay token-mean",
    ),
    Row(
        "no_eos_penalty",
        "",
        "missing_eos_penalty",
        "",
        "taken off the score of a reply that was cut",
        "verl's reward function sees text alone and cannot know; OpenRLHF's reward.stop_properly_penalty_coef "
        "multiplies or replaces the score instead",
    ),
    Row(
        "score_clip",
        "",
        "",
        "reward.clip_range",
        "scores are limited to +- this",
        "OpenRLHF always limits, to +-10; for verl do it in the reward function (the exported one does)",
    ),
    Row(
        "max_grad_norm",
        A + "optim.clip_grad",
        "max_grad_norm",
        "actor.max_norm",
        "longest gradient of one step",
        "verl's actor.grad_clip and critic.grad_clip are read by nobody; TRL ignores max_grad_norm",
    ),
    Row("checkpoint_every", "trainer.save_freq", "save_steps", "ckpt.save_steps", "iterations between checkpoints", ""),
    Row(
        "seed",
        "data.seed",
        "seed",
        "train.seed",
        "of random numbers",
        "sampling on a GPU by vLLM or SGLang is not repeatable bit by bit",
    ),
    Row(
        "",
        C + "enable",
        "",
        "critic.freezing_steps",
        "critic and its start",
        "verl makes a critic for gae alone; trainer.critic_warmup and critic.freezing_steps let it learn before the "
        "actor. Ours starts both together, verl's examples from one checkpoint",
    ),
    Row(
        "",
        R + "name",
        "",
        "vllm.num_engines",
        "engine that samples",
        "its log-probabilities differ from the trainer's: both score replies again before they learn. verl's default "
        "of " + R + "tensor_model_parallel_size is 2: set 1 on one GPU",
    ),
    Row("", "", "stop_token", "", "whether a reply ends at EOS", "None in TRL: every reply runs to its full length"),
    Row("", "", "vf_coef", "", "weight of the critic's loss", "0.1, but Adam divides it out again"),
    Row("", C + "loss_agg_mode", "", "", "the same for the critic's loss", "token-mean in ours, whatever the actor's"),
]

# Fields of ours that none of the three knows.
NO_COUNTERPART = {
    "ptx_coef": "none mixes pretraining text into the updates (OpenRLHF once did)",
    "ptx_batch": "see ptx_coef",
    "target_kl": "none ends the passes early by the distance from the old policy",
}

# Ours: theirs, where both mean the same and hold the same kind of value.
SAME = {
    "verl": {
        "epochs": A + "ppo_epochs",
        "max_new_tokens": "data.max_response_length",
        "temperature": R + "temperature",
        "lr": A + "optim.lr",
        "critic_lr": C + "optim.lr",
        "gamma": "algorithm.gamma",
        "lam": "algorithm.lam",
        "eps": A + "clip_ratio_low",
        "entropy_coef": A + "entropy_coeff",
        "kl_loss": A + "kl_loss_coef",
        "scale_groups": "algorithm.norm_adv_by_std_in_grpo",
        "aggregate": A + "loss_agg_mode",
        "max_grad_norm": A + "optim.clip_grad",
        "replies": R + "n",
    },
    "trl": {
        "epochs": "num_ppo_epochs",
        "max_new_tokens": "response_length",
        "temperature": "temperature",
        "lr": "learning_rate",
        "gamma": "gamma",
        "lam": "lam",
        "eps": "cliprange",
        "seed": "seed",
        "max_grad_norm": "max_grad_norm",
    },
    "openrlhf": {
        "epochs": "train.max_epochs",
        "max_new_tokens": "rollout.max_new_tokens",
        "temperature": "rollout.temperature",
        "lr": "actor.adam.lr",
        "critic_lr": "critic.adam.lr",
        "gamma": ADV + "gamma",
        "lam": ADV + "lambd",
        "dual_clip": "actor.dual_clip",
        "entropy_coef": "actor.entropy_coef",
        "aggregate": "actor.loss_agg_mode",
        "max_grad_norm": "actor.max_norm",
        "replies": "rollout.n_samples_per_prompt",
        "seed": "train.seed",
        "micro_batch": "train.micro_batch_size",
    },
}

# Theirs: what ours always does, and has no field for.
FIXED = {
    "verl": {
        A + "optim.weight_decay": 0.0,
        C + "optim.weight_decay": 0.0,
        A + "optim.betas": [0.9, 0.95],
        C + "optim.betas": [0.9, 0.95],
        A + "shuffle": True,
        C + "shuffle": True,
        R + "top_k": -1,
        R + "top_p": 1.0,
        A + "policy_loss.loss_mode": "vanilla",
        "algorithm.kl_penalty": "kl",
        C + "loss_agg_mode": "token-mean",
        "trainer.critic_warmup": 0,
    },
    "trl": {
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        "stop_token": "eos",
        "kl_estimator": "k1",
        "whiten_rewards": False,
        "vf_coef": 1.0,
    },
    "openrlhf": {
        "actor.adam.weight_decay": 0.0,
        "critic.adam.weight_decay": 0.0,
        "actor.adam.betas": [0.9, 0.95],
        "critic.adam.betas": [0.9, 0.95],
        "rollout.top_p": 1.0,
        "actor.policy_loss_type": "ppo",
        ADV + "no_std_norm": False,
        "reward.normalize_enable": False,
        "critic.freezing_steps": -1,
    },
}

# Theirs: theirs. The first follows the second, or should; ours has one setting for both.
FOLLOWS = {
    "verl": {
        C + "ppo_epochs": A + "ppo_epochs",
        C + "ppo_mini_batch_size": A + "ppo_mini_batch_size",
        C + "ppo_micro_batch_size_per_gpu": A + "ppo_micro_batch_size_per_gpu",
        R + "log_prob_micro_batch_size_per_gpu": A + "ppo_micro_batch_size_per_gpu",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": A + "ppo_micro_batch_size_per_gpu",
        C + "optim.lr_warmup_steps": A + "optim.lr_warmup_steps",
        C + "optim.lr_scheduler_type": A + "optim.lr_scheduler_type",
        C + "optim.clip_grad": A + "optim.clip_grad",
        C + "shuffle": A + "shuffle",
        C + "loss_agg_mode": A + "loss_agg_mode",
    },
    "trl": {},
    "openrlhf": {
        "critic.lr_scheduler": "actor.lr_scheduler",
        "critic.lr_warmup_ratio": "actor.lr_warmup_ratio",
        "critic.max_norm": "actor.max_norm",
        "rollout.micro_batch_size": "train.micro_batch_size",
    },
}

# Ours: why it is lost, where a library has no word for it. Neutral values lose nothing.
_WHITE = "advantages by gae are always whitened"
LOST = {
    "verl": NO_COUNTERPART
    | {
        "whiten_advantages": _WHITE,
        "no_eos_penalty": "no such setting, and its reward function sees only the text",
        "score_clip": "no such setting; limit the score in the reward function",
    },
    "trl": NO_COUNTERPART
    | {
        "whiten_advantages": _WHITE,
        "replies": "one reply to each prompt",
        "advantages": "gae only",
        "scale_groups": "gae only",
        "minibatches": "one optimizer step a pass, whatever num_mini_batches says",
        "eps_high": "one clip range for both sides",
        "dual_clip": "no dual clip",
        "entropy_coef": "no entropy term",
        "kl_loss": "KL in the reward only",
        "kl_loss_kind": "KL in the reward only",
        "score_clip": "no such setting",
        "aggregate": "a mean over the tokens of each micro-batch",
    },
    "openrlhf": NO_COUNTERPART
    | {
        "whiten_advantages": _WHITE,
        "rescore": "the actor always scores again",
        "no_eos_penalty": "reward.stop_properly_penalty_coef multiplies or replaces a score, it takes nothing off",
    },
}
NEUTRAL = {
    "ptx_coef": 0.0,
    "target_kl": None,
    "whiten_advantages": True,
    "no_eos_penalty": 0.0,
    "score_clip": None,
    "replies": 1,
    "advantages": "gae",
    "minibatches": 1,
    "eps_high": None,
    "dual_clip": None,
    "entropy_coef": 0.0,
    "kl_loss": 0.0,
    "aggregate": "token-mean",
    "rescore": True,
}
MATTERS_WITH = {"ptx_batch": "ptx_coef", "kl_loss_kind": "kl_loss", "scale_groups": "advantages"}  # else it is idle

# Their own defaults, of everything read here that is not in FOLLOWS.
DEFAULTS = {
    "verl": {
        "data.train_batch_size": 1024,
        "data.max_response_length": 512,
        "data.seed": None,
        A + "data_loader_seed": 42,
        C + "data_loader_seed": 42,
        R + "seed": 42,
        R + "n": 1,
        R + "temperature": 1.0,
        R + "top_k": -1,
        R + "top_p": 1.0,
        A + "ppo_mini_batch_size": 256,
        A + "ppo_micro_batch_size_per_gpu": None,
        A + "use_dynamic_bsz": False,
        A + "ppo_epochs": 1,
        A + "shuffle": False,
        A + "clip_ratio": 0.2,
        A + "clip_ratio_low": 0.2,
        A + "clip_ratio_high": 0.2,
        A + "clip_ratio_c": 3.0,
        A + "loss_agg_mode": "token-mean",
        A + "entropy_coeff": 0.0,
        A + "use_kl_loss": False,
        A + "kl_loss_coef": 0.001,
        A + "kl_loss_type": "low_var_kl",
        A + "policy_loss.loss_mode": "vanilla",
        A + "grad_clip": 1.0,
        A + "optim.lr": 1e-6,
        A + "optim.lr_warmup_steps": -1,
        A + "optim.lr_warmup_steps_ratio": 0.0,
        A + "optim.lr_scheduler_type": "constant",
        A + "optim.weight_decay": 0.01,
        A + "optim.betas": [0.9, 0.999],
        A + "optim.clip_grad": 1.0,
        C + "optim.lr": 1e-5,
        C + "optim.weight_decay": 0.01,
        C + "optim.betas": [0.9, 0.999],
        C + "grad_clip": 1.0,
        C + "cliprange_value": 0.5,
        CORRECTION + "bypass_mode": False,
        "algorithm.gamma": 1.0,
        "algorithm.lam": 1.0,
        "algorithm.adv_estimator": "gae",
        "algorithm.norm_adv_by_std_in_grpo": True,
        "algorithm.use_kl_in_reward": False,
        "algorithm.kl_penalty": "kl",
        K + "type": "fixed",
        K + "kl_coef": 0.001,
        K + "horizon": 10_000,
        K + "target_kl": 0.1,
        "trainer.total_training_steps": None,
        "trainer.total_epochs": 30,
        "trainer.save_freq": -1,
        "trainer.critic_warmup": 0,
    },
    "trl": {
        "num_ppo_epochs": 4,
        "num_mini_batches": 1,
        "total_episodes": None,
        "response_length": 53,
        "stop_token": None,
        "temperature": 0.7,
        "missing_eos_penalty": None,
        "whiten_rewards": False,
        "kl_coef": 0.05,
        "kl_estimator": "k1",
        "cliprange": 0.2,
        "vf_coef": 0.1,
        "cliprange_value": 0.2,
        "gamma": 1.0,
        "lam": 0.95,
        "learning_rate": 3e-6,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_grad_norm": 1.0,
        "adam_beta2": 0.999,
        "weight_decay": 0.0,
        "seed": 42,
        "save_strategy": "steps",
        "save_steps": 500,
    },
    "openrlhf": {
        "train.num_episodes": 1,
        "rollout.batch_size": 1024,
        "rollout.n_samples_per_prompt": 1,
        "train.max_epochs": 1,
        "train.batch_size": 128,
        "train.micro_batch_size": 1,
        "rollout.max_new_tokens": None,
        "rollout.temperature": 1.0,
        "rollout.top_p": 1.0,
        "actor.adam.lr": 1e-6,
        "critic.adam.lr": 9e-6,
        "actor.adam.weight_decay": 0.0,
        "critic.adam.weight_decay": 0.0,
        "actor.adam.betas": [0.9, 0.95],
        "critic.adam.betas": [0.9, 0.95],
        "actor.lr_scheduler": "cosine_with_min_lr",
        "actor.lr_warmup_ratio": 0.03,
        ADV + "gamma": 1.0,
        ADV + "lambd": 1.0,
        "actor.eps_clip": 0.2,
        "actor.eps_clip_low_high": None,
        "actor.dual_clip": None,
        "critic.value_clip": 0.5,
        "actor.entropy_coef": None,
        "algo.kl.init_coef": 0.01,
        "algo.kl.target": None,
        "algo.kl.horizon": 10_000,
        "algo.kl.estimator": "k1",
        "algo.kl.use_loss": False,
        ADV + "estimator": "gae",
        ADV + "no_std_norm": False,
        "actor.policy_loss_type": "ppo",
        "actor.loss_agg_mode": "token-mean",
        "reward.clip_range": [-10.0, 10.0],
        "reward.normalize_enable": False,
        "actor.max_norm": 1.0,
        "critic.freezing_steps": -1,
        "ckpt.save_steps": -1,
        "train.seed": 42,
    },
}

# What says where and on what verl runs, of which RLHFConfig knows nothing. Arguments of `to_verl`: their keys.
LAUNCH = {
    "model": "actor_rollout_ref.model.path",
    "critic": C + "model.path",
    "train_files": "data.train_files",
    "val_files": "data.val_files",
    "prompt_length": "data.max_prompt_length",
    "reward": "reward.custom_reward_function.path",
    "reward_name": "reward.custom_reward_function.name",
    "engine": R + "name",
    "tensor_parallel": R + "tensor_model_parallel_size",
    "gpus": "trainer.n_gpus_per_node",
    "nodes": "trainer.nnodes",
    "logger": "trainer.logger",
    "project": "trainer.project_name",
    "name": "trainer.experiment_name",
    "folder": "trainer.default_local_dir",
    "test_first": "trainer.val_before_train",
    "test_every": "trainer.test_freq",
}
