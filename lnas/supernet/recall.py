"""Recall: what passes of one batch under slightly different gates have in common.

Selection by strength runs a supernet many times on the same images, with the gates of one edge
changed. All before the first cell with changed gates is as it was; in that cell, so are the nodes
before the changed edge and all edges between them. Behind it everything has to be computed anew,
for normalisation makes each cell nonlinear in its inputs.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lnas.relaxations import CellGates
from lnas.spaces import SearchSpace
from lnas.supernet.fused import fused_states, partial_sums

Key = tuple[Any, ...]
"""The gates of a cell, edge by edge, as plain numbers."""


class SearchedCell(Protocol):
    """A cell in three steps: its input states, its nodes, its output."""

    edges: Any
    node_norms: nn.ModuleDict | None

    def read(self, *given: Tensor) -> list[Tensor]:
        """Return the input states, made of the outputs of other cells."""

    def give(self, states: list[Tensor]) -> Tensor:
        """Return the output, made of all states."""


@dataclass(frozen=True)
class _Known:
    given: tuple[Tensor, ...]
    key: Key
    states: list[Tensor]
    output: Tensor
    rest: tuple[frozenset[int], dict[int, Tensor]] | None = None


class Recall:
    """Remembers the last pass; good for one set of weights and without gradients."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._stem: tuple[Tensor, Tensor] | None = None
        self._key: tuple[CellGates, Key] | None = None

    def stem(self, images: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Return what the stem makes of the images."""
        if self._stem is None or self._stem[0] is not images:
            self._stem = images, compute()
        return self._stem[1]

    def cell(
        self, index: int, cell: SearchedCell, given: tuple[Tensor, ...], gates: CellGates, path: Any
    ) -> Tensor:
        """Return the output of a cell.

        Args:
            index: Place of the cell.
            cell: The cell.
            given: Outputs of other cells that it reads.
            gates: Its gates.
            path: The way through the supernet.
        """
        key, known = self._key_of(gates), self._known.get(index)
        if known is None or any(a is not b for a, b in zip(known.given, given, strict=True)):
            states = cell.edges(cell.read(*given), gates, path, cell.node_norms)
            known = _Known(given, key, states, cell.give(states))
        elif key != known.key:
            known = self._again(cell, known, key, gates, path)
        self._known[index] = known
        return known.output

    def _again(
        self, cell: SearchedCell, known: _Known, key: Key, gates: CellGates, path: Any
    ) -> _Known:
        """Compute a cell whose inputs are as before and whose gates are not."""
        edges, space = cell.edges, cell.edges.space
        inputs = known.states[: space.inputs]
        rows = zip(key, known.key, strict=True)
        stale = stale_rows(space, [row for row, (now, then) in enumerate(rows) if now != then])
        if path == "reference" or len(stale) == len(space.edges):
            states = edges(inputs, gates, path, cell.node_norms)
            return dataclasses.replace(
                known, key=key, states=states, output=cell.give(states), rest=None
            )
        rest = known.rest
        if rest is None or rest[0] != stale:
            others = set(range(len(space.edges))) - stale
            rest = stale, partial_sums(edges, known.states, _only(gates, others))
        states = fused_states(edges, inputs, _only(gates, stale), cell.node_norms, rest[1])
        return dataclasses.replace(
            known, key=key, states=states, output=cell.give(states), rest=rest
        )

    def _key_of(self, gates: CellGates) -> Key:
        """Return the numbers of the gates; cells that share them ask the device once."""
        if self._key is not None:
            last, key = self._key
            if all(
                getattr(last, name) is getattr(gates, name)
                for name in ("gates", "active", "edges", "factors")
            ):
                return key
        tables = [gates.gates.tolist()]
        if gates.active is not None:
            tables.append(gates.active.tolist())
        if gates.edges is not None:
            tables.append(gates.edges.tolist())
        key = tuple(zip(*tables, strict=True))
        self._key = gates, key
        return key


def stale_rows(space: SearchSpace, changed: Iterable[int]) -> frozenset[int]:
    """Return the edges whose output changes when the gates of some edges do."""
    stale, nodes = set(changed), set()
    for row, edge in enumerate(space.edges):  # by target: a source comes before its readers
        if row in stale or edge.source in nodes:
            stale.add(row)
            nodes.add(edge.target)
    return frozenset(stale)


def _only(gates: CellGates, rows: Iterable[int]) -> CellGates:
    """Return the gates of a cell that has no other edges."""
    kept = torch.zeros(gates.gates.shape, dtype=torch.bool)
    kept[sorted(rows)] = True
    active = kept if gates.active is None else gates.active & kept
    return dataclasses.replace(gates, active=active)
