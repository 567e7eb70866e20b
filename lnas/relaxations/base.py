"""Relaxations: how the logits of an architecture become the gates that weigh its operations.

A relaxation is the map `logits, mask -> GateSample` of a method: softmax (DARTS), concrete noise
(SNAS), hard concrete (PR-DARTS), one-hot samples (DSNAS), ... It owns no logits and knows no
supernet. What each relaxation keeps to:

- An entry that the mask forbids gets gate exactly 0 and gives its logit gradient exactly 0.
- Noise comes from `draw.shared(...)` only, so that a sample is a pure function of the draw and
  equal on all ranks; `probabilities` is free of noise.
- What was certainly not chosen is said by a host mask `active`, never by looking at gate values.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.relaxations.draw import Draw
from lnas.spaces.base import SearchSpace


@dataclass(frozen=True)
class CellGates:
    """The gates of one cell.

    Args:
        gates: Weight of each operation on each edge, (edges, ops).
        active: Which entries may differ from 0, bool (edges, ops) in host memory; None: all.
        edges: Weight of each edge, (edges,); None: all 1.
        factors: Factor of each operation's output for each image, (edges, ops, N); None: all 1. A
            supernet fills them in where it drops paths.
    """

    gates: Tensor
    active: Tensor | None = None
    edges: Tensor | None = None
    factors: Tensor | None = None


class GateSample:
    """The gates that one forward pass uses, for all cell types.

    Args:
        gates: Per cell type (edges, ops), one sample shared by all cells of the type, or
            (cells, edges, ops), one for each.
        active: Entries that may differ from 0, bool, shaped like the gates, in host memory. A
            supernet skips the others. None, or a type left out: all may.
        edges: Weights of whole edges, (edges,) or (cells, edges). None or left out: all 1.
        log_probability: Logarithm of the probability (density) of what was drawn, in nats, (edges,)
            or (cells, edges) per cell type; None for relaxations without noise.
        derived: The gates are those of a derived child; a supernet leaves out what only helps a
            search (auxiliary skips).
    """

    def __init__(
        self,
        gates: Mapping[str, Tensor],
        active: Mapping[str, Tensor] | None = None,
        edges: Mapping[str, Tensor] | None = None,
        log_probability: Mapping[str, Tensor] | None = None,
        derived: bool = False,
    ) -> None:
        self.gates = dict(gates)
        self.active = None if active is None else dict(active)
        self.edges = None if edges is None else dict(edges)
        self.derived = derived
        self._log_probability = None if log_probability is None else dict(log_probability)

    @classmethod
    def child(cls, choices: Mapping[str, Tensor]) -> "GateSample":
        """Return the gates under which a supernet computes a derived child.

        What was not chosen is not computed, edges without a choice are absent, and what a derived
        network does not have (auxiliary skips) is left out.

        Args:
            choices: Per cell type, (edges, ops) of 0 and 1, e.g. of `space.one_hot`.
        """
        active = {name: table.cpu() != 0 for name, table in choices.items()}
        return cls(choices, active, derived=True)

    @classmethod
    def of(cls, sample: "GateSample | Mapping[str, Tensor]") -> "GateSample":
        """Return `sample` itself, or plain gates per cell type as a sample without masks."""
        return sample if isinstance(sample, GateSample) else cls(sample)

    def log_prob(self) -> dict[str, Tensor]:
        """Return the log-probability of the sample per edge and cell type, in nats.

        Raises:
            InputError: The relaxation draws nothing.
        """
        if self._log_probability is None:
            raise InputError(
                "These gates are no random sample and have no log-probability; "
                "choose a relaxation that samples, e.g. Concrete or OneHot(estimator='dsnas')."
            )
        return self._log_probability

    def cell(self, cell_type: str, index: int = 0) -> CellGates:
        """Return the gates of one cell.

        Args:
            cell_type: A cell type of the space.
            index: Position of the cell among the cells of its type; matters only to samples that
                have an axis of cells.

        Raises:
            InputError: The sample lacks the cell type, or has fewer cells of it.
        """
        if cell_type not in self.gates:
            raise InputError(
                f"The gate sample has no cell type {cell_type!r} but {sorted(self.gates)}; "
                "sample gates from the space that the supernet was built from."
            )
        gates = self.gates[cell_type]
        per_cell = gates.dim() == 3
        if per_cell and index >= len(gates):
            raise InputError(
                f"The gate sample holds {len(gates)} cells of type {cell_type!r}, "
                f"but cell {index} was asked for; sample one for each cell of the supernet."
            )

        def pick(values: dict[str, Tensor] | None, shared_dim: int) -> Tensor | None:
            value = None if values is None else values.get(cell_type)
            return value[index] if value is not None and value.dim() > shared_dim else value

        return CellGates(
            gates[index] if per_cell else gates, pick(self.active, 2), pick(self.edges, 1)
        )


class Relaxation(nn.Module, ABC):
    """Turns logits into gates. Subclasses are final; one a file.

    What a callback may anneal (temperature, stretch) is a buffer named in `annealable`, so that it
    is in checkpoints and on the right device.

    Attributes:
        opens_at_random: Gates are random numbers, and `probabilities` are those of a gate not being
            0 (of `Concrete`: of its limit, the one-hot sample).
        closes: A gate whose noise-free value has fallen to 0 has closed, and may be left out.
    """

    annealable: tuple[str, ...] = ()
    opens_at_random: bool = False
    closes: ClassVar[bool] = False

    needs_node_norm: ClassVar[bool] = False
    """Whether its gates let the sum of a node grow, so that the supernet must normalise it."""

    @abstractmethod
    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return the gates for one forward pass.

        Args:
            logits: Per cell type, (edges, ops).
            mask: Per cell type, bool (edges, ops): True where the operation is a candidate that
                has not been closed.
            draw: Where noise comes from.
        """

    @abstractmethod
    def probabilities(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return noise-free gates, (edges, ops) per cell type: to derive, regularise and log."""

    def magnitudes(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the strength of each operation when a cell is derived, (edges, ops) per cell type.

        These are the noise-free gates, unless the method derives by something else.
        """
        return self.probabilities(logits, mask)

    @abstractmethod
    def initial_logits(self, space: SearchSpace, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the logits at the start of a search, (edges, ops) per cell type."""

    def bind(self, space: SearchSpace) -> None:
        """Take what gates of this relaxation need of the space; called once, before all others."""

    def constrain(self, logits: Mapping[str, Tensor]) -> None:
        """Bring logits that an optimizer has moved back to where they may be, in place."""


class Deterministic(Relaxation):
    """A relaxation whose gates have no noise: those of every pass are its `probabilities`."""

    def forward(
        self, logits: Mapping[str, Tensor], mask: Mapping[str, Tensor], draw: Draw
    ) -> GateSample:
        """Return the gates; `draw` is not used."""
        return GateSample(self.probabilities(logits, mask))


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the very numbers of `hard` with the gradient of `soft`, both of one shape."""
    # In this order the difference is exactly 0, and the sum exactly `hard`.
    return hard.to(soft.dtype) + (soft - soft.detach())


def normal_logits(
    space: SearchSpace, generator: torch.Generator, deviation: float
) -> dict[str, Tensor]:
    """Return independent normal logits with mean 0, (edges, ops) per cell type of the space."""
    shape = (len(space.edges), len(space.operations))
    return {
        cell_type: deviation * torch.randn(shape, generator=generator)
        for cell_type in space.cell_types
    }
