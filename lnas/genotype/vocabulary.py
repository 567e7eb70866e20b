"""The words of genotypes: spaces, their cell types and the names of their operations.

"none" is no operation: where an edge carries none, a genotype has no edge.
"""

import re
from dataclasses import dataclass

from lnas.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How the cells of a space are numbered.

    Args:
        cell_types: Names of the cells.
        inputs: Number of input states; the first node has this number.
        nodes: Fixed number of nodes, or None where it is free.
        fan_in: Fixed number of inputs of a node, or None where it is free.
        parallel: Whether a node may read one source through several operations.
    """

    cell_types: tuple[str, ...]
    inputs: int
    nodes: int | None = None
    fan_in: int | None = None
    parallel: bool = False


LAYOUTS = {
    # NASNet-A reads one source twice in a node; P-DARTS and others never do.
    "darts": Layout(("normal", "reduce"), inputs=2, parallel=True),
    "nasbench201": Layout(("cell",), inputs=1, nodes=3),
    "recurrent": Layout(("recurrent",), inputs=1, fan_in=1),
}

_OPERATIONS: dict[str, tuple[str, ...]] = {
    "darts": (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "sep_conv_7x7",  # NASNet-A and AmoebaNet-A
        "conv_7x1_1x7",  # AmoebaNet-A
        "noise",  # RobustDARTS, S4
    ),
    "nasbench201": ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    "recurrent": ("tanh", "relu", "sigmoid", "identity"),
}

_added: list[str] = []


def known_operations(space: str) -> tuple[str, ...]:
    """Return the names that a genotype of `space` may use: the published ones, then added ones."""
    return _OPERATIONS[space] + tuple(n for n in _added if n not in _OPERATIONS[space])


def add_operation(name: str) -> None:
    """Let genotypes use an operation of the user's own; registering its builder calls this.

    Raises:
        InputError: The name is "none" or is not made of letters, digits and underscores.
    """
    if name == "none" or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise InputError(
            f"{name!r} cannot name an operation; use letters, digits and underscores, not 'none'."
        )
    if name not in _added:
        _added.append(name)
