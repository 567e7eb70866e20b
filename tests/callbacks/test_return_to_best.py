"""ReturnToBest: from a loss that is none back to the best epoch, and what stays an error."""

import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from lnas.callbacks import AveragedWeights, Checkpoints, ReturnToBest
from lnas.data import FakeText
from lnas.errors import InputError, NonFiniteError
from lnas.evaluation import EvaluationModule
from lnas.loggers import MetricsCsv, read_rows
from lnas.networks import RecurrentNetwork
from lnas.schedules import Constant
from lnas.supernet import Dropouts
from lnas.tasks import LanguageModeling

SILENT = (".*LeafSpec", ".*does not have many workers", ".*number of training batches")


class Spoil(Callback):
    """Makes a weight, or the state that is carried over, no number before given batches."""

    def __init__(self, *places, what="weight"):
        self.places, self.what, self.seen = places, what, []

    def on_train_batch_start(self, trainer, module, batch, index):
        weight = module.network.cell.nodes["1"].weight
        self.seen.append(weight.detach().clone())
        if (trainer.current_epoch, index) in self.places:
            if self.what == "weight":
                weight.data[0, 0] = torch.nan
            else:
                module._states["train"] = torch.full_like(module._states["train"], torch.inf)


def fit(folder, *callbacks, keep=True, epochs=3):
    for message in SILENT:
        warnings.filterwarnings("ignore", message)
    data = FakeText(
        words=8, train=240, other=60, batch_size=4, bptt=10, evaluation=True, measured_size=4
    )
    network = partial(RecurrentNetwork, units=4, dropouts=Dropouts(0.0, 0.0, 0.0, 0.0, 0.0))
    module = EvaluationModule(
        "darts_rnn_v2", network, data.examples, LanguageModeling,
        partial(torch.optim.SGD, lr=2.0), Constant(2.0), drop_path=0.0, gradient_clip=0.25,
    )  # fmt: skip
    kept = [Checkpoints(monitor="eval/val_perplexity", mode="min")] if keep else []
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, logger=MetricsCsv(), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=keep, num_sanity_val_steps=0,
        default_root_dir=str(folder), use_distributed_sampler=False, callbacks=[*callbacks, *kept],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module


def best_weight(folder):
    kept = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return kept["epoch"], kept["state_dict"]["network.cell.nodes.1.weight"]


@pytest.mark.parametrize("what", ["weight", "state"])
def test_a_loss_that_is_none_returns_to_the_best_epoch_and_goes_on(tmp_path, what, capsys):
    spoil, back = Spoil((1, 1), what=what), ReturnToBest()
    fit(tmp_path / "once", Spoil(), ReturnToBest(), epochs=1)
    epoch, best = best_weight(tmp_path / "once")
    fit(tmp_path / "on", spoil, back, AveragedWeights(patience=9))
    assert epoch == 0
    batches = len(spoil.seen) // 3
    torch.testing.assert_close(spoil.seen[batches + 2], best, rtol=0, atol=0)  # behind the spoilt
    assert not torch.equal(spoil.seen[batches + 3], best)  # and on from there
    assert back.returns == 1
    rows = read_rows(tmp_path / "on" / "metrics.csv")
    assert [row["eval/returns"] for row in rows if "eval/returns" in row] == [0, 1, 1]
    assert all(row["eval/train_loss"] < 10 for row in rows if "eval/train_loss" in row)
    assert "back to the best epoch, 0" in capsys.readouterr().out


class Rising(Callback):
    """Lets no epoch but the first ones look good."""

    def on_train_epoch_end(self, trainer, module):
        value = torch.tensor([4.0, 3.0, 5.0, 2.0, 6.0, 6.0][trainer.current_epoch]).double()
        trainer.callback_metrics["eval/val_loss"] = value
        trainer.callback_metrics["eval/val_perplexity"] = value.exp()


@pytest.mark.parametrize("first", ["average", "return"])
def test_a_mean_that_took_such_weights_in_is_that_of_the_best_epoch_again(tmp_path, first):
    class Push(Callback):
        def on_before_zero_grad(self, trainer, module, optimizer):
            if (trainer.current_epoch, trainer.global_step % 6) == (4, 2):
                module.network.embedding.weight.data.fill_(torch.nan)

    averaged, back = AveragedWeights(patience=0), ReturnToBest()
    pair = (averaged, back) if first == "average" else (back, averaged)
    module = fit(tmp_path, Rising(), Push(), *pair, epochs=6)
    assert back.returns == 1
    epoch, _ = best_weight(tmp_path)
    assert epoch == 3
    assert averaged.steps > 0
    assert all(weight.abs().max() < 100 for weight in module.network.parameters())


def test_it_returns_so_often_and_not_before_there_is_a_best_epoch(tmp_path):
    with pytest.raises(NonFiniteError, match="epoch 0, batch 1"):
        fit(tmp_path / "early", Spoil((0, 1)), ReturnToBest())
    with pytest.raises(NonFiniteError, match="epoch 2, batch 1"):
        fit(tmp_path / "often", Spoil((1, 0), (2, 1)), ReturnToBest(most=1))


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(InputError, match="no best epoch"):
        fit(tmp_path, ReturnToBest(), keep=False)
    with pytest.raises(InputError, match="most=0"):
        ReturnToBest(most=0)
