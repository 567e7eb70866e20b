"""What the processes of one run tell each other."""

from typing import Any

from torch import distributed

from lnas.errors import InputError


def gather(own: Any) -> list[Any]:
    """Return what every rank gave, by rank; a collective: every rank must call it.

    Args:
        own: Plain data of this rank.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, own)
    return everyone


def of_rank(gathered: list[Any], rank: int, world_size: int) -> Any:
    """Return the part of one rank of what `gather` returned in the run that is resumed.

    Raises:
        InputError: That run had another number of processes.
    """
    if len(gathered) != world_size:
        raise InputError(
            f"The checkpoint was made by {len(gathered)} processes and this run has {world_size}; "
            "resume on as many devices."
        )
    return gathered[rank]
