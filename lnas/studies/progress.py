"""The progress bars of a study: the whole and the run under way; quiet without a terminal.

Each trial counts as one unit for its search and one for its evaluation, whatever they cost.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class StudyProgress(Callback):
    """Shows how far a study is, and how far the run under way.

    Args:
        console: Where to draw.
        runs: Number of runs of the study, searches and evaluations.
    """

    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._whole = self._bar.add_task("study", total=runs)
        self._run: TaskID | None = None
        self._finished = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bars while the block runs."""
        with self._bar:
            yield

    @contextmanager
    def run(self, title: str) -> Iterator[None]:
        """Show one run, by its title, while the block runs; it then counts as finished."""
        self._run = self._bar.add_task(title, total=1.0)
        if not self._console.is_terminal:
            self._console.print(title)
        try:
            yield
        finally:
            self._bar.remove_task(self._run)
            self._run = None
        self._finished += 1
        self._bar.update(self._whole, completed=self._finished)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Move both bars on."""
        batches = float(trainer.num_training_batches)
        progress = (trainer.current_epoch + (batch_idx + 1) / batches) / (trainer.max_epochs or 1)
        if self._run is not None:
            self._bar.update(self._run, completed=progress)
        self._bar.update(self._whole, completed=self._finished + progress)
