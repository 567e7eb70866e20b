"""LiveTerminal: a run in a terminal, drawn anew by a slow clock.

Lightning's RichProgressBar reads every shown value from the device behind each batch, and draws
from a thread of its own up to a hundred times a second. Here a batch only looks at the clock.
Values are read, cells derived and the screen drawn when it says so, and the pause behind a drawing
is PAUSE times as long as the drawing took: it never costs more than half a percent of a run. The
cursor stays visible, so that a run which is killed leaves the terminal as it was.

Other callbacks print through `rich.get_console()`: their lines then stand above the living ones.
"""

import time
from collections.abc import Callable
from typing import Any, final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich import get_console
from rich.console import Console
from rich.live import Live

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.search import SearchModule
from lnas.search.records import architecture_row
from lnas.tasks import Task
from lnas.visualize.terminal import CellLine, Screen, node_texts

PAUSE = 200
# How a name in the logs begins or ends, and what a person calls the stream.
STREAMS = {
    "": ("{}", "eval/{}", "{}_weights"),
    "architecture": ("{}_architecture",),
    "held out": ("search/held_out_{}", "eval/val_{}"),
}


class Pace:
    """How fast a run is: counts time from the first step on, which alone fills caches."""

    def __init__(self) -> None:
        self.start = self.since = time.monotonic()
        self.first = self.done = 0

    def count(self, done: int) -> None:
        """Take note that so many steps are done, those of earlier processes among them."""
        if not self.first:
            self.first, self.since = done, time.monotonic()
        self.done = done

    @property
    def elapsed(self) -> float:
        """Seconds since the start of this process's part."""
        return time.monotonic() - self.start

    @property
    def seconds(self) -> float | None:
        """Seconds that a step takes, with all that comes between; None before two are known."""
        counted = self.done - self.first
        return (time.monotonic() - self.since) / counted if counted > 0 else None

    def left(self, total: int) -> float | None:
        """Return the seconds until so many steps are done."""
        return None if self.seconds is None else self.seconds * max(0, total - self.done)


@final
class LiveTerminal(ProgressBar):
    """Shows how far a run is and what it measures; for a search also what it would derive now.

    Args:
        every: Least seconds between two drawings.
        console: Where to draw; None is rich's own.

    Raises:
        InputError: `every` is negative.
    """

    def __init__(self, every: float = 1.0, console: Console | None = None) -> None:
        super().__init__()
        if every < 0:
            raise InputError(f"every={every} is no number of seconds; give 0 or more.")
        self.every, self.console = every, console
        self.pace = Pace()
        self._enabled = True
        self._live: Live | None = None
        self._due = 0.0
        self._batch = ""

    def disable(self) -> None:
        """Draw nothing: Lightning asks all ranks but the first to."""
        self._enabled = False

    def enable(self) -> None:
        """Draw."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the run at its start, or where it goes on."""
        self._open()
        self._draw(lambda: self._fit(trainer, pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step, and look at the clock."""
        batches = int(trainer.num_training_batches)
        self.pace.count(trainer.current_epoch * batches + batch_idx + 1)
        self._batch = f"step {batch_idx + 1}/{batches}"
        if self._is_due():
            self._draw(lambda: self._fit(trainer, pl_module))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look at the clock."""
        if not trainer.sanity_checking and self._is_due():
            self._batch = (
                f"held-out batch {batch_idx + 1}/{trainer.num_val_batches[dataloader_idx]}"
            )
            self._draw(lambda: self._fit(trainer, pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen: what follows prints below it."""
        self._batch = ""
        self._draw(lambda: self._fit(trainer, pl_module))
        self._close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that the test begins."""
        self._open()
        self._draw(lambda: Screen("test", 0.0, self.pace.elapsed))

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch, and look at the clock."""
        done, batches = batch_idx + 1, int(trainer.num_test_batches[dataloader_idx])
        self.pace.count(done)
        if done == batches or self._is_due():
            left, details = self.pace.left(batches), [f"batch {done}/{batches}"]
            self._draw(lambda: Screen("test", done / batches, self.pace.elapsed, left, details))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let go of the screen."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let go of the screen: the reason is printed below it."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the screen."""
        self._close()

    def _fit(self, trainer: Trainer, module: LightningModule) -> Screen:
        epochs, batches = trainer.max_epochs or 0, int(trainer.num_training_batches)
        epoch = trainer.current_epoch
        # At the start of a resumed run nothing is counted yet.
        done, total = max(self.pace.done, epoch * batches), max(epochs * batches, 1)
        details = [self._batch] if self._batch else []
        if self.pace.seconds:
            details.append(pace_text(self.pace.seconds))
        return Screen(
            f"epoch {min(epoch + 1, epochs)}/{epochs}",
            min(1.0, done / total),
            self.pace.elapsed,
            self.pace.left(total),
            details,
            value_texts(trainer.progress_bar_metrics | trainer.callback_metrics, module),
            cell_lines(module) if isinstance(module, SearchModule) else (),
        )

    def _open(self) -> None:
        self._close()
        self.pace, self._due, self._batch = Pace(), 0.0, ""
        if self._enabled:
            self._live = Live(console=self.console or get_console(), auto_refresh=False)
            self._live.start()
            self._live.console.show_cursor(True)

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _is_due(self) -> bool:
        return self._live is not None and time.monotonic() >= self._due

    def _draw(self, screen: Callable[[], Screen]) -> None:
        if self._live is None:
            return
        begin = time.monotonic()
        self._live.update(screen(), refresh=True)
        end = time.monotonic()
        self._due = end + max(self.every, PAUSE * (end - begin))


def pace_text(seconds: float) -> str:
    """Return what a step takes as a person counts it, "5.3 steps/s" or "3.5 s/step"."""
    return f"{seconds:.1f} s/step" if seconds >= 1 else f"{1 / seconds:.1f} steps/s"


def value_texts(metrics: dict[str, Any], module: LightningModule) -> list[str]:
    """Return what each stream measures, as "held out: loss 0.412, accuracy 86.10%"."""
    task, texts = module.task, []
    assert isinstance(task, Task)
    measure = task.measure
    for stream, patterns in STREAMS.items():
        found = []
        for name in ("loss", measure.name):
            keys = [pattern.format(name) for pattern in patterns]
            value = next((float(metrics[key]) for key in keys if key in metrics), None)
            if value is not None:
                text = f"{value:.3f}" if name == "loss" else measure.text(value)
                found.append(f"{name} {text}")
        if found:
            texts.append((f"{stream}: " if stream else "") + ", ".join(found))
    return texts


def cell_lines(module: SearchModule) -> list[CellLine]:
    """Return what is known of each cell type of the supernet."""
    genotype = module.space.derive(magnitudes(module.architecture))
    row = architecture_row(module)
    return [
        CellLine(
            kind,
            row[f"arch/{kind}/entropy"],
            row.get(f"arch/{kind}/skip_share"),
            node_texts(genotype, kind),
        )
        for kind in genotype.cells
    ]
