"""The words of verl 0.9.1, TRL 1.16.0 and OpenRLHF 0.11.2 for what `RLHFConfig` says: data alone, read from keys.toml.

The bridge translates with it. Every name and every default was read in the libraries' own wheels, and a test reads them
there again. Left out: the hundreds of their settings that say on which machines a run takes place, not what it does.
"""

from typing import NamedTuple

from ..validate import read_toml

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

    @property
    def severity(self) -> str:
        """What it does to the run: "changes what is learned", or less."""
        kind = "launch" if self.key in _READ["harmless"]["ours"] else self.kind
        return next(words for words, kinds in _READ["severity"].items() if kind in kinds)


def by_severity(notes: list[Note]) -> list[Note]:
    """Each once, and first those that change what is learned."""
    order = list(_READ["severity"])
    return sorted({str(note): note for note in notes}.values(), key=lambda note: order.index(note.severity))


class Row(NamedTuple):
    """One line of the key map. ours: a field of RLHFConfig, or "" for what we have no field for; theirs likewise."""

    ours: str = ""
    verl: str = ""
    trl: str = ""
    openrlhf: str = ""
    meaning: str = ""
    trap: str = ""


_READ = read_toml(__package__, "keys.toml")

VERSIONS = _READ["versions"]
OFF, NO_LIMIT = _READ["off"], _READ["no_limit"]  # limits that nothing reaches
ROWS = [Row(**row) for row in _READ["rows"]]
NO_COUNTERPART = _READ["no_counterpart"]  # fields of ours that none of the three knows: why
SAME = _READ["same"]  # library -> {ours: theirs}, where both mean the same and hold the same kind of value
LIMITS = _READ["limits"]  # library -> {ours: theirs}, limits that may be None here and OFF there
IGNORED = _READ["ignored"]  # library -> {theirs: why it has no effect there}
SWITCHES = _READ["switches"]  # library -> {theirs, off by default: what is heeded only where it is on}
FIXED = _READ["fixed"]  # library -> {theirs: what ours always does, and has no field for}
FOLLOWS = _READ["follows"]  # library -> {theirs: the other key of theirs that it follows, or should}
LOST = {name: NO_COUNTERPART | why for name, why in _READ["lost"].items()}  # library -> {ours: why it has no word}
NEUTRAL = dict.fromkeys(_READ["nothing"]["neutral"]) | _READ["neutral"]  # ours: a value that loses nothing
MATTERS_WITH = _READ["matters_with"]  # ours: another field of ours, without which it is idle
DEFAULTS = {name: dict.fromkeys(_READ["nothing"][name]) | known for name, known in _READ["defaults"].items()}
WITH_CRITIC = _READ["with_critic"]["ours"]  # ours: idle without a critic
PASSES = _READ["passes"]  # theirs, in passes over the prompts: what that means for our iterations
LAUNCH = _READ["launch"]  # arguments of `to_verl` about the machine: theirs


def either(value, other):
    """`value`, or `other` where there is none."""
    return other if value is None else value
