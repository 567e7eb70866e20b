"""The discretisation gap: the derived child minus the supernet, on held-out images."""

import pytest
import torch

from lnas.callbacks import DiscretizationGap
from lnas.errors import InputError
from lnas.loggers import read_rows
from lnas.operations.normalization import statistics


def test_the_gap_is_child_minus_supernet_on_the_held_out_images(
    small_trainer, small_module, small_data, tmp_path
):
    module = small_module()
    small_trainer(DiscretizationGap()).fit(module, datamodule=small_data)
    row = next(r for r in read_rows(tmp_path / "metrics.csv") if "search/gap_loss" in r)
    (images, labels), *more = small_data.held_out_loader()
    assert not more
    gates = {k: v.detach() for k, v in module.architecture.probabilities().items()}
    measured = []
    for sample in (module.space.one_hot(module.space.derive(gates)), gates):
        with torch.no_grad(), statistics(module.supernet, "batch"):
            logits = module.supernet(images, sample).logits
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
        measured.append((loss, (logits.argmax(1) == labels).float().mean().item()))
    (child, child_accuracy), (whole, accuracy) = measured
    assert row["search/child_loss"] == pytest.approx(child, rel=1e-5)
    assert row["search/gap_loss"] == pytest.approx(child - whole, abs=1e-5)
    assert row["search/gap_accuracy"] == pytest.approx(child_accuracy - accuracy, abs=1e-6)
    assert child != whole


def test_the_gap_is_measured_on_the_batches_that_the_trainer_validates_on(
    small_trainer, small_module, small_data, tmp_path, monkeypatch
):
    data = type(small_data)(
        torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8), torch.arange(64) % 4,
        num_classes=4, batch_size=8, held_out=0.5,
    )  # fmt: skip
    module = small_module()
    seen = []
    held_out = type(module).held_out_batches

    def counted(self):
        for batch in held_out(self):
            seen.append(batch)
            yield batch

    monkeypatch.setattr(type(module), "held_out_batches", counted)
    for callback, limit, expected in (
        (DiscretizationGap(), 1.0, 4), (DiscretizationGap(), 2, 2), (DiscretizationGap(1), 2, 1),
    ):  # fmt: skip
        seen.clear()
        trainer = small_trainer(callback, limit_val_batches=limit)
        trainer.fit(small_module(), datamodule=data)
        assert len(seen) == 2 * expected  # supernet and child


def test_nothing_is_reported_as_a_gap_when_nothing_is_held_out(
    small_trainer, small_module, small_data, tmp_path
):
    data = type(small_data)(
        torch.zeros(32, 3, 8, 8, dtype=torch.uint8), torch.arange(32) % 4,
        num_classes=4, batch_size=8, held_out=0,
    )  # fmt: skip
    small_trainer(DiscretizationGap()).fit(small_module(), datamodule=data)
    assert not any("gap" in name for r in read_rows(tmp_path / "metrics.csv") for name in r)


def test_no_batches_are_refused():
    with pytest.raises(InputError, match="give 1"):
        DiscretizationGap(0)
