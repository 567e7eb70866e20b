"""Losses of image classification against closed forms, metrics against plain arithmetic."""

import math

import pytest
import torch
from torch.nn import functional

from lnas.errors import InputError
from lnas.tasks import ImageClassification, Output

TRAINING = ["weights", "architecture", "joint", "evaluation"]


def run(task, role, logits, labels, auxiliary=None):
    return task.loss(
        lambda images, state: Output(logits, auxiliary, state), (None, labels), "state", role
    )


@pytest.mark.parametrize("role", [*TRAINING, "held_out"])
def test_loss_is_the_mean_cross_entropy_without_options(role):
    logits, labels = torch.randn(6, 10), torch.arange(6)
    loss, output, state = run(ImageClassification(10), role, logits, labels)
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[range(6), labels].mean())
    assert output.logits is logits
    assert state == "state"


def test_uniform_logits_cost_the_logarithm_of_a_thousand_under_label_smoothing():
    task = ImageClassification(1000, label_smoothing=0.1)
    loss, _, _ = run(task, "evaluation", torch.zeros(3, 1000), torch.tensor([1, 10, 999]))
    torch.testing.assert_close(loss, torch.tensor(6.907755), rtol=0, atol=1e-5)


@pytest.mark.parametrize("role", TRAINING)
def test_smoothed_targets_spread_their_share_over_all_classes(role):
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    target = 0.9 * functional.one_hot(labels, 4) + 0.1 / 4
    loss, _, _ = run(ImageClassification(4, label_smoothing=0.1), role, logits, labels)
    torch.testing.assert_close(loss, -(target * logits.log_softmax(-1)).sum(-1).mean())


def test_held_out_loss_has_neither_smoothing_nor_the_auxiliary_head():
    logits, labels = torch.randn(6, 4), torch.zeros(6, dtype=torch.long)
    task = ImageClassification(4, label_smoothing=0.3)
    loss, _, _ = run(task, "held_out", logits, labels, auxiliary=torch.randn(6, 4))
    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels))


def test_auxiliary_head_adds_its_loss_with_its_weight():
    logits, auxiliary = torch.randn(2, 6, 4)
    labels = torch.zeros(6, dtype=torch.long)
    task = ImageClassification(4, auxiliary_weight=0.25)
    loss, _, _ = run(task, "evaluation", logits, labels, auxiliary)
    cross_entropy = functional.cross_entropy
    expected = cross_entropy(logits, labels) + 0.25 * cross_entropy(auxiliary, labels)
    torch.testing.assert_close(loss, expected)


def test_batch_accuracy_counts_right_answers():
    logits = torch.eye(4)
    measured = ImageClassification(4).batch_metrics(
        Output(logits), (None, torch.tensor([0, 1, 0, 0]))
    )
    assert measured["accuracy"] == 0.5


def test_epoch_values_are_means_over_images_not_over_batches():
    metrics = ImageClassification(3).metrics()
    generator = torch.Generator().manual_seed(0)
    right = images = 0
    total = 0.0
    for size, loss in ((4, 1.5), (7, 0.25), (1, 8.0)):
        logits = torch.randn(size, 3, generator=generator)
        labels = torch.randint(3, (size,), generator=generator)
        metrics.update(torch.tensor(loss), Output(logits), (None, labels))
        right += int((logits.argmax(-1) == labels).sum())
        images += size
        total += size * loss
    assert metrics.compute() == {
        "loss": pytest.approx(total / images, rel=1e-6),
        "accuracy": pytest.approx(right / images, rel=1e-6),
    }
    metrics.reset()
    assert math.isnan(metrics.compute()["loss"])


@pytest.mark.parametrize(
    "wrong",
    [{"num_classes": 1}, {"label_smoothing": 1.0}, {"auxiliary_weight": -1.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_arguments_out_of_range_are_bad_input(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ImageClassification(**{"num_classes": 10, **wrong})
