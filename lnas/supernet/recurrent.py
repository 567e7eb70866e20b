"""The search network of DARTS for language: one recurrent cell between embedding and decoder."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.relaxations import GateSample
from lnas.spaces import SearchSpace
from lnas.supernet.base import Supernet
from lnas.supernet.language import Decoder, Dropouts, Embedding, Masks, first_state
from lnas.supernet.recurrent_cell import RecurrentCell
from lnas.tasks import Output, State


@final
class RecurrentSupernet(Supernet):
    """The supernet of recurrent spaces.

    The fused path computes under autocast in the kind of the weights, and falls back to the
    reference path for activations that it does not know.

    Args:
        space: A space with one input and one cell type, e.g. `RecurrentSpace`.
        vocabulary_size: Number of words.
        units: Size of embedding and hidden state; 300 in the paper.
        dropouts: What is dropped in training; None: as in the paper.

    Raises:
        InputError: The space has another kind of cells, or a number is not positive.
    """

    def __init__(
        self,
        space: SearchSpace,
        vocabulary_size: int = 10_000,
        units: int = 300,
        dropouts: Dropouts | None = None,
    ) -> None:
        super().__init__(space, node_norm=True)
        if space.inputs != 1 or space.cell_types != ("recurrent",):
            raise InputError(
                f"space {space.name!r} has {space.inputs} inputs per cell and cell types "
                f"{', '.join(space.cell_types)}; this supernet needs one recurrent cell: choose "
                "RecurrentSpace, or the supernet of the space"
            )
        if min(vocabulary_size, units) < 1:
            raise InputError(
                f"vocabulary_size={vocabulary_size}, units={units}; each must be at least 1"
            )
        self.dropouts = dropouts or Dropouts()
        self.cell_types_of_cells = ["recurrent"]
        self.embedding = Embedding(vocabulary_size, units)
        self.cell = RecurrentCell(space, units)
        self.decoder = Decoder(vocabulary_size)

    def forward(
        self,
        inputs: Tensor,
        sample: GateSample | Mapping[str, Tensor],
        state: State = None,
    ) -> Output:
        """Return scores of the next words, (time, streams, words).

        Args:
            inputs: Words, (time, streams) int64.
            sample: Gates of the cell, (edges, ops).
            state: (1, streams, units), or None at the start of a text.
        """
        gates = GateSample.of(sample).cell("recurrent")
        weight, streams = self.embedding.weight, inputs.shape[1]
        masks = Masks()
        if self._dropping:
            masks = self.dropouts.draw(self._mask_generator, len(weight), streams, weight)
        sequence = self.cell(
            self.embedding(inputs, masks),
            first_state(state, streams, weight),
            gates,
            self.path,
            masks.inputs,
            masks.hidden,
        )
        output: Output = self.decoder(sequence, weight, masks, self.path == "fused")
        return output

    def _mask_generator(self, name: str) -> torch.Generator:
        return self._generator(torch.device("cpu"), "dropout", name)
