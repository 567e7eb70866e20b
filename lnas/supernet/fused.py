"""The fused path: the numbers of the reference path with far less work.

It relies on one fact only: an edge's output is edge weight * sum_o gate[o] * o(source), linear in
the gates. So what does not depend on the edge is computed once per state, a gate becomes the scale
of an operation's last normalisation, dilated convolutions of all edges into a node leave the pixel
phases together, and dense convolutions that read the same state are one. Factors per image (dropped
paths) follow each operation; channels that go around the operations are joined once per node. It
owns no parameters, and what it does not know it leaves to the operation itself.

Where launches cost more than work, `batched` takes the edges of a state together before that.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas import kernels
from lnas.operations.convolutional import DilatedConv, Pool, ReLUConv, SeparableConv
from lnas.operations.reduction import FactorizedReduce
from lnas.relaxations import CellGates
from lnas.supernet.batched import EdgeBatches, batches_edges
from lnas.supernet.compiled import Compiled
from lnas.supernet.compiled_edges import CompiledEdges
from lnas.supernet.node import Node
from lnas.supernet.plan import Active, Plan, Term, plan_of
from lnas.supernet.reference import empty, normalized
from lnas.supernet.single import dilated, reduced, separable
from lnas.supernet.sources import Source, normalize, shares_statistics

if TYPE_CHECKING:
    from lnas.supernet.edges import SearchEdges


def fused_states(
    edges: "SearchEdges",
    inputs: list[Tensor],
    gates: CellGates,
    norms: nn.ModuleDict | None,
    rest: Mapping[int, Tensor] | None = None,
) -> list[Tensor]:
    """Compute the states of a cell; see `SearchEdges.forward`.

    Args:
        edges: The edges of the cell.
        inputs: Its input states.
        gates: Its gates.
        norms: Normalisations of the nodes, if they have any.
        rest: By node, what else is summed up in it, from edges that the gates leave out.
    """
    active = _active(gates)
    plan = plan_of(edges, active)
    run = _Run(edges, gates, norms, inputs[0], plan)
    run.rest = rest or {}
    states = list(inputs)
    first = len(inputs)
    for number, terms in enumerate(plan):
        if number >= first:
            states.append(run.node(number, states))
        run.take(number, states[number], terms, active)
    for node in range(len(states), first + edges.space.nodes):
        states.append(run.node(node, states))
    return states


def partial_sums(edges: "SearchEdges", states: list[Tensor], gates: CellGates) -> dict[int, Tensor]:
    """Return what the active edges add to each node that they enter, before its normalisation.

    Args:
        edges: The edges of the cell.
        states: All states; those that active edges read are right.
        gates: The gates of this cell.
    """
    active = _active(gates)
    plan = plan_of(edges, active)
    run = _Run(edges, gates, None, states[0], plan)
    for number, terms in enumerate(plan):
        run.take(number, states[number], terms, active)
    return {node: total for node in sorted(run.nodes) if (total := run.total(node)) is not None}


def _active(gates: CellGates) -> Active:
    return None if gates.active is None else tuple(map(tuple, gates.active.tolist()))


class _Run:
    """One pass through a cell."""

    def __init__(
        self,
        edges: "SearchEdges",
        gates: CellGates,
        norms: nn.ModuleDict | None,
        like: Tensor,
        plan: Plan,
    ) -> None:
        self.edges, self.norms = edges, norms
        self.parts = edges.extras.partial_channels
        # Normalisation wants scales of its averages' kind: for the half-precision states of
        # autocast float32, as the gates are; a network of half precision has such gates, too.
        half = like.dtype in (torch.bfloat16, torch.float16)
        kind = gates.gates.dtype if half else like.dtype
        weights = None if gates.edges is None else gates.edges.to(kind)
        matrix = gates.gates.to(kind)
        self.gates = matrix if weights is None else matrix * weights[:, None]
        self.edge_weights = None if weights is None else weights.unbind()
        self.columns, self.channels = matrix.shape[1], like.shape[1] // self.parts
        self.factors = gates.factors
        self.scalars: tuple[Tensor, ...] = ()
        self.scales: tuple[Tensor, ...] = ()
        self.compiled = Compiled(like, self.channels)
        self.compiled_edges = CompiledEdges(like, self.channels)
        self.batches = None
        if batches_edges(like):
            self.batches = EdgeBatches(edges, plan, self.gates, self.factors, self.channels)
        self.nodes: defaultdict[int, Node] = defaultdict(Node)
        self.rest: Mapping[int, Tensor] = {}

    def take(self, number: int, state: Tensor, terms: tuple[Term, ...], active: Active) -> None:
        """Add all that follows from one state to the nodes."""
        source = Source(state, self.parts)
        if self.batches is not None:
            for target, part in self.batches.take(number, source):
                self.nodes[target].plain.append(part)
            terms = self.batches.left[number]
        self.read(source, terms)
        if self.parts > 1:
            self.go_around(number, source, active)

    def node(self, number: int, states: list[Tensor]) -> Tensor:
        """Sum up a node whose sources have all been read."""
        summed = self.total(number)
        if number in self.rest:
            summed = self.rest[number] if summed is None else self.rest[number] + summed
        if summed is None:
            row = self.edges.space.incoming(number)[0]
            source = self.edges.space.edges[row].source
            return empty(states[source], self.edges.strides[row])
        return normalized(self.norms, number, summed)

    def total(self, number: int) -> Tensor | None:
        """Return the sum of what was added to a node; None if nothing was."""
        return self.nodes.pop(number, Node()).total(self.parts)

    def read(self, source: Source, terms: tuple[Term, ...]) -> None:
        """Add what follows from one state to the nodes."""
        pools: defaultdict[tuple[str, int], list[Term]] = defaultdict(list)
        dense: defaultdict[int, list[Term]] = defaultdict(list)
        compiled: defaultdict[int, list[Term]] = defaultdict(list)
        together: defaultdict[int, list[Term]] = defaultdict(list)
        known = self.compiled_edges.known(terms, self.operation)
        for term in terms:
            operation = self.operation(term)
            if term in known:
                together[term.row].append(term)
            elif self.compiled.knows(term.kind, operation):
                compiled[term.row].append(term)
            elif term.kind == "identity":
                self.weigh(term, source.state)
            elif isinstance(operation, Pool) and term.kind == "pool":
                pools[operation.kind, operation.stride].append(term)
            elif isinstance(operation, ReLUConv) and term.kind == "dense":
                dense[operation.kernel].append(term)
            elif isinstance(operation, SeparableConv) and term.kind == "separable":
                self.add(term, separable(source, operation, self.scale(term)))
            elif isinstance(operation, FactorizedReduce) and term.kind == "reduce":
                self.add(term, reduced(source, operation, self.scale(term)))
            elif isinstance(operation, DilatedConv) and term.kind == "dilated":
                phased = source.phased and operation.stride == 1
                self.add(term, dilated(source, operation, self.scale(term)), phased)
            else:
                self.add(term, self.scalar(term) * operation(source.state))
        for (kind, stride), group in pools.items():
            self.pools(source.pool(kind, stride), group)
        for group in dense.values():
            self.dense(source, group)
        for group in compiled.values():
            self.convolutions(source, group)
        if together:
            self.together(source, list(together.values()))

    def together(self, source: Source, groups: list[list[Term]]) -> None:
        """Add dense convolutions, skips and averages of all edges of a source in one go."""
        nodes = [self.nodes[group[0].target] for group in groups]
        edges = [[(self.operation(term), self.gated(term)) for term in group] for group in groups]
        before = [node.taken(source.state) for node in nodes]
        sums = self.compiled_edges(source.state, edges, before)
        for node, summed in zip(nodes, sums, strict=True):
            node.plain.append(summed)

    def convolutions(self, source: Source, group: list[Term]) -> None:
        """Add the separable and dilated convolutions of one edge by compiled kernels."""
        operations = [self.operation(term) for term in group]
        factors = (
            None
            if self.factors is None
            else [self.factors[term.row, term.column] for term in group]
        )
        gates = [self.scalar(term) for term in group]
        result = self.compiled(source.state, operations, gates, factors)
        self.nodes[group[0].target].plain.append(result)

    def go_around(self, number: int, source: Source, active: Active) -> None:
        """Add the channels of a state that pass around the operations of its edges."""
        for row, edge in enumerate(self.edges.space.edges):
            if edge.source == number and (active is None or any(active[row])):
                node = self.nodes[edge.target]
                node.around.append(source.around(self.edges.strides[row]))
                if self.edge_weights is not None:
                    node.around_gates.append(self.edge_weights[row])

    def pools(self, pooled: Tensor, group: list[Term]) -> None:
        """Add pools of one kind on all edges of a source."""
        norms = [cast(Pool, self.operation(term)).bn for term in group]
        given = [norm for norm in norms if norm is not None]
        shared = normalize(pooled, given) if given and shares_statistics(given) else None
        for term, norm in zip(group, norms, strict=True):
            if norm is None:
                self.weigh(term, pooled)
            elif shared is not None:
                self.weigh(term, shared)
            else:
                self.add(term, norm(pooled, self.scale(term)))

    def dense(self, source: Source, group: list[Term]) -> None:
        """Add dense convolutions of one kernel size on all edges of a source."""
        operations = [cast(ReLUConv, self.operation(term)) for term in group]
        norms = [operation.bn1 for operation in operations]
        if not shares_statistics(norms) or any(o.stride != 1 for o in operations):
            for term, operation in zip(group, operations, strict=True):
                self.add(term, operation.bn1(operation.conv1(source.relu), self.scale(term)))
            return
        weight = torch.cat([operation.conv1.weight for operation in operations])
        biases = [operation.conv1.bias for operation in operations]
        # Normalisation takes the bias away: it moves the averages, and its gradient is exactly 0.
        given = [bias for bias in biases if bias is not None]
        nothing = weight.new_zeros(source.relu.shape[1])
        each = [nothing if bias is None else bias for bias in biases]
        shift = torch.cat(each) * 0.0 if given else None
        y = normalize(
            functional.conv2d(source.relu, weight, padding=operations[0].kernel // 2),
            norms,
            torch.cat([self.scale(term) for term in group]),
            shift,
            list(biases),
        )
        for term, part in zip(group, y.chunk(len(group), 1), strict=True):
            self.add(term, part)

    def operation(self, term: Term) -> torch.nn.Module:
        """Return the module of a term."""
        return self.edges.operations(term.row)[term.name]

    def scalar(self, term: Term) -> Tensor:
        """Return the gate of a term, times its edge weight, ()."""
        # Once, and not by cached_property, whose lock ends the graph of a compiler.
        self.scalars = self.scalars or self.gates.flatten().unbind()
        return self.scalars[term.row * self.columns + term.column]

    def gated(self, term: Term) -> kernels.Gated:
        """Return the same with the term's factors of the images."""
        factors = None if self.factors is None else self.factors[term.row, term.column]
        return kernels.Gated(self.scalar(term), factors)

    def scale(self, term: Term) -> Tensor:
        """Return the same for each channel, (C,)."""
        if not self.scales:
            # Contiguous: see BatchNorm2d.
            wide = self.gates.reshape(-1, 1).expand(-1, self.channels).contiguous()
            self.scales = wide.unbind()
        return self.scales[term.row * self.columns + term.column]

    def add(self, term: Term, result: Tensor, phased: bool = False) -> None:
        """Add the weighed output of an operation to the target of its term.

        Args:
            term: The term.
            result: Gate * operation(source).
            phased: It is in pixel phases, (4N, C, H / 2, W / 2).
        """
        if self.factors is not None:
            factors = self.factors[term.row, term.column].to(result.dtype)
            result = result * factors.repeat(4 if phased else 1).view(-1, 1, 1, 1)
        node = self.nodes[term.target]
        (node.phased if phased else node.plain).append(result)

    def weigh(self, term: Term, x: Tensor) -> None:
        """Add gate * x to the target of a term."""
        if self.factors is not None:
            self.add(term, self.scalar(term) * x)
            return
        node = self.nodes[term.target]
        node.gates.append(self.scalar(term))
        node.terms.append(x)
