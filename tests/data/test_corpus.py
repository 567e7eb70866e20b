"""Texts as numbers of words."""

import gzip

import pytest
import torch

from lnas.data.corpus import make_corpus, read_folder
from lnas.errors import InputError

TEXTS = {"train": ["the cat  sat", "", "the dog"], "valid": ["a cat"], "test": ["the <unk> dog"]}


def write(folder, names=("train.txt", "valid.txt", "test.txt"), pack=False):
    folder.mkdir(exist_ok=True)
    for name, lines in zip(names, TEXTS.values(), strict=True):
        content = "".join(f"{line}\n" for line in lines).encode()
        (folder / name).write_bytes(gzip.compress(content) if pack else content)
    return folder


def test_words_are_numbered_by_their_first_appearance_in_the_training_text():
    corpus = make_corpus(TEXTS)
    assert corpus.words == ("the", "cat", "sat", "<eos>", "dog", "<unk>")
    assert corpus.train.tolist() == [0, 1, 2, 3, 3, 0, 4, 3]  # an empty line has its end
    assert corpus.valid.tolist() == [5, 1, 3]  # "a" is unknown
    assert corpus.test.tolist() == [0, 5, 4, 3]


def test_what_the_training_text_calls_unknown_is_that():
    corpus = make_corpus({**TEXTS, "train": ["<unk> cat"]})
    assert corpus.words == ("<unk>", "cat", "<eos>")
    assert corpus.valid.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "names",
    [
        ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("train.txt", "valid.txt", "test.txt"),
    ],
)
@pytest.mark.parametrize("pack", [False, True])
def test_folders_of_the_field_are_read(tmp_path, names, pack):
    names = [f"{name}.gz" if pack else name for name in names]
    corpus = read_folder(write(tmp_path / "texts", names, pack))
    assert corpus.hash == make_corpus(TEXTS).hash
    assert corpus.train.dtype == torch.long


def test_the_hash_is_that_of_the_texts():
    changed = {**TEXTS, "test": ["the dog <unk>"]}
    assert make_corpus(TEXTS).hash == make_corpus(dict(TEXTS)).hash != make_corpus(changed).hash


def test_files_that_cannot_be_used_are_named(tmp_path):
    folder = write(tmp_path / "texts")
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        read_folder(tmp_path / "nowhere")
    (folder / "ptb.valid.txt").write_text("one more")
    with pytest.raises(InputError, match=r"one file for the valid text.*has ptb.valid.txt, valid"):
        read_folder(folder)
    (folder / "ptb.valid.txt").unlink()
    (folder / "valid.txt").write_text(" \n \n")
    with pytest.raises(InputError, match=r"valid\.txt is empty"):
        read_folder(folder)
    (folder / "valid.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"valid\.txt cannot be read"):
        read_folder(folder)
    (folder / "valid.txt").rename(folder / "valid.txt.gz")
    with pytest.raises(InputError, match=r"valid\.txt\.gz cannot be read"):
        read_folder(folder)
    (folder / "valid.txt.gz").unlink()
    with pytest.raises(InputError, match=r"one file for the valid text.*has none"):
        read_folder(folder)
    with pytest.raises(InputError, match="test text has no words"):
        make_corpus({**TEXTS, "test": [" ", ""]})
