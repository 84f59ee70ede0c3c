"""The bridge to production: `RLHFConfig` in the words of verl, TRL and OpenRLHF, and theirs in ours.

    config = RLHFConfig(iterations=200, lr=1e-6, critic_lr=1e-5)   # its defaults are for small models
    settings = to_verl(config, Launch(model="Qwen/Qwen2.5-0.5B-Instruct", gpus=8))
    print(*arguments("verl", settings), sep=" ")                   # what follows `python3 -m verl.trainer.main_ppo`
    config, notes = from_verl(read_settings(open("run_gemma.sh").read()))  # or Hydra's config.yaml, or wandb's
    print(*notes, sep="\\n")                                        # what of it got lost, changed, or is not known here

Nothing disappears in silence: what a library cannot say is warned about on the way out, and `differences` lists it with
what changes a little; on the way in every key that is not understood is in the notes. `table()` is the map itself, and
`optimizer_steps` the arithmetic of batches. Knows only the configuration, never the trainers.
Left out: asynchronous rollouts, replies in several turns, Megatron.
"""

from .command_line import arguments, read_settings, table
from .keys import NO_COUNTERPART, VERSIONS, Note
from .ours_to_theirs import Launch, differences, optimizer_steps, to_openrlhf, to_trl, to_verl
from .theirs_to_ours import from_openrlhf, from_trl, from_verl
