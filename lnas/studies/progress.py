"""The progress bars of a study: the whole and the runs under way; quiet without a terminal.

Each search, derivation and evaluation counts as one unit, whatever it costs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class StudyProgress:
    """Shows how far a study is, and each run under way.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._whole = self._bar.add_task("study", total=None)
        self._runs: dict[str, tuple[TaskID, float]] = {}
        self._finished = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bars while the block runs."""
        with self._bar:
            yield

    def begin(self, runs: int, finished: int) -> None:
        """Say how many runs the study has, and how many were finished before."""
        self._finished = finished
        self._bar.update(self._whole, total=runs, completed=finished)

    def started(self, title: str) -> None:
        """Show a run."""
        self._runs[title] = (self._bar.add_task(title, total=1.0), 0.0)
        if not self._console.is_terminal:
            self._console.print(title)

    def moved(self, title: str, progress: float) -> None:
        """Move a run's bar, and that of the whole, to a progress in [0, 1]."""
        task, _ = self._runs[title]
        self._runs[title] = (task, progress)
        self._bar.update(task, completed=progress)
        self._draw_whole()

    def ended(self, title: str) -> None:
        """Take a run's bar away."""
        task, _ = self._runs.pop(title)
        self._bar.remove_task(task)

    def settled(self) -> None:
        """Count a run that needs no more time: it is finished, has failed, or cannot begin."""
        self._finished += 1
        self._draw_whole()

    def _draw_whole(self) -> None:
        under_way = sum(progress for _, progress in self._runs.values())
        self._bar.update(self._whole, completed=self._finished + under_way)
