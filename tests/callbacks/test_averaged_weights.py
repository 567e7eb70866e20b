"""Averaged SGD without another optimizer: torch's numbers, the trigger, checkpoints."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import AveragedWeights, Checkpoints
from lnas.data import FakeText
from lnas.errors import InputError
from lnas.evaluation import EvaluationModule
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.networks import RecurrentNetwork
from lnas.schedules import Constant
from lnas.supernet import Dropouts
from lnas.tasks import LanguageModeling

CELL = Genotype("recurrent", {"recurrent": [[("tanh", 0)], [("relu", 1)]]})
RATE, DECAY = 0.5, 1e-3


def data():
    # Windows of one length: their rate is the same for all.
    return FakeText(words=8, train=240, other=60, batch_size=4, evaluation=True, deviation=0.0)


def module(dropouts=None):
    dropouts = dropouts or Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)
    return EvaluationModule(
        CELL, partial(RecurrentNetwork, units=4, dropouts=dropouts), data().examples,
        LanguageModeling, partial(torch.optim.SGD, lr=RATE, weight_decay=DECAY),
        Constant(RATE), drop_path=0.0, gradient_clip=0.25, reports="best",
    )  # fmt: skip


class Losses(Callback):
    """Sets the held-out losses, and looks at the weights that are validated."""

    def __init__(self, *losses):
        self.losses, self.validated = losses, []

    def on_validation_batch_start(self, trainer, module, batch, index):
        if not index:
            self.validated.append(module.network.decoder.bias.detach().clone())

    def on_train_epoch_end(self, trainer, module):
        value = torch.tensor(self.losses[trainer.current_epoch], dtype=torch.float64)
        trainer.callback_metrics["eval/val_loss"] = value
        trainer.callback_metrics["eval/val_perplexity"] = value.exp()


def monitored():
    return Checkpoints(every_steps=2, monitor="eval/val_perplexity", mode="min")


def plain(epochs, start, monkeypatch=None):
    """Train with torch's optimizers: SGD, then ASGD from epoch `start` on."""
    own, text = module().double(), data().train_dataloader()
    network, task = own.network.train(), own.task
    network.set_draw(0)
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(parameters, lr=RATE, weight_decay=DECAY)
    torch.set_default_dtype(torch.float64)  # of ASGD's own factors
    means, state = [], None
    for epoch in range(epochs):
        if epoch == start:
            optimizer = torch.optim.ASGD(
                parameters, lr=RATE, t0=0, lambd=0.0, weight_decay=DECAY
            )  # fmt: skip
        for batch in text:
            batch = batch._replace(share=1.0)
            optimizer.zero_grad()
            loss, _, state = task.loss(network, batch, state, "evaluation")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 0.25)
            optimizer.step()
        averaged = [optimizer.state[p].get("ax", p) for p in parameters]
        means.append([p.detach().clone() for p in averaged])
    return parameters, means


@pytest.fixture
def constant_rate(monkeypatch):
    monkeypatch.setattr(LanguageModeling, "learning_rate_factor", lambda *_: 1.0)


def test_the_mean_is_that_of_torchs_averaged_sgd(small_trainer, tmp_path, constant_rate):
    averaged, watch = AveragedWeights(patience=1), Losses(3.0, 2.0, 2.5, 9.0, 9.0, 9.0)
    trainer = small_trainer(
        watch, averaged, epochs=6, checkpoints=monitored(), precision="64-true"
    )  # fmt: skip
    own = module()
    trainer.fit(own, datamodule=data())
    # 9.0 is the first loss above the best of all but the last: epochs 4 and 5 are averaged.
    parameters, means = plain(6, 4)
    assert averaged.steps == 2 * len(data().train_dataloader())
    for found, mean in zip(own.network.parameters(), means[-1], strict=True):
        torch.testing.assert_close(found, mean, rtol=1e-9, atol=1e-10)
    raw = averaged.state_dict()
    assert raw["losses"] == [3.0, 2.0, 2.5, 9.0]
    stored = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    kept = stored["callbacks"]["AveragedWeights"]["weights"]
    for (name, _), weight, mean in zip(
        own.network.named_parameters(), parameters, means[-1], strict=True
    ):
        exact = {"rtol": 1e-9, "atol": 1e-10}
        torch.testing.assert_close(stored["state_dict"][f"network.{name}"], mean, **exact)
        torch.testing.assert_close(kept[f"network.{name}"], weight.detach(), **exact)
    for validated, mean in zip(watch.validated, means, strict=True):
        torch.testing.assert_close(validated, mean[-1])
    rows = read_rows(tmp_path / "metrics.csv")
    steps = [row["eval/averaged_steps"] for row in rows if "eval/averaged_steps" in row]
    assert steps[:4] == [0, 0, 0, 0]
    assert steps[5] == 2 * steps[4] == averaged.steps


