"""The genotype: what a search found, and what a network is built from.

States of a cell are numbered: first its inputs, then its nodes (DARTS: inputs 0 and 1, nodes 2, 3,
...; NAS-Bench-201: input 0, nodes 1 to 3; recurrent: input 0, nodes 1, 2, ...). A node is the sum
of its inputs, each an (operation, source state) pair. An edge that carries *none* is absent.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lnas.errors import InputError
from lnas.files import write_text
from lnas.genotype.vocabulary import LAYOUTS, known_operations

Inputs = tuple[tuple[str, int], ...]
Cell = tuple[Inputs, ...]

MAX_NODES = 64


@dataclass(frozen=True)
class Genotype:
    """Cells of one architecture; equal when they name the same connections in whatever order.

    Args:
        space: "darts", "nasbench201" or "recurrent".
        cells: Per cell type, for each node in order, its inputs as (operation, source) pairs.
        concat: Per cell type, the states that make the cell's output; by default all nodes
            (NAS-Bench-201: the last one).

    Raises:
        InputError: An operation, a source, a count or a name does not fit the space.
    """

    space: str
    cells: Mapping[str, Sequence[Sequence[tuple[str, int]]]]
    concat: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.space, str) or self.space not in LAYOUTS:
            raise InputError(f"Unknown space {self.space!r} of a genotype; use {_list(LAYOUTS)}.")
        layout = LAYOUTS[self.space]
        _require_names("cells", self.cells, layout.cell_types, self.space)
        cells = {kind: _cell(self.space, kind, self.cells[kind]) for kind in layout.cell_types}
        first = layout.inputs
        states = {kind: tuple(range(first, first + len(cell))) for kind, cell in cells.items()}
        if self.space == "nasbench201":
            states = {kind: numbers[-1:] for kind, numbers in states.items()}
        concat = states
        if self.concat:
            _require_names("concat", self.concat, layout.cell_types, self.space)
            concat = {
                kind: _concat(self.space, kind, self.concat[kind], states[kind])
                for kind in layout.cell_types
            }
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "concat", concat)

    def __hash__(self) -> int:
        return hash(self._compact())

    def __str__(self) -> str:
        return self._compact()

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that depend on the architecture only."""
        return hashlib.sha256(self._compact().encode()).hexdigest()[:16]

    @property
    def first_node(self) -> int:
        """The state number of the first node, which is the number of input states."""
        return LAYOUTS[self.space].inputs

    def edges(self, cell_type: str) -> list[tuple[int, int, str]]:
        """Return (node, source, operation) of each connection of a cell, sorted."""
        cell = enumerate(self.cells[cell_type], start=self.first_node)
        return [(node, source, name) for node, inputs in cell for name, source in inputs]

    def needed(self, cell_type: str) -> set[int]:
        """Return the states that a cell's output depends on; without an input it is all 0."""
        needed = set(self.concat[cell_type])
        for node, source, _ in reversed(self.edges(cell_type)):
            if node in needed:
                needed.add(source)
        return needed

    def canonical(self) -> "Genotype":
        """Return the representative of all genotypes that compute the same function.

        NAS-Bench-201: edges to nowhere, from nowhere, and pure skips are resolved, so that there
        are 6,466 classes; see `lnas.genotype.isomorphism`. Other spaces: the genotype itself.
        """
        from lnas.genotype.isomorphism import representative

        return representative(self) if self.space == "nasbench201" else self

    @classmethod
    def from_json(cls, text: str, origin: str = "the text") -> "Genotype":
        """Read the versioned JSON format; `origin` says in errors where the text is from."""
        from lnas.genotype.json_format import parse

        return parse(text, origin)

    def to_json(self) -> str:
        """Write the versioned JSON format, one node a line."""
        from lnas.genotype.json_format import render

        return render(self)

    @classmethod
    def from_text(cls, text: str) -> "Genotype":
        """Read any of the known formats: JSON, DARTS, SNAS, NAS-Bench-201, recurrent."""
        from lnas.genotype.text_formats import parse

        return parse(text)

    def to_text(self, style: str | None = None) -> str:
        """Write "darts", "snas", "nasbench201", "rnn" or "json"; by default the space's own.

        Raises:
            InputError: The format cannot hold this genotype; the message names the node.
        """
        from lnas.genotype.text_formats import render

        return render(self, style)

    @classmethod
    def load(cls, path: str | Path) -> "Genotype":
        """Read a file in any of the known formats.

        Raises:
            InputError: The file cannot be read or does not hold a genotype.
        """
        from lnas.genotype.reading import read_file

        return read_file(path)

    def save(self, path: str | Path) -> None:
        """Write the JSON format to `path`, which is never half written."""
        write_text(path, self.to_json())

    def _compact(self) -> str:
        content = {"space": self.space, "cells": self.cells, "concat": self.concat}
        return json.dumps(content, separators=(",", ":"), sort_keys=True)


