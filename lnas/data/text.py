"""`TextData`: a LightningDataModule with the streams of a search, and of an evaluation, in texts.

| stream | search | evaluation |
|---|---|---|
| `weights` | the training text but its beginning | the whole training text |
| `architecture` | the validation text, or the end of the training text | - |
| `held_out` | the beginning of the training text | the validation text |

As in the released recurrent DARTS the validation text moves the logits; a search's reports are on
words that it has not seen, unless `held_out` is 0. A text is read from its beginning in each epoch.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lnas.data.corpus import Corpus
from lnas.data.splits import check_fractions
from lnas.data.windows import TextLoader
from lnas.errors import InputError
from lnas.tasks import TextExamples

Span = tuple[str, int, int]
"""A part of the corpus, and where in it a stream begins and ends."""


class TextData(LightningDataModule, ABC):
    """Words in three streams and a test text.

    Args:
        batch_size: Texts side by side in a batch, over all ranks: each takes its share of them.
        bptt: Usual number of steps of a batch.
        deviation: Standard deviation of the number of steps in the weights stream, in steps; None:
            0 in a search, 5 in an evaluation, as in the papers.
        held_out: What no optimizer of a search sees: a fraction of the training text in (0, 1), a
            number of its words, or 0. In an evaluation 0 leaves the validation text unread.
        architecture_fraction: Share of the rest of the training text for the architecture, 0 for a
            single-level search; None takes the validation text.
        train_words: Use only the first so many words of the training text.
        measured_size: Texts side by side where nothing is learnt; None: `batch_size` in a search,
            whose normalisation needs many, and 10 in an evaluation.
        test_size: Texts side by side in the test.
        seed: Seed of the lengths.
        evaluation: Train on the whole training text.

    Raises:
        InputError: A fraction, size or count is not allowed, or a text is too short.
    """

    def __init__(
        self,
        batch_size: int = 64,
        bptt: int = 35,
        deviation: float | None = None,
        held_out: int | float = 0.1,
        architecture_fraction: float | None = None,
        train_words: int | None = None,
        measured_size: int | None = None,
        test_size: int = 1,
        seed: int = 0,
        evaluation: bool = False,
    ) -> None:
        super().__init__()
        check_fractions(held_out, architecture_fraction or 0.0)
        counts: dict[str, int | None] = {"batch_size": batch_size, "bptt": bptt}
        counts["test_size"] = test_size
        counts |= {"measured_size": measured_size, "train_words": train_words}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise InputError(f"{name}={value} is not allowed; give 1 or more.")
        if deviation is not None and not deviation >= 0:
            raise InputError(f"deviation={deviation} is none; give a number of steps from 0 on.")
        self.batch_size, self.bptt, self.test_size = batch_size, bptt, test_size
        self.deviation = (5.0 if evaluation else 0.0) if deviation is None else deviation
        self.measured_size = measured_size or (10 if evaluation else batch_size)
        self.held_out, self.architecture_fraction = held_out, architecture_fraction
        self.train_words, self.seed, self.evaluation = train_words, seed, evaluation

    @abstractmethod
    def load(self) -> Corpus:
        """Return the corpus; called once."""

    @cached_property
    def corpus(self) -> Corpus:
        """The texts and their vocabulary, loaded by the first who asks."""
        return self.load()

    @property
    def examples(self) -> TextExamples:
        """What a network has to know of the data."""
        return TextExamples(len(self.corpus.words))

    @cached_property
    def spans(self) -> dict[str, Span]:
        """Where each stream is read.

        Raises:
            InputError: The shares leave nothing to a stream.
        """
        words, valid = len(self.corpus.train), ("valid", 0, len(self.corpus.valid))
        words = min(words, self.train_words or words)
        if self.evaluation:
            spans: dict[str, Span] = {"weights": ("train", 0, words)}
            return spans | ({"held_out": valid} if self.held_out else {})
        whole = isinstance(self.held_out, int)
        kept = int(self.held_out) if whole else round(self.held_out * words)
        share = round((self.architecture_fraction or 0.0) * max(words - kept, 0))
        spans = {"weights": ("train", kept, words - share)}
        if self.architecture_fraction is None:
            spans["architecture"] = valid
        elif share:
            spans["architecture"] = ("train", words - share, words)
        if kept:
            spans["held_out"] = ("train", 0, kept)
        if words - share <= kept:
            raise InputError(
                f"held_out={self.held_out} and architecture_fraction={self.architecture_fraction} "
                f"leave none of {words} words to the weights; choose smaller shares."
            )
        return spans

    @property
    def split_hash(self) -> str:
        """The sha256 of the spans and of the texts themselves."""
        content = json.dumps([self.spans, self.corpus.hash])
        return hashlib.sha256(content.encode()).hexdigest()

    def setup(self, stage: str | None = None) -> None:
        """Load the texts and refuse sizes that do not fit any of them."""
        self.train_dataloader()
        self.val_dataloader()
        if self.evaluation:
            self.test_dataloader()
        elif min(self.batch_size, self.measured_size) < 2:
            raise InputError(
                f"batch_size={self.batch_size} and measured_size={self.measured_size}: a search "
                "normalises over texts side by side; give both 2 or more."
            )

    def train_dataloader(self) -> TextLoader:
        """Return the weights stream, in windows of random lengths."""
        return self._loader("weights", self.batch_size, random=True)

    def architecture_loader(self) -> TextLoader:
        """Return the architecture stream, in windows of one length.

        Raises:
            InputError: There is none.
        """
        if "architecture" not in self.spans:
            raise InputError(
                "There is no architecture stream: architecture_fraction is 0 or evaluation is on;"
                " choose a fraction in (0, 1) or null, or a single-level search (Joint)."
            )
        return self._loader("architecture", self.batch_size)

    def held_out_loader(self) -> TextLoader:
        """Return the held-out stream.

        Raises:
            InputError: Nothing is held out.
        """
        if "held_out" not in self.spans:
            raise InputError("Nothing is held out: held_out is 0; choose a fraction in (0, 1).")
        return self._loader("held_out", self.measured_size)

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the held-out stream, or an empty list when nothing is held out."""
        return self.held_out_loader() if "held_out" in self.spans else []

    def test_dataloader(self) -> TextLoader:
        """Return the test text."""
        return TextLoader(self.corpus.test, self.test_size, self.bptt, purpose="test")

    def _loader(self, stream: str, streams: int, random: bool = False) -> TextLoader:
        part, begin, end = self.spans[stream]
        text: Tensor = getattr(self.corpus, part)[begin:end]
        return TextLoader(
            text,
            streams,
            self.bptt,
            seed=self.seed,
            purpose=stream,
            random=random,
            deviation=self.deviation,
        )