@pytest.mark.parametrize(
    ("losses", "patience", "start"),
    [
        ((5, 4, 3, 2, 1, 0.5), 1, None),  # always better
        ((5, 6, 7), 1, 2),  # the first two only fill the list
        ((5, 6, 5, 4, 5.5), 1, 2),  # neither 6, too early, nor 5, not above: 5.5
        ((5, 4, 6, 6, 6), 3, 4),
        ((5, 6), 0, 1),
    ],
)
def test_averaging_starts_when_a_loss_is_above_the_best_of_all_but_the_last(
    small_trainer, losses, patience, start
):
    def released(history):
        for epoch, loss in enumerate(history):
            seen = history[:epoch]
            if len(seen) > patience and loss > min(seen[: len(seen) - patience]):
                return epoch
        return None

    averaged = AveragedWeights(patience)
    trainer = small_trainer(
        Losses(*losses), averaged, epochs=len(losses), checkpoints=monitored()
    )  # fmt: skip
    trainer.fit(module(), datamodule=data())
    expected = released(losses)
    assert (averaged.steps is None) == (expected is None)
    if expected is not None:
        assert averaged.steps == (len(losses) - 1 - expected) * len(data().train_dataloader())


class Stop(Callback):
    def __init__(self, epoch, batch):
        self.place = (epoch, batch)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.place:
            raise KeyError("power cut")


@pytest.mark.parametrize("place", [(2, 2), (3, 2), (4, 0), (4, 4)])
def test_a_training_resumed_while_averaging_ends_bit_identical(small_trainer, tmp_path, place):
    rates = Dropouts(0.1, 0.2, 0.3, 0.2, 0.3)

    def fit(folder, *callbacks, resume=None):
        averaged = AveragedWeights(patience=1)
        made = small_trainer(
            Losses(3.0, 4.0, 5.0, 4.0, 4.0, 4.0), averaged, *callbacks, epochs=6,
            checkpoints=monitored(), folder=tmp_path / folder,
        )  # fmt: skip
        own = module(rates)
        made.fit(own, datamodule=data(), ckpt_path=resume, weights_only=True)
        weights = averaged.state_dict()["weights"]
        return own.network.state_dict(), weights, averaged.steps

    whole = fit("whole")
    with pytest.raises(KeyError, match="power cut"):
        fit("cut", Stop(*place))
    again = fit("cut", resume=tmp_path / "cut/checkpoints/last.ckpt")
    assert whole[2] == again[2] > 0
    for before, now in zip(whole[:2], again[:2], strict=True):
        assert before.keys() == now.keys()
        assert all(torch.equal(before[name], now[name]) for name in before)
    files = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "cut")]
    assert files[0] == files[1]


def test_the_best_checkpoint_holds_the_mean_that_was_validated(small_trainer, tmp_path):
    watch = Losses(3.0, 4.0, 5.0, 4.0, 1.0, 4.0)
    trainer = small_trainer(
        watch, AveragedWeights(patience=1), epochs=6, checkpoints=monitored()
    )  # fmt: skip
    trainer.fit(module(), datamodule=data())
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 4
    torch.testing.assert_close(best["state_dict"]["network.decoder.bias"], watch.validated[4])


def test_what_cannot_work_is_refused(small_trainer):
    with pytest.raises(InputError, match="patience=-1"):
        AveragedWeights(patience=-1)
    nothing = FakeText(evaluation=True, held_out=0)
    with pytest.raises(InputError, match="nothing is held out; hold data out"):
        small_trainer(AveragedWeights()).fit(module(), datamodule=nothing)
    with pytest.raises(InputError, match="nothing is held out; hold data out"):
        small_trainer(AveragedWeights(), limit_val_batches=0).fit(module(), datamodule=data())
    with pytest.raises(InputError, match=r"watches 'eval/loss'; there are: .*eval/val_loss"):
        small_trainer(AveragedWeights(monitor="eval/loss")).fit(module(), datamodule=data())


def test_epochs_that_are_not_validated_have_no_say(small_trainer):
    averaged = AveragedWeights()
    trainer = small_trainer(averaged, epochs=5, check_val_every_n_epoch=2)
    trainer.fit(module(), datamodule=data())
    assert len(averaged.losses) == 2
