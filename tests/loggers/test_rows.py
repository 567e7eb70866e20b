"""log_row hands the same row to whatever logger the trainer has."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lnas.loggers import MetricsCsv, log_row, read_rows


def trainer(folder, *loggers):
    return Trainer(
        default_root_dir=folder, logger=list(loggers), accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


def test_the_run_folder_is_the_trainers(tmp_path):
    log_row(trainer(tmp_path, MetricsCsv()), {"search/step": 1, "search/loss": torch.tensor(0.25)})
    assert read_rows(tmp_path / "metrics.csv") == [{"search/step": 1, "search/loss": 0.25}]


def test_lightnings_csv_logger_gets_the_row_at_its_step(tmp_path):
    logger = CSVLogger(tmp_path, name="csv", version=0)
    log_row(trainer(tmp_path, logger), {"eval/step": 7, "eval/loss": 0.5})
    assert "7" in (tmp_path / "csv/version_0/metrics.csv").read_text().splitlines()[1].split(",")


def test_tensorboard_gets_the_row_at_its_step(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="tb", version=0)
    made = trainer(tmp_path, logger)
    log_row(made, {"search/step": 3, "search/loss": 0.5})
    log_row(made, {"search/step": 4, "search/loss": 0.75})
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tb/version_0"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("search/loss")] == [(3, 0.5), (4, 0.75)]


def test_a_row_without_its_place_is_refused(tmp_path):
    with pytest.raises(KeyError, match="search/step"):
        log_row(trainer(tmp_path, MetricsCsv()), {"search/loss": 1.0})


def test_other_ranks_write_nothing(tmp_path):
    made = trainer(tmp_path, MetricsCsv())
    made.strategy.__class__ = type("Other", (made.strategy.__class__,), {"is_global_zero": False})
    log_row(made, {"search/step": 1})
    assert not (tmp_path / "metrics.csv").exists()
