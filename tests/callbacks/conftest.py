"""A search of seconds, for callbacks to watch."""

import pytest
import torch
from lightning.pytorch import Trainer

from lnas.callbacks import AtomicCheckpointIO, Checkpoints
from lnas.data import TensorData
from lnas.loggers import MetricsCsv
from lnas.search import SearchModule
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples

QUIET = [
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:.*treespec, LeafSpec",
    "ignore:Total length of `list` across ranks is zero",
]


def pytest_collection_modifyitems(items):
    for item in items:
        for message in QUIET:
            item.add_marker(pytest.mark.filterwarnings(message))


@pytest.fixture
def small_data():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 8, 8), generator=draw, dtype=torch.uint8)
    labels = torch.randint(0, 4, (40,), generator=draw)
    return TensorData(images, labels, num_classes=4, batch_size=8, held_out=0.2, seed=3)


@pytest.fixture
def small_module():
    def make(nodes=2):
        space = DartsSpace(("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"), nodes=nodes)
        return SearchModule(
            space, lambda s, num_classes: ConvolutionalSupernet(s, 4, 3, num_classes),
            examples=ImageExamples(4), seed=3,
        )  # fmt: skip

    return make


@pytest.fixture
def small_trainer(tmp_path):
    def make(*callbacks, epochs=1, loggers=None, checkpoints=None, folder=tmp_path, **options):
        options = {"enable_progress_bar": False} | options
        return Trainer(
            default_root_dir=folder, accelerator="cpu", max_epochs=epochs, log_every_n_steps=1,
            logger=[MetricsCsv()] if loggers is None else loggers, plugins=[AtomicCheckpointIO()],
            callbacks=[*callbacks, checkpoints or Checkpoints()], enable_model_summary=False,
            num_sanity_val_steps=0, use_distributed_sampler=False,
            **options,
        )  # fmt: skip

    return make
