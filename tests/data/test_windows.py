"""Windows over texts side by side: lengths, states, ranks, positions."""

import itertools

import pytest
import torch

from lnas.data.windows import TextLoader, Windows, draw_lengths
from lnas.errors import InputError

TEXT = torch.arange(103)


def loader(text=TEXT, streams=4, bptt=6, **options):
    return TextLoader(text, streams, bptt, **options)


def test_texts_stand_side_by_side_and_targets_are_the_words_that_follow():
    (first, *_) = batches = list(loader())
    assert first.inputs[0].tolist() == [0, 25, 50, 75]  # 3 words too many are left out
    words = torch.cat([batch.inputs for batch in batches])
    following = torch.cat([batch.targets for batch in batches])
    assert torch.equal(words[1:], following[:-1])
    assert following[-1].tolist() == [24, 49, 74, 99]
    assert [len(batch.inputs) for batch in batches] == [6, 6, 6, 6]
    assert [batch.starts for batch in batches] == [True, False, False, False]
    assert {batch.share for batch in batches} == {1.0}


def test_a_rest_is_a_window_too():
    assert [len(batch.inputs) for batch in loader(bptt=7)] == [7, 7, 7, 3]
    assert len(loader(bptt=7)) == 4


@pytest.mark.parametrize("seed", range(3))
def test_random_windows_cover_the_text_in_each_epoch_with_as_many_batches(seed):
    source = loader(torch.arange(2000), streams=2, bptt=8, random=True, deviation=3.0, seed=seed)
    epochs = [list(source) for _ in range(3)]
    lengths = [[len(batch.inputs) for batch in epoch] for epoch in epochs]
    assert len({len(epoch) for epoch in epochs}) == 1
    assert lengths[0] != lengths[1]
    assert sorted(lengths[0]) == sorted(lengths[1]) == sorted(lengths[2])
    for epoch in epochs:
        assert torch.equal(torch.cat([b.inputs for b in epoch])[:, 0], torch.arange(999))
        assert [b.starts for b in epoch] == [True] + [False] * (len(epoch) - 1)
        assert all(b.share == len(b.inputs) / 8 for b in epoch)


def test_lengths_are_those_of_the_released_search():
    lengths = draw_lengths(200_000, 35, 0.0, 0, "weights")
    assert set(lengths[:-1]) <= {35, 17}
    assert lengths.count(17) / len(lengths) == pytest.approx(0.05, abs=0.01)
    assert sum(lengths) == 200_000


def test_lengths_are_those_of_the_released_evaluation():
    lengths = torch.tensor(draw_lengths(400_000, 35, 5.0, 0, "weights")[:-1]).float()
    assert lengths.min() >= 5
    assert lengths.max() <= 55
    # Fractions are cut off, so that 26 is where 25.99 would be; normal tables say 0.918.
    assert (lengths > 25).float().mean().item() == pytest.approx(0.918, abs=0.01)
    assert lengths.mean().item() == pytest.approx(0.95 * 34.5 + 0.05 * 17, abs=0.3)


def test_ranks_share_the_streams_of_the_very_windows_of_one_process():
    options = {"random": True, "deviation": 2.0, "seed": 3}
    whole = list(loader(**options))
    ranks = [list(loader(**options, rank=rank, world_size=2)) for rank in range(2)]
    for batch, first, second in zip(whole, *ranks, strict=True):
        assert torch.equal(batch.inputs[:, ::2], first.inputs)
        assert torch.equal(batch.targets[:, 1::2], second.targets)
        assert batch.starts == first.starts == second.starts
        assert batch.share == second.share


def test_a_measured_text_that_cannot_be_shared_is_read_by_every_rank():
    alone = list(loader(streams=1))
    for rank in range(2):
        own = list(loader(streams=1, rank=rank, world_size=2))
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(alone, own, strict=True))
    with pytest.raises(InputError, match="batch_size=3 cannot be shared equally by 2 processes"):
        loader(streams=3, random=True, rank=0, world_size=2)


def test_a_loader_starts_at_any_window_of_any_epoch():
    options = {"random": True, "deviation": 2.0}
    source = loader(**options)
    epochs = [list(source) for _ in range(2)]
    for epoch, start in itertools.product(range(2), range(len(source))):
        again = loader(**options)
        again.set_position(epoch, start)
        found = list(again)
        assert len(found) == len(source) - start
        for batch, other in zip(epochs[epoch][start:], found, strict=True):
            assert torch.equal(batch.inputs, other.inputs)
            assert batch.starts == other.starts
    half = loader(**options)
    for _ in itertools.islice(half, 2):
        pass
    resumed = loader(**options)
    resumed.load_state_dict(half.state_dict())
    assert torch.equal(next(iter(resumed)).inputs, epochs[0][2].inputs)


def test_a_text_too_short_for_its_streams_is_refused():
    with pytest.raises(InputError, match=r"103 words, too few for 60 .*at most 51"):
        loader(streams=60)
    assert Windows(TEXT, 51).steps == 1
