"""GenotypeTrail: the genotype that each epoch would give, a line of `genotypes.jsonl`."""

import json
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import JsonLines, log_picture, log_table
from lnas.search import SearchModule
from lnas.visualize import draw_genotype

COLUMNS = ("epoch", "hash", "cell", "node", "operation", "source")


@final
class GenotypeTrail(Callback):
    """Derives behind each epoch by the magnitude of the gates, and logs a table and a picture.

    Args:
        pictures_every: Epochs between pictures of cells that stay as they are; those that have
            changed are drawn at once. 0 draws none.

    Raises:
        InputError: `pictures_every` is negative.
    """

    FILE = "genotypes.jsonl"

    def __init__(self, pictures_every: int = 5) -> None:
        if pictures_every < 0:
            raise InputError(f"pictures_every={pictures_every} is no number of epochs; give 0 up.")
        self.pictures_every = pictures_every
        self._lines = 0
        self._file: JsonLines | None = None
        self._drawn = ""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the lines that the checkpoint knows of."""
        if trainer.is_global_zero:
            self._file = JsonLines(Path(trainer.default_root_dir) / self.FILE)
            self._file.rewind(self._lines)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Derive, write and log on rank 0."""
        assert isinstance(pl_module, SearchModule)
        self._lines += 1
        if self._file is None or not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch
        genotype = pl_module.space.derive(magnitudes(pl_module.architecture))
        self._file.append(
            {
                "epoch": epoch,
                "step": pl_module.steps,
                "hash": genotype.hash,
                "genotype": json.loads(genotype.to_json()),
            }
        )
        log_table(trainer, "genotypes", COLUMNS, _rows(epoch, genotype), pl_module.steps)
        changed = genotype.hash != self._drawn
        if self.pictures_every and (changed or (epoch + 1) % self.pictures_every == 0):
            self._drawn = genotype.hash
            path = Path(trainer.default_root_dir) / "pictures" / f"genotype-{epoch:04d}.png"
            draw_genotype(genotype, path)
            log_picture(trainer, "genotype", path, pl_module.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of lines, and the hash of the cells that were drawn last."""
        return {"lines": self._lines, "drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._lines, self._drawn = int(state_dict["lines"]), str(state_dict["drawn"])


def _rows(epoch: int, genotype: Genotype) -> list[list[Any]]:
    return [
        [epoch, genotype.hash, kind, node, operation, source]
        for kind in genotype.cells
        for node, source, operation in genotype.edges(kind)
    ]
