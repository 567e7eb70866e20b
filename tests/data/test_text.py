"""The streams of texts, real and made up."""

import pytest
import torch

from lnas.data import FakeText, PennTreebank, TextFolder, Topics
from lnas.errors import InputError
from lnas.tasks import TextExamples


def words(loader):
    """All words of a loader, stream by stream."""
    return torch.cat([batch.inputs for batch in loader]).t().flatten().tolist()


def test_a_search_reads_three_texts_that_do_not_meet():
    data = FakeText(held_out=0.25)
    assert data.spans == {
        "weights": ("train", 100, 401), "architecture": ("valid", 0, 101),
        "held_out": ("train", 0, 100),
    }  # fmt: skip
    data.setup("fit")
    assert words(data.architecture_loader())[:10] == data.corpus.valid[:10].tolist()
    assert words(data.train_dataloader())[:10] == data.corpus.train[100:110].tolist()
    assert words(data.held_out_loader())[:10] == data.corpus.train[:10].tolist()
    assert words(data.val_dataloader()) == words(data.held_out_loader())
    assert data.examples == TextExamples(22)


def test_the_papers_split_holds_nothing_out():
    data = FakeText(held_out=0)
    assert data.spans["weights"] == ("train", 0, 401)
    assert data.val_dataloader() == []
    with pytest.raises(InputError, match="Nothing is held out"):
        data.held_out_loader()


def test_the_architecture_may_take_its_share_of_the_training_text():
    data = FakeText(held_out=41, architecture_fraction=0.25)
    assert data.spans["weights"] == ("train", 41, 311)
    assert data.spans["architecture"] == ("train", 311, 401)
    single = FakeText(architecture_fraction=0.0)
    with pytest.raises(InputError, match="no architecture stream"):
        single.architecture_loader()


def test_an_evaluation_trains_on_the_whole_training_text_and_validates_on_the_other():
    data = FakeText(evaluation=True)
    assert data.spans == {"weights": ("train", 0, 401), "held_out": ("valid", 0, 101)}
    assert data.val_dataloader().sampler.streams == 10
    assert data.deviation == 5.0
    assert FakeText().deviation == 0.0
    assert FakeText(evaluation=True, held_out=0).val_dataloader() == []
    batch = next(iter(data.test_dataloader()))
    assert batch.inputs.shape == (6, 1)
    assert batch.inputs[:, 0].tolist() == data.corpus.test[:6].tolist()
    with pytest.raises(InputError, match="no architecture stream"):
        data.architecture_loader()


def test_only_so_many_training_words_are_used():
    assert FakeText(train_words=200, held_out=0).spans["weights"] == ("train", 0, 200)
    assert FakeText(train_words=200).corpus.words == FakeText().corpus.words


def test_the_split_hash_knows_texts_and_spans():
    hashes = {FakeText().split_hash, FakeText(held_out=0).split_hash, FakeText(words=9).split_hash}
    assert len(hashes) == 3
    assert FakeText(seed=1).split_hash == FakeText().split_hash


def test_topics_are_in_every_python():
    data = Topics()
    corpus = data.corpus
    assert 500 < len(corpus.words) < 4000
    assert len(corpus.train) > 50_000
    counts = torch.bincount(corpus.train)
    rare = [word for word, count in zip(corpus.words, counts.tolist(), strict=True) if count < 3]
    assert rare == []
    assert {"<unk>", "<eos>", "the", "("} <= set(corpus.words)
    assert all(word == word.lower() for word in corpus.words)
    shares = [len(text) for text in (corpus.train, corpus.valid, corpus.test)]
    for size, share in zip(shares, (0.8, 0.1, 0.1), strict=True):
        assert abs(size / sum(shares) - share) < 0.01
    assert Topics().split_hash == data.split_hash
    data.setup("fit")


def test_penn_treebank_is_the_published_one(data_root):
    corpus = PennTreebank(data_root).corpus
    assert len(corpus.words) == 10_000
    sizes = (len(corpus.train), len(corpus.valid), len(corpus.test))
    assert sizes == (929_589, 73_760, 82_430)
    assert corpus.words[:3] == ("aer", "banknote", "berlitz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"bptt": 0}, "bptt=0"),
        ({"train_words": 0}, "train_words=0"),
        ({"measured_size": -1}, "measured_size=-1"),
        ({"deviation": -1.0}, "deviation=-1"),
        ({"held_out": 1.5}, "held_out=1.5"),
        ({"architecture_fraction": 1.0}, "architecture_fraction=1.0"),
        ({"words": 0}, "words=0"),
        ({"batch_size": 1}, "batch_size=1 and measured_size=1: a search normalises"),
        ({"measured_size": 1}, "batch_size=4 and measured_size=1"),
        ({"evaluation": True, "test_size": 90}, "90 texts side by side"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FakeText(**options).setup()


def test_texts_that_are_not_there_or_too_short_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("LNAS_DATA", raising=False)
    with pytest.raises(InputError, match="set root, or the environment variable LNAS_DATA"):
        PennTreebank()
    monkeypatch.setenv("LNAS_DATA", str(tmp_path))
    with pytest.raises(InputError, match="one file for the train text"):
        PennTreebank().setup()
    with pytest.raises(InputError, match="no folder"):
        TextFolder(tmp_path / "texts").setup()
    with pytest.raises(InputError, match="leave none of 401 words to the weights"):
        FakeText(held_out=401).setup()
    with pytest.raises(InputError, match="too few for 300"):
        FakeText(batch_size=300).setup()
