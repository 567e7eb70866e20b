"""The cells of derived networks: only the operations that a genotype names.

Operations whose result does not reach the cell's output exist, since published parameter counts and
weights include them, but are not computed.

On CPUs, separable and dilated convolutions train with the compiled kernels of the search where
these know them; everything else, and these elsewhere, is computed module by module.

Path dropout (Larsson et al., "FractalNet", 2017, as in the released DARTS code) scales the output
of each operation per image; a skip of stride 1 is never dropped, one of stride 2 is.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnas.genotype import Genotype
from lnas.operations import build
from lnas.operations.reduction import HalvingPreprocess, Preprocess
from lnas.supernet.compiled import Compiled
from lnas.supernet.plan import kind_of


@dataclass(frozen=True)
class Connection:
    """One operation of a cell.

    Args:
        source: State that it reads.
        edge: Name of its edge, e.g. "2_0".
        key: Its name on the edge.
        path: Its row among the operations that path dropout may drop; None: never dropped.
    """

    source: int
    edge: str
    key: str
    path: int | None


class GenotypeEdges(nn.ModuleDict):
    """The operations of one cell, named `{node}_{source}.{operation}`.

    Where a node has the same operation on the same source twice (NASNet-A), the second one is named
    `{operation}_2`, and so on.

    Args:
        genotype: The cells.
        cell_type: Which of them.
        channels: Channels C of each state.
        halved_inputs: How many states, from the first on, are read with stride 2.

    Attributes:
        paths: Number of operations that path dropout may drop.
        needed: States that the cell's output depends on.
    """

    def __init__(
        self, genotype: Genotype, cell_type: str, channels: int, halved_inputs: int = 0
    ) -> None:
        super().__init__()
        self.channels, self.stride = channels, 2 if halved_inputs else 1
        first = genotype.first_node
        self.nodes = range(first, first + len(genotype.cells[cell_type]))
        self.connections: dict[int, list[Connection]] = {node: [] for node in self.nodes}
        self.paths = 0
        seen: Counter[tuple[str, str]] = Counter()
        for node, source, name in genotype.edges(cell_type):
            edge = f"{node}_{source}"
            seen[edge, name] += 1
            key = name if seen[edge, name] == 1 else f"{name}_{seen[edge, name]}"
            operation = build(name, channels, 2 if source < halved_inputs else 1, True, False)
            path = None if isinstance(operation, nn.Identity) else self.paths
            self.paths += path is not None
            self.connections[node].append(Connection(source, edge, key, path))
            if edge not in self:
                self[edge] = nn.ModuleDict()
            self.get_submodule(edge).add_module(key, operation)
        self.needed = genotype.needed(cell_type)

    def forward(
        self, inputs: Sequence[Tensor | None], like: Tensor, scales: Tensor | None
    ) -> dict[int, Tensor]:
        """Return the needed nodes by state number, each (N, C, H, W).

        Args:
            inputs: The input states; None where they are not needed.
            like: An image batch of the last input's size.
            scales: Factors of path dropout, (paths, N), or None.
        """
        states = dict(enumerate(inputs))
        nodes, compiled = {}, Compiled(like, self.channels)
        for node in self.nodes:
            if node not in self.needed:
                continue
            terms = []
            for connection in self.connections[node]:
                state = states[connection.source]
                assert state is not None
                terms.append(self._term(connection, state, scales, compiled))
            nodes[node] = sum(terms[1:], terms[0]) if terms else self._nothing(like)
            states[node] = nodes[node]
        return nodes

    def _term(
        self, connection: Connection, x: Tensor, scales: Tensor | None, compiled: Compiled
    ) -> Tensor:
        """Return what an operation makes of a state, (N, C, H / stride, W / stride)."""
        operation = self.get_submodule(f"{connection.edge}.{connection.key}")
        factors = None
        if scales is not None and connection.path is not None:
            factors = [scales[connection.path]]
        if compiled.knows(kind_of(operation), operation):
            return compiled(x, [operation], [x.new_ones(())], factors)
        term: Tensor = operation(x)
        return term * factors[0].to(term.dtype).view(-1, 1, 1, 1) if factors else term

    def _nothing(self, like: Tensor) -> Tensor:
        """Return the sum of no inputs: zeros of a node's shape."""
        height, width = (side // self.stride for side in like.shape[-2:])
        return like.new_zeros(len(like), self.channels, height, width)


@contextmanager
def all_computed(network: nn.Module) -> Iterator[None]:
    """Inside the block, compute even the operations that do not reach the output."""
    cells = [part for part in network.modules() if isinstance(part, GenotypeEdges)]
    needed = [cell.needed for cell in cells]
    try:
        for cell in cells:
            cell.needed = set(range(cell.nodes.stop))
        yield
    finally:
        for cell, before in zip(cells, needed, strict=True):
            cell.needed = before


class DerivedCell(nn.Module):
    """A cell that reads the two cells before it and concatenates some of its nodes.

    Args:
        genotype: The cells.
        cell_type: "normal" or "reduce".
        inputs: Channels of the two cells before, the farther one first.
        channels: Channels C of each node.
        after_reduction: The cell before halved the image.
    """

    def __init__(
        self,
        genotype: Genotype,
        cell_type: str,
        inputs: tuple[int, int],
        channels: int,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        far = HalvingPreprocess if after_reduction else Preprocess
        self.preprocess0 = far(inputs[0], channels, affine=True)
        self.preprocess1 = Preprocess(inputs[1], channels, affine=True)
        halved = 2 if cell_type == "reduce" else 0
        self.edges = GenotypeEdges(genotype, cell_type, channels, halved)
        self.concat = tuple(genotype.concat[cell_type])
        self.outputs = len(self.concat) * channels

    def forward(self, far: Tensor, near: Tensor, scales: Tensor | None = None) -> Tensor:
        """Return the cell's output, (N, len(concat) * C, H, W)."""
        needed = self.edges.needed
        inputs = [
            self.preprocess0(far) if 0 in needed else None,
            self.preprocess1(near) if 1 in needed else None,
        ]
        nodes = self.edges(inputs, near, scales)
        return torch.cat([nodes[state] for state in self.concat], 1)
