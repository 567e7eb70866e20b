"""Derivation rules: which (edge, operation) pairs of a cell survive, given scores.

`StrongestInputs` is section 2.4 of Liu, Simonyan and Yang, "DARTS", arXiv:1806.09055, ties as in
the released code: on equal strength the lower source and the lower operation win. `EveryEdge` is
the rule of NAS-Bench-201 (Dong and Yang, arXiv:2001.00326) and SNAS (Xie et al.,
arXiv:1812.09926): the best operation of every edge, *none* included. `AboveThreshold` is that of
FairDARTS (Chu et al., arXiv:1911.12126), whose nodes may have fewer inputs, or none.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from lnas.errors import InputError


class DerivationRule(ABC):
    """Chooses operations from the scores of the edges that enter one node.

    Attributes:
        parallel: One edge may carry several operations.
        exclude: Operations that are never chosen.
        inputs: Number of edges that a node keeps at most; None: all.
    """

    parallel = False
    exclude: tuple[str, ...] = ()
    inputs: int | None = None

    @abstractmethod
    def choose(
        self, scores: Sequence[Sequence[float]], operations: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return the chosen (edge, operation) positions.

        Args:
            scores: Shape (incoming edges, ops), edges by source; -inf where nothing is offered.
            operations: Names of the columns.
        """


class StrongestInputs(DerivationRule):
    """The strongest edges of each node, each with its best operation.

    An edge's strength is its largest score among the operations that may be chosen.

    Args:
        inputs: Number of edges that a node keeps (fewer where fewer offer an operation).
        exclude: Operations that are never chosen.
        unique_sources: Keep edges with their best operation; False keeps the best operations of
            all edges together, several of one edge if need be, as PR-DARTS was released.

    Raises:
        InputError: `inputs` is not positive.
    """

    def __init__(
        self,
        inputs: int = 2,
        exclude: Sequence[str] = ("none",),
        unique_sources: bool = True,
    ) -> None:
        if inputs < 1:
            raise InputError(f"StrongestInputs(inputs={inputs}) keeps no edge; use 1 or more.")
        self.inputs, self.exclude = inputs, tuple(exclude)
        self.parallel = not unique_sources

    def choose(
        self, scores: Sequence[Sequence[float]], operations: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return the strongest edges, or operations, strongest first."""
        if self.parallel:
            found = [
                (edge, column)
                for edge, row in enumerate(scores)
                for column in _allowed(row, operations, self.exclude)
            ]
        else:
            best = [_best(row, operations, self.exclude) for row in scores]
            found = [(edge, column) for edge, column in enumerate(best) if column is not None]
        # The sort is stable: the lower source wins a tie.
        found.sort(key=lambda place: -scores[place[0]][place[1]])
        return found[: self.inputs]


class AboveThreshold(DerivationRule):
    """The strongest edges of each node whose best operation reaches a threshold.

    Args:
        threshold: Smallest score of an operation that is kept; 0.85 in FairDARTS.
        inputs: Number of edges that a node keeps at most.
        exclude: Operations that are never chosen.

    Raises:
        InputError: `inputs` is not positive.
    """

    def __init__(
        self, threshold: float = 0.85, inputs: int = 2, exclude: Sequence[str] = ("none",)
    ) -> None:
        self.threshold, self.strongest = threshold, StrongestInputs(inputs, exclude)
        self.inputs, self.exclude = inputs, self.strongest.exclude

    def choose(
        self, scores: Sequence[Sequence[float]], operations: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return the strongest edges that are strong enough, strongest first."""
        found = self.strongest.choose(scores, operations)
        return [(edge, column) for edge, column in found if scores[edge][column] >= self.threshold]


class EveryEdge(DerivationRule):
    """The best operation of every edge; where that is *none*, the genotype has no edge.

    Args:
        exclude: Operations that are never chosen.
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self.exclude = tuple(exclude)

    def choose(
        self, scores: Sequence[Sequence[float]], operations: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return one operation of each edge that offers one."""
        best = [_best(row, operations, self.exclude) for row in scores]
        return [(edge, column) for edge, column in enumerate(best) if column is not None]


def _allowed(row: Sequence[float], operations: Sequence[str], exclude: Sequence[str]) -> list[int]:
    return [
        column
        for column, name in enumerate(operations)
        if name not in exclude and row[column] > -float("inf")
    ]


def _best(row: Sequence[float], operations: Sequence[str], exclude: Sequence[str]) -> int | None:
    allowed = _allowed(row, operations, exclude)
    return max(allowed, key=lambda column: row[column], default=None)
