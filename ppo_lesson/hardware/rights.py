"""Who may read the weights that were written. Left out: checkpoints, which look after themselves."""

from pathlib import Path

from ..checkpoint import rights


def give_rights(folder) -> None:
    """Give the weights that were written into a folder the rights of any new file: safetensors gives none to others."""
    for file in Path(folder).glob("*.safetensors"):
        file.chmod(rights())
