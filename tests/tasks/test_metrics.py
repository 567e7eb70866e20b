"""Metric states survive a checkpoint and agree over processes."""

import math

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn

from lnas.tasks import ImageClassification, Output
from lnas.tasks.metrics import Average

LOGITS = torch.eye(4)
LABELS = torch.tensor([0, 1, 0, 0])


class Trained(nn.Module):
    """Stands for a LightningModule: it has a network and metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(2, 2)
        self.training_metrics = ImageClassification(4).metrics()


def test_half_an_epoch_goes_on_from_the_state_dict(tmp_path):
    whole, before, after = Trained(), Trained(), Trained()
    batches = [(torch.tensor(1.0 + k), LABELS.roll(k)) for k in range(5)]
    for loss, labels in batches:
        whole.training_metrics.update(loss, Output(LOGITS), (None, labels))
    for loss, labels in batches[:3]:
        before.training_metrics.update(loss, Output(LOGITS), (None, labels))
    torch.save(before.state_dict(), tmp_path / "state.ckpt")
    after.load_state_dict(torch.load(tmp_path / "state.ckpt", weights_only=True))
    for loss, labels in batches[3:]:
        after.training_metrics.update(loss, Output(LOGITS), (None, labels))
    assert after.training_metrics.compute() == whole.training_metrics.compute()


def test_an_epoch_saved_after_its_last_batch_can_be_summed_up_without_another():
    before, after = Trained(), Trained()
    before.training_metrics.update(torch.tensor(2.0), Output(LOGITS), (None, LABELS))
    after.load_state_dict(before.state_dict())
    assert after.training_metrics.compute() == {"loss": 2.0, "accuracy": 0.5}


def test_what_was_loaded_is_not_changed_by_going_on():
    before, after = Trained(), Trained()
    before.training_metrics.update(torch.tensor(2.0), Output(LOGITS), (None, LABELS))
    state = before.state_dict()
    after.load_state_dict(state)
    after.training_metrics.update(torch.tensor(4.0), Output(LOGITS), (None, LABELS))
    assert state["training_metrics.loss.total"] == 8.0
    assert state["training_metrics.loss.samples"] == 4


def test_a_loss_that_is_not_a_number_shows():
    average = Average()
    average.update(torch.tensor(1.0), 4)
    average.update(torch.tensor(math.nan), 4)
    assert math.isnan(average.compute())


def test_metrics_hold_no_graph():
    metrics = ImageClassification(4).metrics()
    logits = LOGITS.clone().requires_grad_()
    metrics.update(logits.sum(), Output(logits), (None, LABELS))
    assert not any(value.requires_grad for value in metrics.state_dict().values())


def rank_computes(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    metrics = ImageClassification(4).metrics()
    size = 3 - 2 * rank
    metrics.update(torch.tensor(1.0 + rank), Output(LOGITS[:size]), (None, LABELS[:size]))
    values = metrics.compute()
    assert values == {"loss": 1.25, "accuracy": 0.75}, values
    assert metrics.loss.samples == size  # what a checkpoint of this rank would hold
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("default")
def test_two_processes_report_the_mean_over_all_images(tmp_path):
    torch.multiprocessing.spawn(rank_computes, (str(tmp_path),), nprocs=2)
