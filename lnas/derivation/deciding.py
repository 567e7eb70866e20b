"""One decision about one edge: which operation it keeps, or whether it goes."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lnas.derivation.comparison import Comparison, compare
from lnas.derivation.criteria import Decision, SelectionContext
from lnas.derivation.draft import Draft
from lnas.spaces import SearchSpace
from lnas.supernet import Architecture

Mode = Literal["select", "mask"]
Measured = Literal["loss", "accuracy"]
Place = tuple[str, int]
"""Cell type and row of an edge."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Args:
        index: Column of the operation, or row of the edge that goes.
        strengths: Of all operations, (ops,), or of the edges that were asked about, (rows,); in
            host memory, -inf where there is no candidate.
        cost: Cost of the supernet under the choice, if it was measured.
        decision: The same as plain data.
    """

    index: int
    strengths: Tensor
    cost: float | None
    decision: Decision


def undecided(architecture: Architecture) -> list[Place]:
    """Return the edges with something to decide, from the inputs on, cell types in turn."""
    space = architecture.space
    draft = Draft.of(architecture)
    fixed = {name: architecture.fixed.get_buffer(name).tolist() for name in space.cell_types}
    return [
        (kind, row)
        for row in range(len(space.edges))
        for kind in space.cell_types
        if fixed[kind][row] < 0 and candidates(draft, space, kind, row)
    ]


def candidates(draft: Draft, space: SearchSpace, kind: str, row: int) -> list[int]:
    """Return the columns of the operations that an edge may keep: active, and not excluded."""
    return [
        column
        for column, active in enumerate(draft.active[kind][row].tolist())
        if active and space.operations[column] not in space.rule.exclude
    ]


def live_rows(draft: Draft, space: SearchSpace, kind: str, node: int) -> list[int]:
    """Return the edges into a node on which something may stand."""
    return [row for row in space.incoming(node) if candidates(draft, space, kind, row)]


def choose_operation(
    context: SelectionContext,
    draft: Draft,
    place: Place,
    mode: Mode,
    measured: Measured,
    batches: int | None,
    cost: float | None = None,
) -> Choice:
    """Choose the strongest operation of an edge; on a tie the first one.

    Args:
        context: What is decided upon.
        draft: What is decided so far.
        place: The edge, with at least one candidate.
        mode: What is done to each candidate.
        measured: What the cost is.
        batches: Held-out batches; None: all.
        cost: Cost of the draft, if it is known.
    """
    space, (kind, row) = context.architecture.space, place
    columns = candidates(draft, space, kind, row)
    names = [space.operations[column] for column in columns]
    samples, places = [], []
    if mode == "mask":
        cost = None
    if cost is None:
        samples.append(draft.sample())
    for column, name in zip(columns, names, strict=True):
        if mode == "mask" and name == "none":
            places.append(0)  # without nothing, everything is there
            continue
        places.append(len(samples))
        changed = draft.select if mode == "select" else draft.mask
        samples.append(changed(kind, row, column).sample())
    found = compare(context, samples, measured, batches)
    costs = _costs(found, measured)
    base = float(costs[0]) if cost is None else cost
    values = costs[torch.tensor(places)]
    strengths = base - values if mode == "select" else values - base
    best = found.best(strengths)
    table = torch.full((len(space.operations),), -torch.inf, dtype=torch.float64)
    table[columns] = strengths
    margin, error = _margin(found, strengths, places, best)
    decision = Decision(
        kind,
        space.edges[row].name,
        names[best],
        dict(zip(names, strengths.tolist(), strict=True)),
        margin,
        error,
    )
    chosen = float(values[best]) if mode == "select" else None
    return Choice(columns[best], table, chosen, decision)


def weakest_edge(
    context: SelectionContext,
    draft: Draft,
    kind: str,
    rows: list[int],
    measured: Measured,
    batches: int | None,
) -> Choice:
    """Choose the edge whose removal leaves the least cost; on a tie the first one.

    Args:
        context: What is decided upon.
        draft: What is decided so far.
        kind: Cell type.
        rows: The edges that may go.
        measured: What the cost is.
        batches: Held-out batches; None: all.
    """
    edges = context.architecture.space.edges
    samples = [draft.sample(), *(draft.without(kind, row).sample() for row in rows)]
    found = compare(context, samples, measured, batches)
    costs = _costs(found, measured)
    strengths = costs[1:] - costs[0]
    worst = found.best(-strengths)
    margin, error = _margin(found, -strengths, list(range(1, len(samples))), worst)
    named = {edges[row].name: float(s) for row, s in zip(rows, strengths, strict=True)}
    decision = Decision(kind, edges[rows[worst]].name, None, named, margin, error)
    return Choice(rows[worst], strengths, float(costs[1 + worst]), decision)


def _costs(found: Comparison, measured: Measured) -> Tensor:
    return found.values if measured == "loss" else 1 - found.values


def _margin(
    found: Comparison, preferences: Tensor, places: list[int], best: int
) -> tuple[float | None, float | None]:
    """Return by how much the best is preferred to the next, and the standard error of that."""
    if len(preferences) < 2:
        return None, None
    rivals = preferences.clone()
    rivals[best] = -torch.inf
    second = int(rivals.argmax())
    # Not below 0, where rounding puts what is equal.
    margin = max(0.0, float(preferences[best] - preferences[second]))
    return margin, found.error(places[best], places[second])
