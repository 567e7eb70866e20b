"""The search space: what may be searched, as data and without modules.

A space knows its cell types, the edges of a cell, the candidate operations of each edge and the
rule that turns scores into a genotype. Supernets, criteria and callbacks read it.
"""

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.genotype import Genotype, known_operations
from lnas.spaces.rules import DerivationRule
from lnas.waiting import on_host, sent


class Edge(NamedTuple):
    """A connection of a cell: from the state `source` to the node `target`."""

    target: int
    source: int

    @property
    def name(self) -> str:
        """The name in parameter names and configurations, e.g. "2_0"."""
        return f"{self.target}_{self.source}"


class SearchSpace(ABC):  # noqa: B024 - spaces differ in their data, not in methods
    """A cell-based space: each node may read every state before it.

    Tables over a cell have the shape (edges, ops): rows as `edges`, columns as `operations`.

    Args:
        name: The space's name in genotypes.
        cell_types: Names of the cells that are searched.
        inputs: Number of input states of a cell.
        nodes: Number of nodes of a cell.
        operations: Names of the candidate operations, in the order of the columns.
        rule: How scores become a genotype.
        offered: Per cell type, for each edge the operations it offers; by default all.

    Attributes:
        edges: All edges of a cell, by target, then by source; the same for every cell type.

    Raises:
        InputError: An operation is unknown, stands twice, or an edge offers none.
    """

    def __init__(
        self,
        name: str,
        cell_types: Sequence[str],
        inputs: int,
        nodes: int,
        operations: Sequence[str],
        rule: DerivationRule,
        offered: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> None:
        self.name, self.cell_types = name, tuple(cell_types)
        self.inputs, self.nodes, self.rule = inputs, nodes, rule
        self.operations = _checked_operations(name, operations)
        if nodes < 1:
            raise InputError(f"A cell of {nodes} nodes cannot be searched; use 1 or more.")
        self.edges = tuple(
            Edge(target, source)
            for target in range(inputs, inputs + nodes)
            for source in range(target)
        )
        self._candidates = {
            kind: self._table(kind, None if offered is None else offered[kind])
            for kind in self.cell_types
        }

    def incoming(self, target: int) -> list[int]:
        """Return the rows of the edges that enter the node `target`, by source."""
        return [row for row, edge in enumerate(self.edges) if edge.target == target]

    def candidates(self, cell_type: str) -> Tensor:
        """Return which operations each edge offers: bool (edges, ops)."""
        return self._candidates[cell_type].clone()

    def edge_row(self, edge: Edge | str | int) -> int:
        """Return the row of an edge given by itself, its name or its row.

        Raises:
            InputError: There is no such edge.
        """
        names = [known.name for known in self.edges]
        name = edge.name if isinstance(edge, Edge) else edge
        if isinstance(name, str) and name in names:
            return names.index(name)
        if isinstance(name, int) and 0 <= name < len(names):
            return name
        raise InputError(f"Unknown edge {edge!r}; use one of {', '.join(names)}.")

    def operation_column(self, operation: str | int) -> int:
        """Return the column of an operation given by its name or its column.

        Raises:
            InputError: There is no such operation.
        """
        if isinstance(operation, str) and operation in self.operations:
            return self.operations.index(operation)
        if isinstance(operation, int) and 0 <= operation < len(self.operations):
            return operation
        raise InputError(f"Unknown operation {operation!r}; use {', '.join(self.operations)}.")

    def derive(self, scores: Mapping[str, Tensor]) -> Genotype:
        """Return the genotype that the rule derives.

        Args:
            scores: Per cell type (edges, ops), larger is better; -inf is never chosen.

        Raises:
            InputError: A table is missing, has another shape or holds NaN.
        """
        cells: dict[str, list[list[tuple[str, int]]]] = {}
        for kind, rows in self._choices(scores).items():
            nodes: list[list[tuple[str, int]]] = [[] for _ in range(self.nodes)]
            for row, column in rows:
                name, edge = self.operations[column], self.edges[row]
                if name != "none":
                    nodes[edge.target - self.inputs].append((name, edge.source))
            cells[kind] = nodes
        return Genotype(self.name, cells)

    def project(self, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tables of 0 and 1 with ones where `derive` puts operations.

        This is the projection onto the discrete architectures of DARTS-PRIME (arXiv:2106.11655,
        eqs. 1 to 4). A rule that may choose *none* has its one there.

        Args:
            gates: Per cell type (edges, ops).
        """
        projected = {}
        for kind, rows in self._choices(gates).items():
            table = torch.zeros(gates[kind].shape, dtype=gates[kind].dtype)
            for row, column in rows:
                table[row, column] = 1
            projected[kind] = sent(table, gates[kind].device)
        return projected

    def one_hot(self, genotype: Genotype) -> dict[str, Tensor]:
        """Return the gates under which a supernet computes the genotype: float (edges, ops).

        The row of an absent edge is zero.

        Raises:
            InputError: The genotype is not one of this space.
        """
        self.validate(genotype)
        tables = {}
        for kind in self.cell_types:
            table = torch.zeros(len(self.edges), len(self.operations))
            for node, source, name in genotype.edges(kind):
                table[self.edges.index(Edge(node, source)), self.operations.index(name)] = 1
            tables[kind] = table
        return tables

    def validate(self, genotype: Genotype) -> None:
        """Check that the supernet of this space holds the genotype.

        Raises:
            InputError: It is of another space or size, or an edge does not offer its operation.
        """
        if genotype.space != self.name:
            raise InputError(
                f"The genotype is of the space {genotype.space}; this search needs {self.name}."
            )
        for kind in self.cell_types:
            cell = genotype.cells[kind]
            if len(cell) != self.nodes:
                raise InputError(
                    f"{kind} of the genotype has {len(cell)} nodes; the space has {self.nodes}."
                )
            taken: set[tuple[int, str]] = set()
            for node, source, name in genotype.edges(kind):
                row = self.edges.index(Edge(node, source))
                offers = self._offers(kind, row)
                if name not in offers:
                    raise InputError(
                        f"{kind}, node {node}: {name} from state {source} is not offered; "
                        f"this edge offers {', '.join(offers)}."
                    )
                key = (row, name if self.rule.parallel else "")
                if key in taken:
                    raise InputError(
                        f"{kind}, node {node} reads state {source} twice; "
                        "an edge of a supernet carries one operation."
                    )
                taken.add(key)

    def _offers(self, cell_type: str, row: int) -> list[str]:
        flags = self._candidates[cell_type][row].tolist()
        return [name for name, offered in zip(self.operations, flags, strict=True) if offered]

    def _choices(self, scores: Mapping[str, Tensor]) -> dict[str, list[tuple[int, int]]]:
        chosen: dict[str, list[tuple[int, int]]] = {}
        shape = (len(self.edges), len(self.operations))
        for kind in self.cell_types:
            if kind not in scores or tuple(scores[kind].shape) != shape:
                found = tuple(scores[kind].shape) if kind in scores else "nothing"
                raise InputError(f"Scores of {kind} have shape {found}; give {shape}.")
        for kind, table in on_host({n: scores[n].detach() for n in self.cell_types}).items():
            if table.isnan().any():
                raise InputError(f"Scores of {kind} hold NaN; no genotype follows from them.")
            offered = table.masked_fill(~self._candidates[kind], -torch.inf).tolist()
            chosen[kind] = []
            for target in range(self.inputs, self.inputs + self.nodes):
                rows = self.incoming(target)
                picks = self.rule.choose([offered[row] for row in rows], self.operations)
                chosen[kind] += [(rows[edge], column) for edge, column in picks]
        return chosen

    def _table(self, kind: str, offered: Sequence[Sequence[str]] | None) -> Tensor:
        shape = (len(self.edges), len(self.operations))
        if offered is None:
            return torch.ones(shape, dtype=torch.bool)
        if len(offered) != len(self.edges):
            raise InputError(
                f"Candidates of {kind} are given for {len(offered)} edges; "
                f"the cell has {len(self.edges)}."
            )
        table = torch.zeros(shape, dtype=torch.bool)
        for row, names in enumerate(offered):
            if isinstance(names, str) or not names:
                raise InputError(
                    f"Edge {self.edges[row].name} of {kind} offers {names!r}; "
                    "give a list of one or more operations."
                )
            for name in names:
                table[row, self.operation_column(name)] = True
        return table


def _checked_operations(space: str, operations: Sequence[str]) -> tuple[str, ...]:
    known = ("none", *known_operations(space))
    for name in operations:
        if name not in known:
            raise InputError(
                f"Unknown operation {name!r} of the {space} space; use {', '.join(known)}, "
                "or register your own."
            )
    if isinstance(operations, str) or len(set(operations)) < max(len(operations), 1):
        raise InputError(
            f"Operations {operations!r} must be a list of one or more names, each once."
        )
    return tuple(operations)