def _list(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def _require_names(what: str, given: object, allowed: tuple[str, ...], space: str) -> None:
    if not isinstance(given, Mapping):
        raise InputError(f"{what} of a genotype is {_short(given)}; give a mapping by cell type.")
    if set(given) != set(allowed):
        raise InputError(
            f"{what} of a {space} genotype has {_short(sorted(map(str, given)))}; "
            f"it must have exactly {_list(allowed)}."
        )


def _cell(space: str, kind: str, given: object) -> Cell:
    layout = LAYOUTS[space]
    nodes = _sequence(given, f"{kind}: the cell")
    if layout.nodes not in (None, len(nodes)):
        raise InputError(f"{kind} has {len(nodes)} nodes; a {space} cell has {layout.nodes}.")
    if not 1 <= len(nodes) <= MAX_NODES:
        raise InputError(f"{kind} has {len(nodes)} nodes; a cell has 1 to {MAX_NODES}.")
    cell = []
    for node, inputs in enumerate(nodes, start=layout.inputs):
        where = f"{kind}, node {node}"
        pairs = [_pair(space, where, node, pair) for pair in _sequence(inputs, where)]
        if layout.fan_in not in (None, len(pairs)):
            raise InputError(
                f"{where} has {len(pairs)} inputs; a node of a {space} cell has {layout.fan_in}."
            )
        if len(pairs) > MAX_NODES:
            raise InputError(f"{where} has {len(pairs)} inputs; at most {MAX_NODES} are allowed.")
        sources = [source for _, source in pairs]
        if not layout.parallel and len(set(sources)) < len(sources):
            raise InputError(
                f"{where} reads a source twice (sources {sources}); "
                f"an edge of a {space} cell carries one operation."
            )
        cell.append(tuple(sorted(pairs, key=lambda pair: (pair[1], pair[0]))))
    return tuple(cell)


def _pair(space: str, where: str, node: int, given: object) -> tuple[str, int]:
    pair = _sequence(given, f"{where}: an input")
    if len(pair) != 2:
        raise InputError(f"{where}: the input {_short(given)} must be [operation, source].")
    name, source = pair
    known = known_operations(space)
    if not isinstance(name, str) or name not in known:
        absent = " ('none' is written by leaving the edge out)" if name == "none" else ""
        raise InputError(
            f"{where}: unknown operation {_short(name)} of a {space} genotype{absent}; "
            f"use {_list(known)}, or register your own."
        )
    if type(source) is not int or not 0 <= source < node:
        raise InputError(
            f"{where}: {name} reads source {_short(source)}; use a state from 0 to {node - 1}."
        )
    return name, source


def _concat(space: str, kind: str, given: object, allowed: tuple[int, ...]) -> tuple[int, ...]:
    given = _sequence(given, f"{kind}: concat")
    states = [state for state in given if type(state) is int and state in allowed]
    if not states or len(set(states)) < len(given):
        raise InputError(
            f"{kind}: concat is {_short(list(given))}; "
            f"name one or more of the nodes {_list(allowed)}, each once."
        )
    return tuple(sorted(states))


def _sequence(given: object, what: str) -> Sequence[object]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"{what} is {_short(given)}; give a list.")
    return given


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
