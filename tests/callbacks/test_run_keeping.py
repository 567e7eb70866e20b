"""Checkpoints in time, the run card, and a graceful end."""

import json
import os
import signal

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import Checkpoints, DeriveGenotype, GracefulStop, RunCard
from lnas.callbacks.run_card import config_hash
from lnas.errors import InputError, Interrupted
from lnas.loggers import MetricsCsv, WandbRun, read_rows


class Interrupt(Callback):
    """Sends a signal to this process behind a batch."""

    def __init__(self, batch, number=signal.SIGTERM):
        self.batch, self.number = batch, number

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 0 and batch_idx == self.batch:
            os.kill(os.getpid(), self.number)


def card(folder):
    return json.loads((folder / "run_card.json").read_text())


def test_the_best_epoch_is_kept_beside_the_last(small_trainer, small_module, small_data, tmp_path):
    monitor, scores = "search/held_out_loss", [1.0, 0.5, 2.0]

    class Score(Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.callback_metrics[monitor] = torch.tensor(scores[trainer.current_epoch])

    keeper = Checkpoints(monitor=monitor, mode="min")
    trainer = small_trainer(Score(), epochs=3, checkpoints=keeper)
    trainer.fit(small_module(), datamodule=small_data)
    folder = tmp_path / "checkpoints"
    epochs = {p.stem: torch.load(p, weights_only=True)["epoch"] for p in folder.iterdir()}
    assert epochs == {"last": 2, "best": 1}
    assert keeper.best == 0.5


def test_a_checkpoint_every_so_many_batches_but_not_behind_the_last(
    small_trainer, small_module, small_data, monkeypatch
):
    written = []
    trainer = small_trainer(checkpoints=Checkpoints(every_minutes=None, every_steps=1))
    save = trainer.save_checkpoint

    def note(path, **options):
        written.append(trainer.fit_loop.epoch_loop.batch_progress.current.completed)
        save(path, **options)

    monkeypatch.setattr(trainer, "save_checkpoint", note)
    module = small_module()
    trainer.fit(module, datamodule=small_data)
    # 16 images in batches of 8: behind the first batch, and at the end of the epoch.
    assert written == [0, 2]


def test_the_card_names_what_one_must_know(small_trainer, small_module, small_data, tmp_path):
    derive, config = DeriveGenotype(), {"b": 1, "a": [1, 2]}
    wandb = WandbRun(mode="disabled")
    trainer = small_trainer(RunCard(config), derive, loggers=[MetricsCsv(), wandb])
    trainer.fit(small_module(), datamodule=small_data)
    found = card(tmp_path)
    assert found["status"] == "finished"
    assert found["genotype_hash"] == derive.genotype.hash
    assert found["split_hash"] == small_data.split_hash
    assert found["seed"] == 3
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]
    assert found["config"] == wandb.settings == config
    assert found["config_hash"] == config_hash({"a": [1, 2], "b": 1})
    assert found["wall_time_seconds"] > 0
    last = read_rows(tmp_path / "metrics.csv")[-1]
    assert found["results"].items() >= last.items()


def test_the_card_says_that_a_run_failed(small_trainer, small_module, small_data, tmp_path):
    class Fail(Callback):
        def on_train_epoch_end(self, trainer, module):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        small_trainer(RunCard(), Fail()).fit(small_module(), datamodule=small_data)
    assert (card(tmp_path)["status"], card(tmp_path)["message"]) == ("failed", "broken")


def test_the_wall_time_counts_earlier_attempts():
    card = RunCard()
    card.load_state_dict({"seconds": 100.0})
    assert card.state_dict()["seconds"] >= 100.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_fit_with_a_checkpoint_and_restores_the_handlers(
    small_trainer, small_module, small_data, tmp_path, number
):
    seen = []
    before = signal.signal(number, lambda *received: seen.append(received[0]))
    trainer = small_trainer(RunCard(), GracefulStop(), Interrupt(0, number))
    with pytest.raises(Interrupted, match="--resume") as stopped:
        trainer.fit(small_module(), datamodule=small_data)
    assert stopped.value.signal_number == number
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert saved["search"]["steps"] == 1
    assert card(tmp_path)["status"] == "interrupted"
    os.kill(os.getpid(), number)
    assert seen == [number]  # as before the fit
    signal.signal(number, before)


def test_a_second_signal_ends_the_process_at_once(monkeypatch):
    sent, stop = [], GracefulStop()
    monkeypatch.setattr(signal, "signal", lambda *pair: sent.append(pair))
    monkeypatch.setattr(os, "kill", lambda *pair: sent.append(pair))
    stop._active = True
    stop._note(signal.SIGTERM, None)
    assert sent == []
    stop._note(signal.SIGTERM, None)
    assert sent == [(signal.SIGTERM, signal.SIG_DFL), (os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("wrong", [{"every_minutes": 0}, {"every_steps": -1}, {"mode": "median"}])
def test_impossible_checkpoint_plans_are_refused(wrong):
    with pytest.raises(InputError, match=r"give|choose"):
        Checkpoints(**wrong)
