"""OperationStrength: what an operation is worth to the supernet that holds it.

Two papers hold that the size of a gate says little of its operation, and look at the held-out cost
of the supernet instead. An edge is decided, then the next one in sight of that decision.

- `mode="mask"`, Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT),
  ICLR 2021, arXiv:2108.04392, algorithm 1: strength(e, o) = cost(without o) - cost. The gates that
  remain are not scaled up.
- `mode="select"`, OStr-DARTS: strength(e, o) = cost - cost(edge e is o alone): the change of the
  final loss when one operation takes the place of the mixture.

The cost is the loss in nats, or the share of wrong answers. Nodes that keep fewer edges than enter
them then lose, one by one, the edge without which the cost is least. Normalisation is by the
statistics of each batch, as in the released code of DARTS-PT.

Deviations: the batches are those that no optimizer sees, not those that trained the architecture;
an edge that is removed stays away when the next one is chosen, which the released code forgets
(`topology="once"` gives its result). The full text of OStr-DARTS was not at hand: the order and the
rule of its edges are assumptions.
"""

from typing import Literal, final, get_args

import torch
from torch import Tensor

from lnas.derivation.criteria import SelectionContext, SelectionCriterion
from lnas.derivation.deciding import (
    Choice,
    Measured,
    Mode,
    Place,
    choose_operation,
    live_rows,
    undecided,
    weakest_edge,
)
from lnas.derivation.draft import Draft
from lnas.errors import InputError
from lnas.seeds import generator

Order = Literal["topological", "random", "by_margin"]
Topology = Literal["greedy", "once", "strength"]


