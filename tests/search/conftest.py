"""A search that takes less than a second."""

import warnings
from functools import partial

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger

from lnas.data import FakeImages
from lnas.search import SearchModule
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet
from lnas.tasks import ImageExamples

# Lightning's advice to programmers, and its use of what torch has deprecated.
SILENT = (".*LeafSpec", ".*does not have many workers", ".*across ranks is zero", ".*Skipping val")


class Rows(Logger):
    """Keeps the rows."""

    name = version = ""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_hyperparams(self, params, *rest):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append(dict(metrics))


class Save(Checkpoint):
    """Saves once, after so many weight steps, at a moment; never without a path."""

    def __init__(self, path, steps, moment="batch"):
        self.path, self.steps, self.moment = path, steps, moment
        self.rows = 0  # how many were logged before

    def _save(self, trainer, module, moment):
        if self.path and (module.steps, moment) == (self.steps, self.moment):
            trainer.save_checkpoint(self.path)
            self.rows = len(trainer.logger.rows)

    def on_train_batch_end(self, trainer, module, *_):
        self._save(trainer, module, "batch")

    def on_validation_end(self, trainer, module):
        self._save(trainer, module, "validation")

    def on_train_epoch_end(self, trainer, module):
        self._save(trainer, module, "epoch")


class TinySearch:
    """What the tests make searches from."""

    Save = Save

    @staticmethod
    def module(kind=SearchModule, **options):
        supernet = partial(NasBench201Supernet, channels=4, cells=1)
        made = {"space": NasBench201Space(), "supernet": supernet}
        made |= {"examples": ImageExamples(4)} | options
        return kind(**made)

    @staticmethod
    def data(kind=FakeImages, **options):
        made = {"images": 48, "shape": (3, 8, 8), "num_classes": 4, "batch_size": 4, "held_out": 8}
        made |= {"architecture_fraction": 0.6} | options  # 4 weight batches, 6 of the architecture
        return kind(**made)

    @staticmethod
    def trainer(folder, callbacks=(), **options):
        for message in SILENT:
            warnings.filterwarnings("ignore", message)
        made = {"accelerator": "cpu", "max_epochs": 2, "logger": Rows(), "log_every_n_steps": 2}
        made |= {"enable_progress_bar": False, "enable_model_summary": False}
        made |= {"num_sanity_val_steps": 0, "default_root_dir": str(folder)}
        if not any(isinstance(part, Checkpoint) for part in callbacks):
            made["enable_checkpointing"] = False
        return Trainer(callbacks=list(callbacks), **made | options)

    def fit(self, folder, callbacks=(), data=None, trainer=None, ckpt_path=None, **options):
        module = self.module(**options)
        made = self.trainer(folder, callbacks, **trainer or {})
        made.fit(module, datamodule=data or self.data(), ckpt_path=ckpt_path, weights_only=True)
        return module


@pytest.fixture
def tiny():
    return TinySearch()
