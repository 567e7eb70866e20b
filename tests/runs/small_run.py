"""A small search or evaluation as a program of its own, to be killed from outside.

It goes on from `checkpoints/last.ckpt` if there is one, and can stand still at a chosen point.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it at their first step: once, before the forks
from lightning.pytorch import Callback, Trainer
from torchvision.transforms import v2

from lnas.callbacks import (
    ArchitecturePictures,
    AtomicCheckpointIO,
    Checkpoints,
    ChildValidation,
    CollapseWarning,
    ConstantSchedule,
    DeriveGenotype,
    DiscretizationGap,
    GenotypeTrail,
    GracefulStop,
    RunCard,
    architecture_pictures,
    derive_genotype,
)
from lnas.data import TensorData
from lnas.derivation import Magnitude, SelectionCriterion
from lnas.errors import Interrupted
from lnas.evaluation import EvaluationModule
from lnas.files import replacing
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv
from lnas.networks import CifarNetwork
from lnas.search import SearchModule
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples

OPERATIONS = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")
CELL = (
    (("sep_conv_3x3", 0), ("skip_connect", 1)),
    (("avg_pool_3x3", 0), ("sep_conv_3x3", 2)),
)
EPOCHS = 3


def genotype():
    return Genotype("darts", {"normal": (*CELL, *CELL), "reduce": (*CELL, *CELL)})


def data(evaluation=False, workers=1):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 3, 8, 8), generator=draw, dtype=torch.uint8)
    labels = torch.randint(0, 4, (120,), generator=draw)
    return TensorData(
        images[:100], labels[:100], images[100:], labels[100:], num_classes=4,
        transform=v2.Compose([v2.RandomCrop(8, padding=2), v2.RandomHorizontalFlip()]),
        batch_size=8, held_out=0.2, workers=workers, seed=3, evaluation=evaluation, cutout=2,
    )  # fmt: skip


def search_module():
    return SearchModule(
        DartsSpace(OPERATIONS, nodes=2),
        lambda space, num_classes: ConvolutionalSupernet(space, 4, 3, num_classes),
        examples=ImageExamples(4), seed=3,
    )  # fmt: skip


def evaluation_module():
    return EvaluationModule(
        genotype(),
        lambda found, num_classes: CifarNetwork(found, 4, 3, num_classes, auxiliary=False),
        examples=ImageExamples(4, (3, 8, 8)), drop_path=0.5, seed=3,
    )  # fmt: skip


def search_callbacks(criterion=None):
    return [
        ConstantSchedule(2), GenotypeTrail(pictures_every=0), DiscretizationGap(),
        CollapseWarning(), DeriveGenotype(criterion), ChildValidation(),
        ArchitecturePictures(every=9),
    ]  # fmt: skip


def trainer(folder, callbacks, epochs=EPOCHS, loggers=None, io=None, **options):
    return Trainer(
        default_root_dir=folder, accelerator="cpu", max_epochs=epochs, log_every_n_steps=1,
        logger=[MetricsCsv()] if loggers is None else loggers, plugins=[io or AtomicCheckpointIO()],
        callbacks=[*callbacks, RunCard({"seed": 3}), Checkpoints(every_steps=2), GracefulStop()],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False, **options,
    )  # fmt: skip


class Pause(Callback):
    """Stands still at one point for good, saying so by a file, so that the run can be killed there.

    Points: "batch EPOCH INDEX", "validation EPOCH INDEX", "epoch EPOCH", "test INDEX",
    "derivation", "writing N" (the N-th checkpoint is written but not yet in its place).
    "signal NUMBER POINT" sends a signal instead.
    """

    def __init__(self, folder, point):
        self.folder, self.point = folder, point or "nowhere"
        self.written = 0

    def at(self, point):
        word, *rest = self.point.split()
        if word == "signal" and point == " ".join(rest[1:]):
            os.kill(os.getpid(), int(rest[0]))
        if point == self.point:
            (self.folder / "paused").touch()
            while True:
                time.sleep(1)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.at(f"batch {trainer.current_epoch} {batch_idx}")

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, *rest):
        self.at(f"validation {trainer.current_epoch} {batch_idx}")

    def on_train_epoch_end(self, trainer, module):
        self.at(f"epoch {trainer.current_epoch}")

    def on_test_batch_end(self, trainer, module, outputs, batch, batch_idx, *rest):
        self.at(f"test {batch_idx}")


class PausingIO(AtomicCheckpointIO):
    def __init__(self, pause):
        super().__init__()
        self.pause = pause

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        self.pause.written += 1
        with replacing(Path(path).with_name("half.ckpt")) as half:  # as far as the rename
            half.write_bytes(b"PK")
            self.pause.at(f"writing {self.pause.written}")
        super().save_checkpoint(checkpoint, path)


class PausingMagnitude(SelectionCriterion):
    def __init__(self, pause):
        self.pause = pause

    def scores(self, context):
        self.pause.at("derivation")
        return Magnitude().scores(context)


def draw_nothing():
    """Leave out the pictures, which take most of the time of so small a run, in this process."""

    def nothing(*things):
        pass

    architecture_pictures.draw_gates = architecture_pictures.draw_glance = nothing
    derive_genotype.draw_genotype = nothing


def run(kind, folder, point="", ranks=1, loggers=None):
    """Start or resume the run in `folder`; stand still at `point`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    last = folder / "checkpoints/last.ckpt"
    pause = Pause(folder, point)
    callbacks = [*search_callbacks(PausingMagnitude(pause)), pause] if kind == "search" else [pause]
    options = {"devices": ranks, "strategy": "ddp_fork"} if ranks > 1 else {}
    made = trainer(folder, callbacks, loggers=loggers, io=PausingIO(pause), **options)
    module = search_module() if kind == "search" else evaluation_module()
    streams = data(evaluation=kind == "evaluate")
    resume = str(last) if last.is_file() else None
    try:
        made.fit(module, datamodule=streams, ckpt_path=resume)
        if kind == "evaluate":
            made.test(module, datamodule=streams, verbose=False)
    except Interrupted as stopped:
        sys.exit(128 + stopped.signal_number)


def start(kind, folder, point, ranks):
    """What a process of its own runs: a new session, so that all its processes can be killed."""
    os.setsid()
    draw_nothing()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start jobs that ignore it
    multiprocessing.set_start_method("fork", force=True)  # for its workers and ranks
    log = os.open(Path(folder).with_suffix(".log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.dump_traceback_later(250)  # a hanging test says where
    code = 0
    try:
        run(kind, folder, point, ranks)
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # multiprocessing would wait for workers that an error left behind
