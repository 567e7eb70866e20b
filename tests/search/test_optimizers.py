"""The learning rate of one batch."""

import pytest
import torch
from lightning.pytorch import Callback

from lnas.search import FirstOrder
from lnas.search.optimizers import scaled
from lnas.tasks import ImageClassification


class Half(ImageClassification):
    def learning_rate_factor(self, batch):
        return 0.5


class Rates(Callback):
    def __init__(self):
        self.found = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        level = trainer.optimizers.index(optimizer)
        self.found.append((level, optimizer.param_groups[0]["lr"]))


def test_the_task_scales_the_rate_of_the_weights_alone(tiny, tmp_path):
    rates = Rates()
    trainer = tiny.trainer(tmp_path, [rates], max_epochs=1)
    trainer.fit(tiny.module(task=Half, strategy=FirstOrder()), datamodule=tiny.data())
    assert rates.found[:2] == [(1, 3e-4), (0, 0.0125)]
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.025
    assert trainer.logger.rows[0]["search/lr_weights"] == 0.025


def test_rates_come_back_even_behind_an_error():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)

    def fail():
        with scaled(optimizer, 2.0):
            assert optimizer.param_groups[0]["lr"] == 0.6
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert optimizer.param_groups[0]["lr"] == 0.3
