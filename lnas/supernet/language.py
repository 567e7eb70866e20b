"""What stands around a recurrent cell in a language model: words in, scores of words out.

As in the released recurrent search of DARTS, which follows Merity et al., "Regularizing and
Optimizing LSTM Language Models", ICLR 2018: the embedding and the decoder share their matrix; each
dropout mask is drawn once for a batch and holds for all its steps (Gal and Ghahramani, 2016).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations import full_precision
from lnas.operations.word_loss import word_loss
from lnas.supernet.recurrent_cell import SPREAD
from lnas.tasks import Output, State


@dataclass(frozen=True)
class Dropouts:
    """Probabilities to drop, in [0, 1), in training only; what is kept is scaled up.

    Args:
        words: A word of the vocabulary, everywhere in the batch (`dropoute` of the released code).
        embedding: A unit behind the embedding (`dropouti`).
        inputs: A unit of what the cell reads of the word (`dropoutx`).
        hidden: A unit of what the cell's nodes read of each other (`dropouth`).
        output: A unit before the decoder (`dropout`).

    Raises:
        InputError: A number is no such probability.
    """

    words: float = 0.0
    embedding: float = 0.2
    inputs: float = 0.75
    hidden: float = 0.25
    output: float = 0.75

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0 <= rate < 1:
                raise InputError(
                    f"dropouts: {field.name} is {rate}; choose a probability in [0, 1)."
                )

    def draw(
        self, numbers: Callable[[str], torch.Generator], words: int, streams: int, like: Tensor
    ) -> "Masks":
        """Draw the masks of a batch.

        Args:
            numbers: Gives a host generator for each mask's name; a pure function of seed, purpose,
                rank and step.
            words: Size of the vocabulary.
            streams: Number of texts side by side.
            like: A tensor (.., units) of the device and kind of the masks.
        """

        def mask(name: str, *shape: int) -> Tensor | None:
            rate: float = getattr(self, name)
            if not rate:
                return None
            kept: Tensor = torch.rand(shape, generator=numbers(name)) >= rate
            return kept.to(like).div(1 - rate)

        units = like.shape[-1]
        wide = ("embedding", "inputs", "hidden", "output")
        return Masks(mask("words", words, 1), *(mask(name, streams, units) for name in wide))


@dataclass(frozen=True)
class Masks:
    """Factors 0 or 1 / (1 - rate); None where nothing is dropped. See `Dropouts`.

    Args:
        words: (words, 1).
        embedding: (streams, units).
        inputs: (streams, units).
        hidden: (streams, units).
        output: (streams, units).
    """

    words: Tensor | None = None
    embedding: Tensor | None = None
    inputs: Tensor | None = None
    hidden: Tensor | None = None
    output: Tensor | None = None


class Embedding(nn.Module):
    """The matrix that turns words into vectors and vectors into scores of words.

    Args:
        words: Size of the vocabulary.
        units: Size of a vector.
    """

    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(words, units).uniform_(-SPREAD, SPREAD))

    def forward(self, tokens: Tensor, masks: Masks) -> Tensor:
        """Return (time, streams, units) for words (time, streams)."""
        vectors = functional.embedding(tokens, self.weight)
        if masks.words is not None:
            vectors = vectors * masks.words[tokens]
        return vectors if masks.embedding is None else vectors * masks.embedding


class Decoder(nn.Module):
    """The bias of the scores; their matrix is the embedding's.

    Args:
        words: Size of the vocabulary.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(words))

    def forward(self, sequence: Tensor, weight: Tensor, masks: Masks, fused: bool) -> Output:
        """Return the scores of the next words, and the state.

        Args:
            sequence: What the cell put out, (time, streams, units).
            weight: The embedding's matrix.
            masks: The masks of the batch.
            fused: Leave the scores to whoever asks; the loss does not need them.
        """
        dropped = sequence if masks.output is None else sequence * masks.output
        # Its own memory: a checkpoint of a view has the whole sequence.
        state, activations = sequence[-1:].detach().clone(), (sequence, dropped)
        if fused:
            decoder = dropped, weight, self.bias
            return WordOutput(decoder, masks.output, state, activations)
        return Output(functional.linear(dropped, weight, self.bias), None, state, activations)


@final
class WordOutput(Output):
    """Scores of words that are computed when somebody looks at them.

    Args:
        decoder: What the decoder reads, (time, streams, units), its matrix, (words, units), and its
            bias, (words,).
        mask: The factors of the dropout in what it reads, (streams, units).
        state: See `Output`.
        activations: See `Output`.
    """

    decoder: tuple[Tensor, Tensor, Tensor]
    mask: Tensor | None

    def __init__(
        self,
        decoder: tuple[Tensor, Tensor, Tensor],
        mask: Tensor | None,
        state: State,
        activations: tuple[Tensor, Tensor],
    ) -> None:
        parts: dict[str, Any] = {"decoder": decoder, "mask": mask, "auxiliary": None}
        parts |= {"state": state, "activations": activations, "entropy": None}
        for name, value in parts.items():
            object.__setattr__(self, name, value)

    @cached_property
    def logits(self) -> Tensor:
        """Unnormalised scores, (time, streams, words)."""
        return functional.linear(*self.decoder)

    @property
    def count(self) -> int:
        """Number of words."""
        return self.decoder[0][..., 0].numel()

    def cross_entropy(self, targets: Tensor) -> Tensor:
        """Return the mean cross entropy in nats, without writing the scores down."""
        with full_precision(self.decoder[0]):
            return word_loss(*self.decoder, targets, self.mask)


def first_state(state: State, streams: int, like: Tensor) -> Tensor:
    """Return the hidden state that a batch starts from, (streams, units); zeros at first.

    Args:
        state: (1, streams, units), or None.
        streams: Number of texts side by side.
        like: A tensor (.., units) of its device and kind.

    Raises:
        InputError: The state is of another number of streams.
    """
    if state is None:
        return like.new_zeros(streams, like.shape[-1])
    if tuple(state.shape) != (1, streams, like.shape[-1]):
        raise InputError(
            f"The state has the shape {tuple(state.shape)} and the batch needs "
            f"{(1, streams, like.shape[-1])}; start a text of another width with state None."
        )
    hidden: Tensor = state[0].to(like)  # a checkpoint's is on the host
    return hidden
