"""The convolutional space of DARTS (Liu, Simonyan and Yang, ICLR 2019, arXiv:1806.09055).

A normal and a reduction cell of two inputs and four nodes, 14 edges, eight operations, two inputs
a node. The candidate sets S1 to S4 are those of Zela et al., "Understanding and Robustifying
Differentiable Architecture Search", ICLR 2020, arXiv:1909.09656: S1 has two operations on each
edge, found by an earlier search (lists as released); S2 is skip and 3x3 separable convolution on
all edges, S3 adds *none*, S4 is noise and 3x3 separable convolution.
"""

from collections.abc import Mapping, Sequence

from lnas.errors import InputError
from lnas.spaces.base import SearchSpace
from lnas.spaces.rules import DerivationRule, StrongestInputs

DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CELL_TYPES = ("normal", "reduce")

# Words of the released lists of S1, edge by edge.
_SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
_S1 = {
    "normal": "skip,dil3 skip,dil5 skip,dil5 skip,sep3 skip,dil3 max,skip skip,sep3 "
    "skip,sep3 skip,dil3 skip,sep3 max,skip skip,dil3 dil3,dil5 dil3,dil5",
    "reduce": "max,avg max,dil3 max,avg max,avg skip,dil5 max,avg max,sep3 "
    "skip,dil3 skip,dil5 max,avg max,avg skip,dil5 skip,dil5 skip,dil5",
}
_EVERYWHERE = {
    "s2": ("skip_connect", "sep_conv_3x3"),
    "s3": ("none", "skip_connect", "sep_conv_3x3"),
    "s4": ("noise", "sep_conv_3x3"),
}


class DartsSpace(SearchSpace):
    """The cells `normal` and `reduce`.

    Args:
        operations: Candidate operations, in the order of the columns; by default the eight of
            DARTS, or those that `edge_operations` names a set of.
        nodes: Number of nodes of a cell.
        edge_operations: Which operations an edge offers: "s1", "s2", "s3" or "s4" of RobustDARTS;
            or per cell type a mapping from edge names ("2_0") to lists of operations, edges that
            are not named offering all; or per cell type one list of operations for each edge.
        rule: How scores become a genotype; by default the two strongest inputs of each node,
            never *none*.

    Raises:
        InputError: An operation, an edge, a cell type or the name of a set is unknown.
    """

    def __init__(
        self,
        operations: Sequence[str] | None = None,
        nodes: int = 4,
        edge_operations: str
        | dict[str, dict[str, list[str]]]
        | dict[str, list[list[str]]]
        | None = None,
        rule: DerivationRule | None = None,
    ) -> None:
        offered: dict[str, list[Sequence[str]]] | None = None
        if isinstance(edge_operations, str):
            operations, offered = _named(edge_operations, operations, nodes)
        names = DARTS_OPERATIONS if operations is None else operations
        if edge_operations is not None and not isinstance(edge_operations, str):
            offered = _by_edge(edge_operations, names, nodes)
        rule = rule or StrongestInputs()
        super().__init__("darts", CELL_TYPES, 2, nodes, names, rule, offered)


def _named(
    name: str, operations: Sequence[str] | None, nodes: int
) -> tuple[Sequence[str], dict[str, list[Sequence[str]]] | None]:
    if name in _EVERYWHERE:
        own: Sequence[str] = _EVERYWHERE[name]
        offered: dict[str, list[Sequence[str]]] | None = None
    elif name == "s1":
        if nodes != 4:
            raise InputError(f"The set s1 is made for 4 nodes, not {nodes}; use nodes=4 or s2.")
        own = tuple(n for n in DARTS_OPERATIONS if n in _SHORT.values())
        offered = {
            kind: [[_SHORT[word] for word in edge.split(",")] for edge in text.split()]
            for kind, text in _S1.items()
        }
    else:
        raise InputError(f"Unknown set of operations {name!r}; use s1, s2, s3 or s4.")
    if operations is not None and tuple(operations) != tuple(own):
        raise InputError(
            f"The set {name} has its own operations {', '.join(own)}; leave `operations` out."
        )
    return own, offered


def _by_edge(
    given: Mapping[str, Mapping[str, Sequence[str]] | Sequence[Sequence[str]]],
    operations: Sequence[str],
    nodes: int,
) -> dict[str, list[Sequence[str]]]:
    edges = [f"{target}_{source}" for target in range(2, 2 + nodes) for source in range(target)]
    unknown = sorted(set(given) - set(CELL_TYPES))
    if unknown:
        raise InputError(f"edge_operations names the cell type {unknown[0]!r}; use normal, reduce.")
    offered: dict[str, list[Sequence[str]]] = {
        kind: [operations for _ in edges] for kind in CELL_TYPES
    }
    for kind, lists in given.items():
        if isinstance(lists, Mapping):
            for edge, names in lists.items():
                if edge not in edges:
                    raise InputError(
                        f"edge_operations of {kind} names the edge {edge!r}; "
                        f"use {', '.join(edges)}."
                    )
                offered[kind][edges.index(edge)] = names
        else:
            offered[kind] = list(lists)
    return offered
