"""ArchitecturePictures: gates over time per edge, and the search at a glance.

The history of the gates is kept in `gates.jsonl` of the run folder, not in the checkpoint.
"""

from pathlib import Path
from typing import Any, final

import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import tensor

from lnas.errors import InputError
from lnas.loggers import JsonLines, MetricsCsv, log_histogram, log_picture, read_rows
from lnas.search import SearchModule
from lnas.visualize import draw_gates, draw_glance


@final
class ArchitecturePictures(Callback):
    """Draws `pictures/gates.png` and `pictures/glance.png`; logs histograms of the gates per edge.

    Args:
        every: Epochs between drawings; the end of the search is always drawn.

    Raises:
        InputError: `every` is below 1.
    """

    FILE = "gates.jsonl"

    def __init__(self, every: int = 5) -> None:
        if every < 1:
            raise InputError(f"every={every} is no number of epochs; give 1 or more.")
        self.every = every
        self._lines = 0
        self._file: JsonLines | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the epochs that the checkpoint knows of."""
        if trainer.is_global_zero:
            self._file = JsonLines(Path(trainer.default_root_dir) / self.FILE)
            self._file.rewind(self._lines)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the gates of the epoch; draw when it is time."""
        assert isinstance(pl_module, SearchModule)
        self._lines += 1
        if self._file is None:
            return
        gates = {
            name: values.detach().cpu()
            for name, values in pl_module.architecture.probabilities().items()
        }
        self._file.append(
            {
                "epoch": trainer.current_epoch,
                "step": pl_module.steps,
                "gates": {name: values.tolist() for name, values in gates.items()},
            }
        )
        for name, values in gates.items():
            log_histogram(trainer, f"arch/{name}/gates", values, pl_module.steps)
            for edge, row in zip(pl_module.space.edges, values, strict=True):
                log_histogram(trainer, f"arch/{name}/gates/{edge.name}", row, pl_module.steps)
        if (trainer.current_epoch + 1) % self.every == 0:
            self._draw(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the whole search."""
        assert isinstance(pl_module, SearchModule)
        if self._file is not None and self._lines:
            self._draw(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of epochs noted."""
        return {"lines": self._lines}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._lines = int(state_dict["lines"])

    def _draw(self, trainer: Trainer, module: SearchModule) -> None:
        assert self._file is not None
        folder = Path(trainer.default_root_dir)
        pictures = folder / "pictures"
        history = [
            {name: tensor(values) for name, values in line["gates"].items()}
            for line in self._file.read()
        ]
        draw_gates(history, module.space, pictures / "gates.png")
        log_picture(trainer, "gates", pictures / "gates.png", module.steps)
        if (folder / MetricsCsv.FILE).is_file():
            rows = pd.DataFrame(read_rows(folder / MetricsCsv.FILE))
            draw_glance(rows, pictures / "glance.png", module.task.measure)
            log_picture(trainer, "glance", pictures / "glance.png", module.steps)
