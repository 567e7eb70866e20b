"""Runs a study: every run that is not finished yet, several at a time, each when its turn comes.

Nothing is remembered but what stands in the run folders. A study that was killed, at whatever
point, goes on with the same command: what is finished is not repeated, what was under way goes on
from its checkpoint, and what had not begun starts.
"""

import fcntl
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lnas.derivation import RandomChoice, SelectionContext
from lnas.errors import InputError, Interrupted
from lnas.relaxations import Softmax
from lnas.runs.fork import fork
from lnas.spaces import SearchSpace
from lnas.studies.engine import Engine, Handle
from lnas.studies.graph import Run, Trial, runs_of
from lnas.studies.plan import Study
from lnas.studies.process import Job
from lnas.studies.progress import StudyProgress
from lnas.studies.signals import Received, noted_signals
from lnas.studies.state import check_plan, clear, effective_settings, is_finished, space_of, to_do
from lnas.supernet import Architecture

PERIOD = 0.2  # seconds
LOCK = "study.lock"
CHANCES = 3  # how often a run that was lost with its machine is started again


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end.

    Args:
        run: The run.
        code: Its exit code, negative for a signal.
        reason: The last line that it printed.
    """

    run: Run
    code: int
    reason: str

    def __str__(self) -> str:
        return f"{self.run.title} failed ({self.reason}); see {self.run.log}"


def run_study(
    study: Study, planned: Sequence[Trial], engine: Engine, progress: StudyProgress
) -> list[Failure]:
    """Run what is not finished yet.

    Args:
        study: The study.
        planned: Its trials.
        engine: Starts the processes.
        progress: Is told what goes on.

    Returns:
        The runs that failed; those that waited for them were not started.

    Raises:
        InputError: An option is wrong, or a run was made with other settings.
        Interrupted: A signal came; the runs under way have written their checkpoints.
    """
    runs = runs_of(planned)
    check_plan(study, runs)
    with only_study(study.root), noted_signals() as received:
        drawn = [trial for trial in planned if not trial.searches]
        space = space_of(study.variants[0]) if drawn else None
        for trial in drawn:
            assert space is not None
            draw_cell(space, trial)
        waiting: list[Run] = []
        for run in runs:
            if run.after in waiting or to_do(run, study.overwrite) is not None:
                waiting.append(run)
        progress.begin(len(runs), len(runs) - len(waiting))
        return _Schedule(study, engine, progress, received, waiting).run()


class _Schedule:
    """The runs that wait, those under way, and those that failed."""

    def __init__(
        self,
        study: Study,
        engine: Engine,
        progress: StudyProgress,
        received: Received,
        waiting: Sequence[Run],
    ) -> None:
        self.study, self.engine, self.progress = study, engine, progress
        self.received = received
        self.waiting = list(waiting)
        self.active: dict[Run, Handle] = {}
        self.failures: list[Failure] = []
        self.lost: Counter[Run] = Counter()

    def run(self) -> list[Failure]:
        """Start and watch until nothing is left."""
        asked = 0
        try:
            while self.active or (self.waiting and not self.received.numbers):
                if not self.received.numbers:
                    self._start_what_may()
                self.engine.wait(list(self.active.values()), PERIOD)
                asked = self._pass_on_signals(asked)
                self._look()
        finally:
            for handle in self.active.values():
                handle.kill()
        if self.received.numbers:
            number = self.received.numbers[0]
            raise Interrupted(
                f"The study was interrupted by {signal.Signals(number).name}; its runs have their "
                "checkpoints: go on with the same command.",
                number,
            )
        return self.failures

    def _start_what_may(self) -> None:
        open_ = {*self.waiting, *self.active}
        for run in list(self.waiting):
            if len(self.active) >= self.study.jobs:
                return
            if run.after in open_:
                continue
            self.waiting.remove(run)
            if run.after is not None and any(run.after == one.run for one in self.failures):
                self.failures.append(Failure(run, 1, "what it starts from has failed"))
                continue
            self._start(run)

    def _start(self, run: Run) -> None:
        try:
            arguments = to_do(run, self.study.overwrite)
            if arguments is None:
                self.progress.settled()
                return
            if f"--run.folder={run.folder}" in arguments:
                clear(run)
                if run.go_on and run.after is not None:
                    fork(run.after.folder, run.folder, effective_settings(run))
                    arguments = [*run.arguments(), f"--resume={run.folder}"]
        except InputError as error:
            self.failures.append(Failure(run, 2, str(error)))
            return
        source = None if run.after is None else run.after.outcome.folder
        job = Job(run.kind, tuple(arguments), run.log, self.study.threads_each, source)
        self.active[run] = self.engine.start(job)
        self.progress.started(run.title)

    def _look(self) -> None:
        for run, handle in list(self.active.items()):
            code = handle.exit_code
            if code is None:
                self.progress.moved(run.title, handle.progress)
                continue
            del self.active[run]
            self.progress.ended(run.title)
            if code == 0 and is_finished(run):
                self.progress.settled()
                continue
            if handle.is_lost and self.lost[run] < CHANCES:
                self.lost[run] += 1
                self.waiting.insert(0, run)
                continue
            self.progress.settled()
            if not self.received.numbers:
                self.failures.append(Failure(run, code or 1, _reason(run, code)))

    def _pass_on_signals(self, asked: int) -> int:
        """Ask the runs to end at the first signal, end them at the second one."""
        count = len(self.received.numbers)
        if count > asked:
            for handle in self.active.values():
                handle.stop() if not asked and count == 1 else handle.kill()
        return count


@contextmanager
def only_study(root: Path) -> Iterator[None]:
    """Hold the study's folder; the system lets go of it however the process ends.

    Raises:
        InputError: Another process holds it, or it cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / LOCK).open("w")
    except OSError as error:
        raise InputError(
            f"Cannot write {root}: {error.strerror}; choose another --folder for the study."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"Another process runs the study in {root}; wait for it, or choose another "
                "--folder."
            ) from error
        yield


def draw_cell(space: SearchSpace, trial: Trial) -> None:
    """Write a randomly drawn genotype of the space into the trial's folder."""
    architecture = Architecture(space, Softmax())
    context = SelectionContext(architecture=architecture, seed=trial.seed)
    space.derive(RandomChoice(trial.seed).scores(context)).save(trial.genotype)


def _reason(run: Run, code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    try:
        lines = run.log.read_text(encoding="utf-8", errors="replace").split("\n== ")[-1]
    except OSError:
        lines = ""
    said = [line.strip() for line in lines.splitlines() if line.strip()]
    last = said[-1].removeprefix("lnas: ") if said else "without a word"
    return last if code else f"it left no result; it said last: {last}"
