"""BenchmarkAccuracy: what a tabular benchmark knows of the cell that each epoch would give.

It only tells: its numbers go to the loggers and nowhere else, so that no monitor of the trainer,
criterion or choice can read them, and a search without it finds the same cell.
"""

from typing import Literal, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.benchmarks import NasBench201Benchmark
from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.search import SearchModule

Datasets = Literal["cifar10", "cifar100", "imagenet16"]


@final
class BenchmarkAccuracy(Callback):
    """Logs `search/true_accuracy` and `search/regret` per epoch, both in [0, 1].

    The regret is how far the cell is below the best one of the searched space.

    Args:
        dataset: The data set that the benchmark is asked about.
        root: Folder of the table; None takes the environment variable LNAS_DATA.

    Raises:
        InputError: There is no table, or the search is in another space.
    """

    def __init__(self, dataset: Datasets = "cifar10", root: str | None = None) -> None:
        self.dataset, self.root = dataset, root
        self.best = 0.0
        self._benchmark: NasBench201Benchmark | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Open the table, and find the best accuracy of the space."""
        assert isinstance(pl_module, SearchModule)
        space = pl_module.space
        if space.name != "nasbench201":
            raise InputError(
                f"BenchmarkAccuracy knows the space nasbench201, not {space.name}; leave it out."
            )
        self._benchmark = self.open()
        self.best = self._benchmark.statistics(self.dataset, space.operations).best

    def open(self) -> NasBench201Benchmark:
        """Return the benchmark.

        Raises:
            InputError: There is no table.
        """
        return NasBench201Benchmark(self.root)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up the cell."""
        assert isinstance(pl_module, SearchModule)
        assert self._benchmark is not None
        genotype = pl_module.space.derive(magnitudes(pl_module.architecture))
        accuracy = self._benchmark.query(genotype, self.dataset).test_accuracy
        log_row(
            trainer,
            {
                "search/step": pl_module.steps,
                "search/epoch": trainer.current_epoch,
                "search/true_accuracy": accuracy,
                "search/regret": self.best - accuracy,
            },
        )
