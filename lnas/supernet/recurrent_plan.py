"""Plans of recurrent cells: which edges of a state are computed together.

A plan holds numbers only. Edges that leave one state and carry the same activations are a group;
an edge that carries nothing, or *none*, is in no group and costs nothing.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

Active = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Group:
    """Edges from one state with the same activations.

    Args:
        columns: Columns of the activations.
        rows: Rows of the edges.
        targets: The nodes that the edges enter, ascending.
    """

    columns: tuple[int, ...]
    rows: tuple[int, ...]
    targets: tuple[int, ...]


Plan = tuple[tuple[Group, ...], ...]
"""The groups that read each state, by the number of the state."""


@lru_cache(maxsize=64)
def plan_of(
    edges: tuple[tuple[int, int], ...], operations: tuple[str, ...], active: Active | None = None
) -> Plan:
    """Return the plan of a cell.

    Args:
        edges: (target, source) of each row.
        operations: Names of the columns.
        active: Which entries (edges, ops) are computed; None: all.
    """
    nodes = max(target for target, _ in edges)
    sources: list[defaultdict[tuple[int, ...], list[int]]] = [
        defaultdict(list) for _ in range(nodes)
    ]
    for row, (_, source) in enumerate(edges):
        columns = tuple(
            column
            for column, name in enumerate(operations)
            if name != "none" and (active is None or active[row][column])
        )
        if columns:
            sources[source][columns].append(row)
    return tuple(
        tuple(
            Group(columns, tuple(rows), tuple(edges[row][0] for row in rows))
            for columns, rows in groups.items()
        )
        for groups in sources
    )
