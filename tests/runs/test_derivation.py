"""Another criterion derives from a finished search and changes nothing of it."""

import torch

from lnas.derivation import RandomChoice, SelectionContext
from lnas.genotype import Genotype
from lnas.relaxations import Softmax
from lnas.runs.derivation import derive
from lnas.runs.training import search
from lnas.spaces import NasBench201Space
from lnas.studies.graph import criterion_options
from lnas.supernet import Architecture

OPTIONS = [
    "--config=darts_nasbench201", "--data=lnas.data.FakeImages", "--data.images=48",
    "--data.shape=[3,8,8]", "--data.batch_size=8", "--trainer.max_epochs=9",
    "--trainer.logger=false", "--model.supernet.init_args.channels=2",
    "--model.supernet.init_args.cells=1", "--model.architecture_optimizer.init_args.lr=0.0",
    # An architecture that never moves: it stops behind the second of its nine epochs.
    "--trainer.callbacks=lnas.callbacks.StableRankingStop", "--trainer.callbacks.epochs=1",
    "--trainer.callbacks+=lnas.callbacks.DeriveGenotype",
]  # fmt: skip


def test_a_criterion_derives_from_a_search_of_two_ranks_that_stopped_early(tmp_path):
    run = search([*OPTIONS, f"--run.folder={tmp_path / 'run'}"])
    last = run / "checkpoints/last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["epoch"] < 8
    checkpoint["search"]["ranks"] *= 2  # as if two processes had searched
    torch.save(checkpoint, last)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    own = criterion_options(
        {"class_path": "lnas.derivation.RandomChoice", "init_args": {"seed": 4}}
    )
    options = ["--config", str(run / "config.yaml"), *own, f"--run.folder={tmp_path / 'derived'}"]
    folder = derive(run, options)
    space = NasBench201Space()
    context = SelectionContext(Architecture(space, Softmax()), seed=0)
    expected = space.derive(RandomChoice(4).scores(context))
    assert Genotype.load(folder / "genotype.json") == expected
    assert not (folder / "metrics.csv").exists()  # nothing was trained
    assert not list(folder.rglob("*.ckpt"))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