@final
class OperationStrength(SelectionCriterion):
    """Decides edge by edge by the cost of the supernet on held-out batches.

    Scores are strengths, in nats or as a share of examples; removed edges score -inf.

    Args:
        mode: "select" keeps one operation on the edge (OStr-DARTS); "mask" takes one out
            (DARTS-PT).
        criterion: "loss", or "accuracy": the cost is the share of wrong answers.
        edge_order: "topological" goes from the inputs on, one edge of each cell type in turn;
            "random" by the seed; "by_margin" begins where an operation is furthest ahead.
        topology: How a node gets down to the number of edges that the space's rule keeps: "greedy"
            removes one after the other; "once" removes the weakest together; "strength" leaves it
            to the rule, which compares the operations' strengths.
        batches: Held-out batches that everything is measured on; None: all.
        seed: Seed of the random order; the seed of the run counts too.

    Attributes:
        decisions: Those of the last scoring, in order.

    Raises:
        InputError: An argument is not one of these.
    """

    reads_batches = True

    def __init__(
        self,
        mode: Mode = "select",
        criterion: Measured = "loss",
        edge_order: Order = "topological",
        topology: Topology = "greedy",
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        for name, value, kind in (
            ("mode", mode, Mode),
            ("criterion", criterion, Measured),
            ("edge_order", edge_order, Order),
            ("topology", topology, Topology),
        ):
            if value not in get_args(kind):
                allowed = ", ".join(get_args(kind))
                raise InputError(f"OperationStrength({name}={value!r}): choose one of {allowed}.")
        if batches is not None and batches < 1:
            raise InputError(f"batches={batches} measures nothing; give 1 or more, or null.")
        self.mode, self.criterion, self.batches = mode, criterion, batches
        self.edge_order, self.topology, self.seed = edge_order, topology, seed
        self.reads_accuracy = criterion == "accuracy"

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return the strengths by which the edges were decided."""
        architecture, decisions = context.architecture, []
        draft, tables = Draft.of(architecture), _empty(context)
        cost: float | None = None
        for kind, row in self.order(context, undecided(architecture)):
            choice = self.decide(context, draft, (kind, row), cost)
            tables[kind][row] = _favouring(choice)
            draft = draft.select(kind, row, choice.index)
            cost = choice.cost
            decisions.append(choice.decision)
        top = 1 + max(float(table[table.isfinite()].abs().sum()) for table in tables.values())
        for kind, table in tables.items():
            fixed = architecture.fixed.get_buffer(kind).cpu()
            # What was fixed before outranks all others.
            table[fixed >= 0, fixed[fixed >= 0]] = top
            for node in self.nodes(context, kind):
                rows = live_rows(draft, architecture.space, kind, node)
                free = [row for row in rows if fixed[row] < 0]
                for choice in self.prune(context, draft, kind, free, len(rows)):
                    table[choice.index] = -torch.inf
                    draft = draft.without(kind, choice.index)
                    decisions.append(choice.decision)
        self.decisions = decisions
        return tables

    def strengths(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return all strengths while nothing more is decided, (edges, ops) per cell type."""
        draft, tables = Draft.of(context.architecture), _empty(context)
        for kind, row in undecided(context.architecture):
            tables[kind][row] = self.decide(context, draft, (kind, row)).strengths
        return tables

    def order(self, context: SelectionContext, places: list[Place]) -> list[Place]:
        """Return edges in the order in which they are decided.

        Args:
            context: What is decided upon.
            places: Edges, from the inputs on.
        """
        if self.edge_order == "random":
            space, ranks = context.architecture.space, {}
            for kind in space.cell_types:
                numbers = generator(self.seed, context.seed, "edge order", kind)
                ranks[kind] = torch.randperm(len(space.edges), generator=numbers).tolist()
            return sorted(places, key=lambda place: ranks[place[0]][place[1]])
        if self.edge_order == "by_margin":
            draft, margins = Draft.of(context.architecture), {}
            for place in places:
                margin = self.decide(context, draft, place).decision.margin
                margins[place] = torch.inf if margin is None else margin
            return sorted(places, key=lambda place: -margins[place])
        return places

    def decide(
        self, context: SelectionContext, draft: Draft, place: Place, cost: float | None = None
    ) -> Choice:
        """Choose the operation of an edge.

        Args:
            context: What is decided upon.
            draft: What is decided so far.
            place: The edge.
            cost: Cost of the draft, if it is known.
        """
        return choose_operation(
            context, draft, place, self.mode, self.criterion, self.batches, cost
        )

    def nodes(self, context: SelectionContext, kind: str) -> list[int]:
        """Return the nodes of a cell type that lose edges, in the order in which they do."""
        space = context.architecture.space
        if self.topology == "strength" or space.rule.inputs is None:
            return []
        numbers = generator(self.seed, context.seed, "node order", kind)
        places = list(range(space.nodes))
        if self.edge_order == "random":
            places = torch.randperm(space.nodes, generator=numbers).tolist()
        nodes = [space.inputs + place for place in places]
        return [node for node in nodes if len(space.incoming(node)) > space.rule.inputs]

    def prune(
        self, context: SelectionContext, draft: Draft, kind: str, rows: list[int], edges: int
    ) -> list[Choice]:
        """Return the edges that a node loses, in order.

        Args:
            context: What is decided upon.
            draft: What is decided so far.
            kind: Cell type.
            rows: Edges that may be removed.
            edges: How many edges the node has.
        """
        wanted = context.architecture.space.rule.inputs
        excess = 0 if wanted is None else min(edges - wanted, len(rows))
        choices: list[Choice] = []
        while len(choices) < excess:
            gone = [choice.index for choice in choices]
            left = [row for row in rows if row not in gone]
            choices.append(weakest_edge(context, draft, kind, left, self.criterion, self.batches))
            if self.topology == "greedy":
                draft = draft.without(kind, choices[-1].index)
        return choices


def _favouring(choice: Choice) -> Tensor:
    """Return the strengths, the choice's ahead of those that equal it but for rounding."""
    top = choice.strengths.max()
    table = choice.strengths.minimum(torch.nextafter(top, top.new_tensor(-torch.inf)))
    table[choice.index] = top
    return table


def _empty(context: SelectionContext) -> dict[str, Tensor]:
    space = context.architecture.space
    shape = (len(space.edges), len(space.operations))
    return {name: torch.full(shape, -torch.inf, dtype=torch.float64) for name in space.cell_types}
