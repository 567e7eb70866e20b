"""A search that meets numbers that are none stops; on a device, one pass later."""

import pytest
import torch

from lnas.errors import NonFiniteError
from lnas.search.finiteness import FiniteWatch
from lnas.search.step import SearchStep


def step(batch):
    return SearchStep(epoch=2, batch_index=batch, progress=0.5)


@pytest.fixture
def device(monkeypatch):
    """Values of a device, whose verdicts are those that the test lists."""
    verdicts = []

    class Promised:
        def __init__(self, value):
            self.number = len(verdicts)
            assert value.is_meta

        def read(self):
            return verdicts[self.number]

    monkeypatch.setattr("lnas.search.finiteness.Verdict", Promised)
    return verdicts


def test_on_a_cpu_the_pass_itself_stops():
    watch = FiniteWatch()
    watch.look(step(0), [torch.ones(2), torch.ones(3)])
    for bad in (torch.nan, torch.inf):
        with pytest.raises(NonFiniteError, match=r"weights pass.*epoch 2, batch 1"):
            watch.look(step(1), [torch.ones(2), torch.tensor([1.0, bad])])
    watch.settle()


def test_on_a_device_the_next_pass_stops_and_names_the_right_batch(device):
    watch, values = FiniteWatch(), [torch.ones(2, device="meta")]
    watch.look(step(0), values)
    device.append(True)
    watch.look(step(1), values)
    device.append(False)
    with pytest.raises(NonFiniteError, match="batch 1"):
        watch.look(step(2), values)


def test_what_is_left_is_settled(device):
    watch = FiniteWatch()
    watch.look(step(3), [torch.ones(2, device="meta")])
    device.append(False)
    with pytest.raises(NonFiniteError, match="batch 3"):
        watch.settle()
    watch.settle()


def test_a_checkpoint_and_a_row_settle_first(tiny, tmp_path, device):
    module = tiny.module()
    for settle in (
        lambda: module.on_save_checkpoint({}),
        lambda: module.records.log_batch(module),
        lambda: module.records.log_epoch(module),
        lambda: module.records.end_batch(module, last=True),
    ):
        device.clear()
        module.watch.look(step(4), [torch.ones(2, device="meta")])
        device.append(False)
        with pytest.raises(NonFiniteError, match="batch 4"):
            settle()
