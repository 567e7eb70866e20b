"""Random numbers as a pure function of what they are for.

There is no generator whose state would have to be saved: each draw names its purpose, e.g.
`generator(seed, "order", epoch)`, and gets the same numbers in every process, resumed or not.
"""

import hashlib

import torch

from lnas.errors import InputError

SEEDS = 2**32  # NumPy takes no larger ones


def check_seed(seed: int) -> None:
    """Refuse the seed of a run that is none.

    Raises:
        InputError: It is negative, or too large.
    """
    if not 0 <= seed < SEEDS:
        raise InputError(f"seed={seed} is no seed; give 0 to {SEEDS - 1}.")


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on all parts, their kinds and their order."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh torch generator seeded by `derive_seed(*parts)`."""
    made = torch.Generator(device=device)
    made.manual_seed(derive_seed(*parts))
    return made
