"""A table of a few cells with made-up numbers, and the real one where it lies on the disk."""

import numpy as np
import pytest
from lightning.pytorch import Trainer

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.table import DATASETS, write_table
from lnas.loggers import MetricsCsv

QUIET = ["ignore:.*does not have many workers", "ignore:.*number of training batches",
         "ignore:.*treespec, LeafSpec"]  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        for message in QUIET:
            item.add_marker(pytest.mark.filterwarnings(message))


# All skip_connect, all nor_conv_3x3, a convolution and a skip behind it, one 1x1 convolution.
CELLS = [[1, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3], [3, 0, 0, 0, 1, 0], [0, 0, 0, 2, 0, 0]]


def made_up_columns():
    made = {"ops": np.array(CELLS, dtype=np.uint8)}
    rows = np.arange(len(CELLS))
    for number, (prefix, suffix) in enumerate(DATASETS.values()):
        made[f"{prefix}_test_200"] = (50 + 10 * rows + number).astype(np.float32)
        made[f"{prefix}_val_12"] = (40 + 10 * rows + number).astype(np.float32)
        made[f"params_{suffix}"] = (1000 * (rows + 1) + number).astype(np.int32)
        made[f"flops_{suffix}"] = (9000 * (rows + 1) + number).astype(np.int32)
    return made


@pytest.fixture
def columns():
    return made_up_columns


@pytest.fixture
def small_table(tmp_path):
    folder = tmp_path / "nasbench201"
    write_table(folder, made_up_columns())
    return folder


@pytest.fixture(scope="session")
def benchmark_table(data_root):
    if not (data_root / "nasbench201").is_dir():
        pytest.skip("LNAS_DATA has no folder nasbench201")
    return NasBench201Benchmark(data_root)


@pytest.fixture
def small_trainer():
    def make(*callbacks, folder, epochs):
        return Trainer(
            default_root_dir=folder, accelerator="cpu", max_epochs=epochs,
            logger=MetricsCsv(folder), callbacks=list(callbacks),
            enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
        )  # fmt: skip

    return make
