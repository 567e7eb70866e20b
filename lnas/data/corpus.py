"""A corpus: texts as numbers of words, with a vocabulary that only the training text makes.

Words are what white space separates, and each line ends with <eos>, as in the language models of
Mikolov et al. and Merity et al. Other texts' words that the training text does not have are <unk>.
"""

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lnas.errors import InputError

END, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")
SUFFIXES = (".txt", ".tokens", ".txt.gz", ".tokens.gz")


@dataclass(frozen=True)
class Corpus:
    """Three texts over one vocabulary.

    Args:
        words: The vocabulary, in the order of first appearance in the training text.
        train: Numbers of words, (tokens,) int64.
        valid: The same of the validation text.
        test: The same of the test text.
    """

    words: tuple[str, ...]
    train: Tensor
    valid: Tensor
    test: Tensor

    @property
    def hash(self) -> str:
        """The sha256 of all texts and the vocabulary."""
        digest = hashlib.sha256("\n".join(self.words).encode())
        for text in (self.train, self.valid, self.test):
            digest.update(text.numpy().tobytes())
            digest.update(b"|")
        return digest.hexdigest()


def make_corpus(texts: Mapping[str, Iterable[str]]) -> Corpus:
    """Count the words of texts.

    Args:
        texts: The lines of "train", "valid" and "test".

    Raises:
        InputError: A text has no words.
    """
    tokens = {part: _tokens(part, texts[part]) for part in PARTS}
    numbers: dict[str, int] = {}
    for word in tokens["train"]:
        numbers.setdefault(word, len(numbers))
    unknown = numbers.setdefault(UNKNOWN, len(numbers))
    parts = (
        torch.tensor([numbers.get(word, unknown) for word in tokens[part]], dtype=torch.long)
        for part in PARTS
    )
    return Corpus(tuple(numbers), *parts)


def read_folder(folder: Path) -> Corpus:
    """Read the texts of a folder: for each part, the one file that has its name in its own.

    Files end in .txt or .tokens and may be packed by gzip, e.g. `ptb.train.txt`,
    `wiki.valid.tokens`, `test.txt.gz`.

    Raises:
        InputError: A file is missing, ambiguous, empty or not a text.
    """
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder} of texts; give a root with a text for each of "
            f"{', '.join(PARTS)}."
        )
    return make_corpus({part: _lines(_find(folder, part)) for part in PARTS})


def _tokens(part: str, lines: Iterable[str]) -> list[str]:
    tokens: list[str] = []
    empty = True
    for line in lines:
        words = line.split()
        empty = empty and not words
        tokens += [*words, END]
    if empty:
        raise InputError(f"The {part} text has no words; give a text of at least one line.")
    return tokens


def _find(folder: Path, part: str) -> Path:
    found = sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(SUFFIXES) and part in path.name.split(".")
    )
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{folder} needs one file for the {part} text, e.g. {part}.txt or {part}.txt.gz, and "
            f"has {names}; leave exactly one."
        )
    return found[0]


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        # Not splitlines(), which takes rare characters of words for ends of lines.
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"The text {path} cannot be read: {reason}; replace it.") from error
    if not any(line.strip() for line in lines):
        raise InputError(f"The text {path} is empty; replace it by one with words.")
    return lines
