"""Texts: Penn Treebank, folders like WikiText, Python's own topics, and made-up ones for tests."""

import os
import random
import re
from pathlib import Path
from typing import Any

import torch

from lnas.data.corpus import UNKNOWN, Corpus, make_corpus, read_folder
from lnas.data.text import TextData
from lnas.errors import InputError
from lnas.seeds import derive_seed, generator

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}  # of the words of `Topics`
RARE = 3  # words that are seen less often become <unk>


class TextFolder(TextData):
    """Three texts in a folder, e.g. WikiText-2: the files of train, valid and test.

    Args:
        root: Folder with one .txt or .tokens file for each, which may be packed by gzip.
        batch_size: Texts side by side in a batch, over all ranks.
        options: Those of `TextData`.

    Raises:
        InputError: A file is missing, ambiguous, empty or not a text.
    """

    def __init__(self, root: str | Path, batch_size: int = 64, **options: Any) -> None:
        super().__init__(batch_size, **options)
        self.root = Path(root)

    def load(self) -> Corpus:
        """Read the files."""
        return read_folder(self.root)


class PennTreebank(TextData):
    """Penn Treebank as Mikolov et al. (2010) prepared it: 10,000 words, 929,589 training tokens.

    Args:
        root: Folder with `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`, which may be packed
            by gzip and stand in a folder `ptb`; None takes the environment variable LNAS_DATA.
        batch_size: Texts side by side in a batch, over all ranks.
        options: Those of `TextData`.

    Raises:
        InputError: A file is missing, ambiguous, empty or not a text.
    """

    def __init__(
        self, root: str | Path | None = None, batch_size: int = 64, **options: Any
    ) -> None:
        super().__init__(batch_size, **options)
        given = root or os.environ.get("LNAS_DATA")
        if not given:
            raise InputError(
                "PennTreebank does not know where its texts are; set root, or the environment"
                " variable LNAS_DATA, to their folder."
            )
        inside = Path(given) / "ptb"
        self.root = inside if inside.is_dir() else Path(given)

    def load(self) -> Corpus:
        """Read the files."""
        return read_folder(self.root)


class Topics(TextData):
    """Python's language reference as `help()` shows it, embedded in its standard library.

    Lower-cased words and punctuation marks; words seen fewer than three times in the training text
    are <unk>. Whole topics are shared out so that four fifths of all words are the training text,
    a tenth each validation and test. The text changes with the version of Python, which is in the
    run card beside the hash of the split.

    Args:
        batch_size: Texts side by side in a batch, over all ranks.
        options: Those of `TextData`.
    """

    def __init__(self, batch_size: int = 64, **options: Any) -> None:
        super().__init__(batch_size, **options)

    def load(self) -> Corpus:
        """Split the topics and count their words."""
        from pydoc_data.topics import topics

        names = sorted(topics)
        order = torch.randperm(len(names), generator=generator("topics")).tolist()
        lines = [_lines(topics[names[index]]) for index in order]
        sizes = [sum(map(len, topic)) for topic in lines]
        missing = {part: share * sum(sizes) for part, share in SHARES.items()}
        parts = [""] * len(lines)
        for place in sorted(range(len(lines)), key=sizes.__getitem__, reverse=True):
            parts[place] = max(missing, key=missing.__getitem__)  # small ones fill up what is left
            missing[parts[place]] -= sizes[place]
        texts = {
            part: [
                line
                for topic, own in zip(lines, parts, strict=True)
                if own == part
                for line in topic
            ]
            for part in SHARES
        }
        seen: dict[str, int] = {}
        for line in texts["train"]:
            for word in line:
                seen[word] = seen.get(word, 0) + 1
        kept = {word for word, times in seen.items() if times >= RARE}
        return make_corpus(
            {
                part: (" ".join(w if w in kept else UNKNOWN for w in line) for line in lines)
                for part, lines in texts.items()
            }
        )


def _lines(topic: str) -> list[list[str]]:
    """Return the words of each line that has any."""
    lines = (re.findall(r"\w+|[^\w\s]", line.lower()) for line in topic.splitlines())
    return [line for line in lines if line]


class FakeText(TextData):
    """Words that follow each other by a fixed random rule, mostly: learnable, no files.

    Args:
        words: Size of the vocabulary, without <eos> and <unk>.
        train: Words of the training text.
        other: Words of the validation text, and of the test text.
        noise: Share of words that break the rule.
        batch_size: Texts side by side in a batch, over all ranks.
        bptt: Usual number of steps of a batch.
        options: Those of `TextData`.
    """

    def __init__(
        self,
        words: int = 20,
        train: int = 400,
        other: int = 100,
        noise: float = 0.2,
        batch_size: int = 4,
        bptt: int = 6,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, bptt, **options)
        if min(words, train, other) < 1:
            raise InputError(
                f"FakeText(words={words}, train={train}, other={other}) needs at least 1 of"
                " everything."
            )
        self._words, self._sizes, self._noise = words, (train, other), noise

    def load(self) -> Corpus:
        """Draw the texts; they are the same for every seed of a run."""
        rule = torch.randperm(self._words, generator=generator("rule")).tolist()
        train, other = self._sizes
        sizes = {"train": train, "valid": other, "test": other}
        return make_corpus({part: [self._draw(part, n, rule)] for part, n in sizes.items()})

    def _draw(self, part: str, size: int, rule: list[int]) -> str:
        draw = random.Random(derive_seed("fake text", part))
        word, words = 0, []
        for _ in range(size):
            chance = draw.random() < self._noise
            word = draw.randrange(self._words) if chance else rule[word]
            words.append(f"w{word}")
        return " ".join(words)
