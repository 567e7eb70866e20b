"""The derived language model of DARTS: one recurrent cell between embedding and decoder.

Section 3.1 and appendix A.2.3 of Liu et al., arXiv:1806.09055, as released: in the cell of the
search each node keeps its one input and loses the normalisation,

    s_0 = h_(t-1) + sigmoid(c) (tanh(h) - h_(t-1)),    [c, h] = [x_t * mx; h_(t-1) * mh] W_0
    s_i = s_p + sigmoid(c) (f(h) - s_p),               [c, h] = (s_p * mh) W_i

for the input p of node i and its activation f; h_t is the mean of the nodes that the genotype
names, all by default.
"""

from typing import cast, final

import torch
from torch import Tensor, nn

from lnas.genotype import Genotype
from lnas.networks.base import Network
from lnas.operations import full_precision
from lnas.operations.activations import build_activation, curve_of
from lnas.operations.kept_product import masked_product
from lnas.supernet.base import Path
from lnas.supernet.language import Decoder, Dropouts, Embedding, Masks, first_state
from lnas.supernet.recurrence import recurrence
from lnas.supernet.recurrent_cell import Projection
from lnas.supernet.recurrent_plan import plan_of
from lnas.tasks import Output, State, TextExamples

CELL = "recurrent"


class DerivedRecurrentCell(nn.Module):
    """The cell of a genotype.

    Nodes that do not reach the output have their matrices and are not computed.

    Args:
        genotype: A genotype with the cell "recurrent".
        units: Size of every state, D.
    """

    def __init__(self, genotype: Genotype, units: int) -> None:
        super().__init__()
        self.units, self.outputs = units, tuple(genotype.concat[CELL])
        self.edges = genotype.edges(CELL)
        self.input = Projection(2 * units, 2 * units)
        nodes = range(1, len(self.edges) + 1)
        self.nodes = nn.ModuleDict({str(node): Projection(units, 2 * units) for node in nodes})
        names = dict.fromkeys(name for _, _, name in self.edges)
        self.activations = nn.ModuleDict({name: build_activation(name) for name in names})
        self.needed = set(self.outputs)
        for node, source, _ in reversed(self.edges):
            if node in self.needed:
                self.needed.add(source)

    def forward(
        self,
        inputs: Tensor,
        hidden: Tensor,
        path: Path,
        input_mask: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Run over a sequence; see `RecurrentCell.forward`."""
        known = all(curve_of(activation) for activation in self.activations.values())
        if path == "reference" or not known:
            inputs = inputs if input_mask is None else inputs * input_mask
            return self._reference(inputs, hidden, mask)
        with full_precision(hidden):
            return self._fused(inputs, hidden, input_mask, mask)

    def _fused(
        self, inputs: Tensor, hidden: Tensor, input_mask: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        names = tuple(self.activations)
        chosen = [[name == own for own in names] for _, _, name in self.edges]
        active = tuple(
            tuple(flag and node in self.needed for flag in row)
            for (node, _, _), row in zip(self.edges, chosen, strict=True)
        )
        edges = tuple((node, source) for node, source, _ in self.edges)
        of_inputs, of_hidden = self.input.weight.chunk(2)
        return recurrence(
            plan_of(edges, names, active),
            names,
            masked_product(inputs, of_inputs, input_mask),
            hidden,
            torch.tensor(chosen, dtype=hidden.dtype, device=hidden.device),
            {0: of_hidden} | {node: self._matrix(node) for node in sorted(self.needed) if node},
            mask,
            outputs=self.outputs,
        )

    def _reference(self, inputs: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        sequence = []
        for x in inputs:
            read = hidden if mask is None else hidden * mask
            gate, candidate = (torch.cat([x, read], 1) @ self.input.weight).chunk(2, 1)
            states = {0: hidden + gate.sigmoid() * (candidate.tanh() - hidden)}
            for node, source, name in self.edges:
                if node not in self.needed:
                    continue
                before = states[source]
                read = before if mask is None else before * mask
                gate, candidate = (read @ self._matrix(node)).chunk(2, 1)
                value = self.activations[name](candidate)
                states[node] = before + gate.sigmoid() * (value - before)
            hidden = torch.stack([states[node] for node in self.outputs]).mean(0)
            sequence.append(hidden)
        return torch.stack(sequence)

    def _matrix(self, node: int) -> Tensor:
        return cast(Projection, self.nodes[str(node)]).weight


@final
class RecurrentNetwork(Network):
    """A language model.

    Args:
        genotype: A genotype of the recurrent space.
        vocabulary_size: Number of words.
        units: Size of embedding and hidden state; 850 in the paper for Penn Treebank.
        dropouts: What is dropped in training; None: as in the paper.

    Attributes:
        path: The way through the cell: `fused`, or `reference`, which alone has second derivatives.

    Raises:
        InputError: The genotype is of another space, or a number is not positive.
    """

    examples = TextExamples()

    def __init__(
        self,
        genotype: Genotype,
        vocabulary_size: int = 10_000,
        units: int = 850,
        dropouts: Dropouts | None = None,
    ) -> None:
        super().__init__(genotype, CELL, vocabulary_size=vocabulary_size, units=units)
        self.dropouts = dropouts or Dropouts(words=0.1)
        self.path: Path = "fused"
        self.embedding = Embedding(vocabulary_size, units)
        self.cell = DerivedRecurrentCell(genotype, units)
        self.decoder = Decoder(vocabulary_size)

    def forward(self, inputs: Tensor, state: State = None) -> Output:
        """Return scores of the next words, (time, streams, words).

        Args:
            inputs: Words, (time, streams) int64.
            state: (1, streams, units), or None at the start of a text.
        """
        weight, streams = self.embedding.weight, inputs.shape[1]
        masks = Masks()
        if self.training:
            masks = self.dropouts.draw(self._mask_generator, len(weight), streams, weight)
        start = first_state(state, streams, weight)
        vectors = self.embedding(inputs, masks)
        sequence = self.cell(vectors, start, self.path, masks.inputs, masks.hidden)
        output: Output = self.decoder(sequence, weight, masks, self.path == "fused")
        return output

    def _mask_generator(self, name: str) -> torch.Generator:
        return self._generator("dropout", name)
