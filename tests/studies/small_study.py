"""A small study, and a callback that lets its runs stand still so that they can be killed.

The callback is part of the runs' settings; where it stops stands in a file, so that a study that is
killed and one that is left alone have the same settings.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback
from rich.console import Console

from lnas.callbacks import architecture_pictures, derive_genotype
from lnas.runs.exit_codes import exit_code
from lnas.studies.command import engine_of, report
from lnas.studies.engine import LocalEngine
from lnas.studies.graph import trials
from lnas.studies.plan import Options, Stage, Study, Variant
from lnas.studies.progress import StudyProgress
from lnas.studies.results import trained_results
from lnas.studies.study import run_study

FAKE = {
    "data": "lnas.data.FakeImages",
    "data.images": 48,
    "data.shape": [3, 8, 8],
    "data.batch_size": 8,
    "trainer.max_epochs": 2,
    "trainer.logger": False,
}
EVALUATION = {
    **FAKE,
    "trainer.callbacks": ["small_study.PauseAt"],
    "model.network": "lnas.networks.NasBench201Network",
    "model.network.init_args.cells": 1,
    "model.network.init_args.channels": 2,
}
DERIVE = ["lnas.callbacks.DeriveGenotype", "small_study.PauseAt"]
PAUSE, PAUSED = Path("pause"), Path("paused")


class PauseAt(Callback):
    """Stands still for good where the file `pause` says: `RUN FOLDER: POINT`, one a line.

    Points are "start", "batch EPOCH INDEX", "end" of a fit and "test"; a line that begins with
    "raise " raises instead. Where it stands still, it says so in the file `paused`.
    """

    def at(self, trainer, point):
        place = f"{trainer.default_root_dir}: {point}"
        lines = PAUSE.read_text().splitlines() if PAUSE.exists() else []
        if f"raise {place}" in lines:
            raise RuntimeError("asked to fail")
        if place in lines:
            with PAUSED.open("a") as file:
                file.write(f"{place}\n{os.getpid()}\n")
            while place in PAUSE.read_text().splitlines():
                time.sleep(0.02)

    def on_fit_start(self, trainer, module):
        self.at(trainer, "start")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.at(trainer, f"batch {trainer.current_epoch} {batch_idx}")

    def on_fit_end(self, trainer, module):
        self.at(trainer, "end")

    def on_test_batch_end(self, trainer, module, *rest):
        self.at(trainer, "test")


def study(**changes):
    """A chain of two stages and a search that two criteria look at, trained twice each."""
    darts = {
        **FAKE,
        "trainer.callbacks": DERIVE,
        "model.space.init_args.nodes": 1,
        "model.space.init_args.operations": ["none", "skip_connect", "max_pool_3x3"],
        "model.supernet.init_args.channels": 2,
        "model.supernet.init_args.layers": 3,
    }
    chain = [Stage(), Stage(options={"trainer.max_epochs": 1}, keep=2)]
    twice = {"magnitude": "lnas.derivation.Magnitude", "random": "lnas.derivation.RandomChoice"}
    network = {"model.network": "lnas.networks.CifarNetwork", "model.network.init_args.layers": 3}
    network |= {"model.network.init_args.channels": 2}
    evaluation = {k: v for k, v in EVALUATION.items() if not k.startswith("model.network")}
    settings = {
        "name": "small",
        "variants": [
            Variant("chain", Options(["darts"], darts), chain),
            Variant("plain", Options(["darts"], darts), criteria=twice),
        ],
        "evaluation": Options(["digits"], evaluation | network),
        "seeds": [1],
        "random": 1,
        "jobs": 2,
        "threads": 1,
    }
    return Study(**settings | changes)


def draw_nothing():
    """Leave out the pictures, which take most of the time of so small a run, in this process."""

    def nothing(*things):
        pass

    architecture_pictures.draw_gates = architecture_pictures.draw_glance = nothing
    derive_genotype.draw_genotype = nothing


def start(folder, changes):
    """Be the process of a study in `folder`: run it and report; leave with its exit code.

    Its runs are forks of this process, which has imported everything.
    """
    os.setsid()
    draw_nothing()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    with open("log.txt", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def act():
        console, small = Console(highlight=False, width=200), study(**changes)
        planned = list(trials(small))
        engine = LocalEngine("fork") if small.engine == "local" else engine_of(small)
        failures = run_study(small, planned, engine, StudyProgress(console))
        report(console, small, planned, trained_results(planned), failures)
        return len(failures)

    sys.exit(exit_code(act))
