"""Architecture: the logits of a search, and what has been decided about them already.

Edge normalisation (Xu et al., "PC-DARTS", ICLR 2020, arXiv:1907.05737, equation 4) gives each edge
a logit of its own; a softmax over the edges that enter a node weighs them. An edge without an open
operation has no share. The edge logits start at 1e-3 times a standard normal, as released.

A search may fix an edge to one operation (DARTS-PT, DSNAS' early fixing) or close an operation
(pruning). Both are persistent buffers, applied where logits become gates, so that they hold under
every relaxation: a fixed row is exactly one-hot, a closed entry exactly 0, and neither passes a
gradient to its logits. Momentum and weight decay still move such logits inside an optimizer;
`hold` puts them back to 0 after the step.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.relaxations import Draw, GateSample, Relaxation, masked_softmax
from lnas.seeds import generator
from lnas.spaces import SearchSpace


class Architecture(nn.Module):
    """Logits (edges, ops) per cell type, their relaxation, fixed edges and closed operations.

    Args:
        space: The search space.
        relaxation: Turns logits into gates; it also says where they start.
        seed: Seed of the initial logits.
        edge_normalization: Weigh the edges into each node by a softmax of their own logits.

    Attributes:
        logits: (edges, ops) per cell type.
        edge_logits: (edges,) per cell type; empty without edge normalisation.
    """

    def __init__(
        self,
        space: SearchSpace,
        relaxation: Relaxation,
        seed: int = 0,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__()
        self.space = space
        self.relaxation = relaxation
        relaxation.bind(space)
        self.logits = nn.ParameterDict(
            relaxation.initial_logits(space, generator(seed, "logits", space.name))
        )
        self.edge_logits = nn.ParameterDict()
        if edge_normalization:
            numbers = generator(seed, "edge logits", space.name)
            for name in space.cell_types:
                start = 1e-3 * torch.randn(len(space.edges), generator=numbers)
                self.edge_logits[name] = nn.Parameter(start)
        shape = (len(space.edges), len(space.operations))
        self.fixed, self.closed, self.candidates = nn.Module(), nn.Module(), nn.Module()
        for name in space.cell_types:
            self.fixed.register_buffer(name, torch.full(shape[:1], -1))
            self.closed.register_buffer(name, torch.zeros(shape, dtype=torch.bool))
            self.candidates.register_buffer(name, space.candidates(name), persistent=False)
        self._host_masks: dict[str, Tensor] | None = None
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]  # torch's own
            lambda module, _: module._forget()
        )
        self.hold()

    def sample(self, draw: Draw | None = None) -> GateSample:
        """Return the gates of one forward pass.

        As soon as something is fixed or closed, `active` of the sample is False wherever the gate
        is 0 for that reason, so that supernets skip it.

        Args:
            draw: Where noise comes from; `Draw()` if left out.
        """
        return self._complete(
            self.relaxation(dict(self.logits.items()), self.mask(), draw or Draw())
        )

    def noise_free(self) -> GateSample:
        """Return the noise-free gates as a sample: what a supernet is measured with."""
        return self._complete(GateSample(self.probabilities()))

    def probabilities(self) -> dict[str, Tensor]:
        """Return noise-free gates, (edges, ops) per cell type."""
        values = self.relaxation.probabilities(dict(self.logits.items()), self.mask())
        return {name: self._decided(name, gates) for name, gates in values.items()}

    def magnitudes(self) -> dict[str, Tensor]:
        """Return the strength of each operation when a cell is derived, (edges, ops) per type."""
        values = self.relaxation.magnitudes(dict(self.logits.items()), self.mask())
        return {name: self._decided(name, strength) for name, strength in values.items()}

    def edge_weights(self) -> dict[str, Tensor]:
        """Return the share of each edge among those that enter its node, (edges,) per cell type.

        Empty without edge normalisation.
        """
        sizes = [len(self.space.incoming(self.space.inputs + n)) for n in range(self.space.nodes)]
        result = {}
        for name, logits in self.edge_logits.items():
            open_ = self.mask()[name].any(-1)
            nodes = zip(torch.split(logits, sizes), torch.split(open_, sizes), strict=True)
            result[name] = torch.cat([masked_softmax(*node) for node in nodes])
        return result

    def entropy(self) -> dict[str, Tensor]:
        """Return the mean entropy of an edge's probabilities, in nats, a scalar per cell type."""
        result = {}
        for name, values in self.probabilities().items():
            share = values.clamp(min=0) / values.clamp(min=0).sum(-1, keepdim=True).clamp(min=1e-12)
            result[name] = torch.special.entr(share).sum(-1).mean()
        return result

    def mask(self) -> dict[str, Tensor]:
        """Return what is still open, bool (edges, ops) per cell type; one True in a fixed row."""
        result = {}
        for name in self.space.cell_types:
            fixed = self.fixed.get_buffer(name)[:, None]
            open_ = self.candidates.get_buffer(name) & ~self.closed.get_buffer(name)
            columns = torch.arange(open_.shape[1], device=open_.device)
            result[name] = torch.where(fixed >= 0, columns == fixed, open_)
        return result

    def fix(self, cell_type: str, edge: str | int, operation: str | int) -> None:
        """Decide an edge: from now on its gates are exactly one-hot.

        Args:
            cell_type: Cell type of the space.
            edge: Name such as "2_0", or row.
            operation: Name or column; a candidate of the edge that is not closed.

        Raises:
            InputError: Something is unknown, or the operation cannot stand on the edge.
        """
        row, column = self._find(cell_type, edge, operation)
        if self.closed.get_buffer(cell_type)[row, column]:
            raise InputError(
                f"{self.space.operations[column]!r} is closed on edge {self.space.edges[row].name} "
                f"of {cell_type!r} and cannot be fixed; fix an open operation"
            )
        self.fixed.get_buffer(cell_type)[row] = column
        self._forget()
        self.hold()

    def close(self, cell_type: str, edge: str | int, operation: str | int) -> None:
        """Take an operation out: from now on its gate is exactly 0; see `fix` for the arguments.

        An edge whose operations are all closed contributes nothing.

        Raises:
            InputError: Something is unknown, or the edge is fixed to this operation.
        """
        row, column = self._find(cell_type, edge, operation)
        if int(self.fixed.get_buffer(cell_type)[row]) == column:
            raise InputError(
                f"edge {self.space.edges[row].name} of {cell_type!r} is fixed to "
                f"{self.space.operations[column]!r}; close another operation of it"
            )
        self.closed.get_buffer(cell_type)[row, column] = True
        self._forget()
        self.hold()

    def remove(self, cell_type: str, edge: str | int) -> None:
        """Take an edge out, whatever it was fixed to: from now on it contributes nothing.

        Args:
            cell_type: Cell type of the space.
            edge: Name such as "2_0", or row.

        Raises:
            InputError: Something is unknown.
        """
        row = self.space.edge_row(edge)
        if cell_type not in self.space.cell_types:
            raise InputError(
                f"unknown cell type {cell_type!r}; choose one of {', '.join(self.space.cell_types)}"
            )
        self.fixed.get_buffer(cell_type)[row] = -1
        self.closed.get_buffer(cell_type)[row] = True
        self._forget()
        self.hold()

    def close_all(self, entries: Mapping[str, Tensor]) -> None:
        """Close many operations at once, without waiting for the device; fixed edges stay.

        Args:
            entries: Bool (edges, ops) per cell type, True where an operation is taken out.
        """
        for name, shut in entries.items():
            free = self.fixed.get_buffer(name)[:, None] < 0
            self.closed.get_buffer(name).logical_or_(shut & free & self.candidates.get_buffer(name))
        self._forget()
        self.hold()

    @torch.no_grad()
    def hold(self) -> None:
        """Put logits back to where they belong; call it after each optimizer step.

        Those that nothing depends on are 0: fixed rows, closed entries, operations that an edge
        does not offer, and the logits of edges without an open operation. The relaxation may
        constrain the others.
        """
        self.relaxation.constrain(dict(self.logits.items()))
        for name, mask in self.mask().items():
            free = mask & (self.fixed.get_buffer(name)[:, None] < 0)
            self.logits[name].masked_fill_(~free, 0.0)
            if name in self.edge_logits:
                self.edge_logits[name].masked_fill_(~mask.any(-1), 0.0)

    def host_masks(self) -> dict[str, Tensor]:
        """Return `mask()` in host memory; a device is read once after each decision."""
        if self._host_masks is None:
            masks = self.mask()
            self._host_masks = {name: mask.cpu() for name, mask in masks.items()}
            self._host_fixed = {n: self.fixed.get_buffer(n)[:, None].cpu() >= 0 for n in masks}
        return self._host_masks

    def _forget(self) -> None:
        self._host_masks = None

    def _complete(self, drawn: GateSample) -> GateSample:
        """Apply the decisions to what a relaxation made."""
        sample = copy.copy(drawn)
        sample.gates = {name: self._decided(name, gates) for name, gates in drawn.gates.items()}
        active = dict(drawn.active or {})
        for name, mask in self.host_masks().items():
            fixed = self._host_fixed[name]
            if torch.equal(mask, self.space.candidates(name)) and not fixed.any():
                continue
            # What is fixed runs, whatever the relaxation has drawn.
            active[name] = (active[name] | fixed) & mask if name in active else mask
            if sample.gates[name].dim() > 2 and active[name].dim() == 2:
                active[name] = active[name].expand(sample.gates[name].shape)
        sample.active = active or None
        if self.edge_logits:
            sample.edges = self.edge_weights()
        return sample

    def _decided(self, cell_type: str, gates: Tensor) -> Tensor:
        """Make fixed rows one-hot and what is not open 0; no gradient passes there."""
        mask = self.mask()[cell_type]
        fixed = self.fixed.get_buffer(cell_type)[:, None] >= 0
        return torch.where(mask & ~fixed, gates, (mask & fixed).to(gates.dtype))

    def _find(self, cell_type: str, edge: str | int, operation: str | int) -> tuple[int, int]:
        """Return row and column."""
        space = self.space
        if cell_type not in space.cell_types:
            raise InputError(
                f"unknown cell type {cell_type!r}; choose one of {', '.join(space.cell_types)}"
            )
        row, column = space.edge_row(edge), space.operation_column(operation)
        if not self.candidates.get_buffer(cell_type)[row, column]:
            offered = self.candidates.get_buffer(cell_type)[row].tolist()
            names = ", ".join(n for n, o in zip(space.operations, offered, strict=True) if o)
            raise InputError(
                f"edge {space.edges[row].name} of {cell_type!r} does not offer "
                f"{space.operations[column]!r}; choose one of {names}"
            )
        return row, column
