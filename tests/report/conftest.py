"""Real small runs to report on: searches of images and of text, a training, a study."""

import shutil
from types import SimpleNamespace

import pytest

from lnas.callbacks import architecture_pictures, derive_genotype, genotype_trail
from lnas.report import vega
from lnas.runs.training import evaluate, search
from lnas.studies.results import Result
from lnas.studies.summary import summarise
from lnas.studies.table import write_tables

QUIET = ["ignore:.*does not have many workers", "ignore:.*number of training batches",
         "ignore:.*treespec, LeafSpec"]  # fmt: skip
FAKE = [
    "--data=lnas.data.FakeImages", "--data.images=64", "--data.shape=[3,8,8]",
    "--data.batch_size=8", "--data.architecture_fraction=0.5", "--trainer.logger=false",
    "--trainer.accelerator=cpu",
]  # fmt: skip
SEARCH = [
    "--config=darts_prime", *FAKE, "--data.held_out=16", "--trainer.max_epochs=4",
    "--model.supernet.init_args.channels=2", "--model.supernet.init_args.layers=3",
    "--model.space.init_args.nodes=2", "--model.architecture_optimizer.init_args.lr=0.3",
]  # fmt: skip
NASBENCH = [
    "--config=darts_nasbench201", *FAKE, "--data.held_out=16", "--trainer.max_epochs=3",
    "--model.supernet.init_args.channels=2", "--model.supernet.init_args.cells=1",
    "--model.architecture_optimizer.init_args.lr=0.3",
]  # fmt: skip
TEXT = [
    "--config=darts_rnn", "--data=lnas.data.FakeText", "--data.batch_size=4", "--data.bptt=6",
    "--data.held_out=0.3", "--trainer.max_epochs=2", "--trainer.limit_train_batches=2",
    "--trainer.logger=false", "--trainer.accelerator=cpu", "--model.supernet.init_args.units=4",
]  # fmt: skip
TRAINING = [
    *FAKE, "--trainer.max_epochs=2", "--model.network=lnas.networks.CifarNetwork",
    "--model.network.init_args.channels=2", "--model.network.init_args.layers=3",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        for message in QUIET:
            item.add_marker(pytest.mark.filterwarnings(message))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folders of finished runs: `images`, `again` (another seed), `nasbench`, `text`, `trained`."""
    root = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture_pictures, "draw_gates", lambda *things: None)
        patch.setattr(architecture_pictures, "draw_glance", lambda *things: None)
        for home in (derive_genotype, genotype_trail):
            patch.setattr(home, "draw_genotype", lambda *things: None)
            patch.setattr(home, "log_picture", lambda *things: None)
        images = search([*SEARCH, "--seed=1", f"--run.folder={root / 'images'}"])
        again = search([*SEARCH, "--seed=2", f"--run.folder={root / 'again'}"])
        nasbench = search([*NASBENCH, f"--run.folder={root / 'nasbench'}"])
        text = search([*TEXT, f"--run.folder={root / 'text'}"])
        cell = f"--genotype={images / 'genotype.json'}"
        trained = evaluate([*TRAINING, cell, f"--run.folder={root / 'trained'}"])
    return SimpleNamespace(
        root=root, images=images, again=again, nasbench=nasbench, text=text, trained=trained
    )


@pytest.fixture(scope="session")
def small_study(made, tmp_path_factory):
    """Return the folder of a study: a method with two seeds and a training, a random cell."""
    root = tmp_path_factory.mktemp("studies") / "small"
    for name, source in (
        ("darts-prime-1/search", made.images), ("darts-prime-1/evaluate", made.trained),
        ("darts-prime-2/search", made.again), ("random-cells-1/evaluate", made.trained),
    ):  # fmt: skip
        shutil.copytree(source, root / name)
    results = [
        Result("DARTS-PRIME", 1, 1, 0.5, 100, 1000, 3.0, 4.0, "a", "x"),
        Result("DARTS-PRIME", 2, 1, 0.7, 300, 3000, 3.0, 4.0, "b", "y"),
        Result("random cells", 1, 1, 0.4, 200, 2000, 0.0, 4.0, "c", "z"),
    ]
    rows = summarise(results, "DARTS-PRIME")
    write_tables(root, results, rows, ["a note below the table"], "DARTS-PRIME")
    return root


@pytest.fixture
def without_library(monkeypatch):
    """Leave out the plotting library, which takes seconds to bundle, where nothing is drawn."""
    monkeypatch.setattr("lnas.report.page.plotting_library", lambda: "")
    return vega
