"""An evaluation that takes less than a second."""

import warnings

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from lnas.data import TensorData
from lnas.evaluation import EvaluationModule
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv
from lnas.networks import CifarNetwork
from lnas.tasks import ImageExamples

NODES = (
    (("sep_conv_3x3", 0), ("skip_connect", 1)),
    (("avg_pool_3x3", 0), ("sep_conv_3x3", 2)),
)
GENOTYPE = Genotype("darts", {"normal": NODES * 2, "reduce": NODES * 2})
EXAMPLES = ImageExamples(4, (3, 8, 8))
SILENT = (
    ".*number of training batches",
    ".*LeafSpec",
    ".*does not have many workers",
    ".*across ranks is zero",
    ".*Skipping val",
)


def network(genotype, num_classes):
    return CifarNetwork(genotype, 2, 3, num_classes)


def data(kind=TensorData, **options):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(56, 3, 8, 8, generator=draw)
    labels = torch.randint(0, 4, (56,), generator=draw)
    images[:, 0] += labels[:, None, None]
    made = {"held_out": 8, "batch_size": 8, "evaluation": True, "augment": False} | options
    return kind(images[:40], labels[:40], images[40:], labels[40:], num_classes=4, **made)


def module(kind=EvaluationModule, **options):
    made = {"genotype": GENOTYPE, "network": network, "examples": EXAMPLES}
    return kind(**made | {"drop_path": 0.0, "seed": 3} | options)


def trainer(folder, callbacks=(), epochs=2, **options):
    for message in SILENT:
        warnings.filterwarnings("ignore", message)
    made = {"accelerator": "cpu", "max_epochs": epochs, "logger": MetricsCsv()}
    made |= {"enable_progress_bar": False, "enable_model_summary": False}
    made |= {"num_sanity_val_steps": 0, "default_root_dir": str(folder)}
    if not any(isinstance(one, Checkpoint) for one in callbacks):
        made["enable_checkpointing"] = False
    return Trainer(callbacks=list(callbacks), **made | options)
