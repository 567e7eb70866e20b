import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from lnas.data import Augmentation, ShiftAndFlip, StreamLoader
from lnas.data.tensors import Images
from lnas.errors import InputError

IMAGES = Images(torch.arange(50 * 16.0).reshape(50, 1, 4, 4), torch.arange(50))


def loader(indices=range(50), dataset=IMAGES, **options):
    options = {"batch_size": 8, "augmentation": Augmentation(ShiftAndFlip(1)), **options}
    return StreamLoader(dataset, indices, **options)


def seen(batches):
    """Images and labels of all batches, one after the other."""
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_each_image_comes_at_most_once_an_epoch_and_the_rest_is_dropped():
    labels = seen(loader(range(10, 40)))[1].tolist()
    assert len(labels) == 24 == 8 * len(loader(range(10, 40)))
    assert len(set(labels)) == 24
    assert set(labels) <= set(range(10, 40))


def test_order_depends_on_seed_purpose_and_epoch_alone():
    def order(epoch=0, **options):
        made = loader(**options)
        made.set_position(epoch, 0)
        return seen(made)

    assert same(order(), order())
    torch.manual_seed(9)
    assert same(order(epoch=5), order(epoch=5))
    others = [order(), order(epoch=1), order(seed=1), order(purpose="architecture")]
    assert len({tuple(labels.tolist()) for _, labels in others}) == 4


def test_workers_change_nothing():
    alone, helped = loader(), loader(workers=2)
    for _ in range(2):  # two epochs: the workers live on
        assert same(seen(alone), seen(helped))


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_the_batches_of_one_process(workers):
    single = list(loader())
    ranks = [list(loader(rank=rank, world_size=2, workers=workers)) for rank in range(2)]
    assert [len(batches) for batches in ranks] == [6, 6]
    for (images, labels), first, second in zip(single, *ranks, strict=True):
        assert len(first[1]) == len(second[1]) == 4
        both, order = torch.cat([first[1], second[1]]).sort()
        assert torch.equal(both, labels.sort().values)
        expected = images[labels.argsort()]
        assert torch.equal(torch.cat([first[0], second[0]])[order], expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_can_start_anywhere(workers):
    whole, part = loader(), loader(workers=workers)
    whole.set_position(4, 0)
    expected = list(whole)
    part.set_position(4, 2)
    assert len(part) == 6
    assert same(seen(expected[2:]), seen(part))
    assert same(seen(whole), seen(part))  # both are in epoch 5 now


def test_state_is_behind_the_last_batch_handed_out():
    first, second = loader(workers=2), loader()
    passing = iter(first)
    for _ in range(3):
        next(passing)
    state = first.state_dict()
    assert state == {"epoch": 0, "batch": 3}
    second.load_state_dict(state)
    assert same(seen(passing), seen(second))
    assert first.state_dict() == second.state_dict() == {"epoch": 1, "batch": 0}


def test_an_abandoned_pass_starts_again():
    made, expected = loader(), seen(loader())
    next(iter(made))
    assert same(seen(made), expected)


def test_set_epoch_keeps_a_position_in_that_epoch_only():
    made, other = loader(), loader()
    made.set_position(2, 3)
    made.sampler.set_epoch(2)
    assert len(list(made)) == 3
    made.set_position(2, 3)
    made.sampler.set_epoch(3)
    other.set_position(3, 0)
    assert same(seen(made), seen(other))


@pytest.mark.parametrize("images", [1, 7, 8, 16, 17, 23, 25])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_held_out_images_come_once_each_and_ranks_keep_step(images, world):
    if images < world:
        with pytest.raises(InputError, match="too few"):
            loader(range(images), training=False, rank=0, world_size=world)
        return
    ranks = [
        list(loader(range(images), training=False, rank=rank, world_size=world))
        for rank in range(world)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    assert all(len(labels) for batches in ranks for _, labels in batches)
    labels = torch.cat([labels for batches in ranks for _, labels in batches])
    assert sorted(labels.tolist()) == list(range(images))
    if world == 1:
        assert labels.tolist() == list(range(images))


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"batch_size=51 exceeds the split .*weights: 50.* 50,"):
        loader(batch_size=51)
    with pytest.raises(InputError, match="batch_size=0"):
        loader(batch_size=0)
    with pytest.raises(InputError, match="batch_size=8 cannot be shared equally by 3 processes"):
        loader(rank=0, world_size=3)
    made = loader()
    for position in ((0, 7), (0, -1), (-1, 0)):
        with pytest.raises(InputError, match="There is no batch"):
            made.set_position(*position)


def test_the_global_generator_stands_still():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    for _ in loader(), loader(workers=1):
        list(_)
    assert torch.equal(state, torch.random.get_rng_state())


class Broken:
    def __len__(self):
        return 50

    def __getitem__(self, index):
        raise InputError("Cannot read the image; replace it.")


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_input_in_a_worker_stays_one_line(workers):
    with pytest.raises(InputError) as caught:
        next(iter(loader(dataset=Broken(), workers=workers)))
    assert str(caught.value) == "Cannot read the image; replace it."


def test_workers_leave_signals_to_their_parent():
    made, expected = loader(workers=2), seen(loader())
    passing = iter(made)
    batches = [next(passing)]
    for worker in made._iterator._workers:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    assert same(seen([*batches, *passing]), expected)


SCRIPT = """
import sys, time, torch
from lnas.data import TensorData
data = TensorData(torch.zeros(64, 1, 4, 4), torch.arange(64) % 2, batch_size=4, workers=2)
loader = data.train_dataloader()
passing = iter(loader)
next(passing)
print(*(worker.pid for worker in loader._iterator._workers), flush=True)
time.sleep(float(sys.argv[1]))
"""


def test_the_process_ends_although_workers_ignore_signals():
    result = subprocess.run([sys.executable, "-c", SCRIPT, "0"], capture_output=True, timeout=300)
    assert result.returncode == 0
    assert result.stderr == b""


def test_workers_end_with_their_parent():
    command = [sys.executable, "-c", SCRIPT, "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 300
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.2)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
