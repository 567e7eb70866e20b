"""GracefulStop: Ctrl-C and SIGTERM end a run behind a batch, with a checkpoint.

The handler only sets a flag. Behind each batch the ranks agree (Lightning's own handler would
communicate within the handler, and hang), write `last.ckpt` and leave with `Interrupted`. A second
signal ends the process at once; `last.ckpt` is then the one before.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lnas.callbacks.checkpoints import is_last_batch, last_checkpoint, save
from lnas.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
VALIDATION = "epoch_loop.val_loop.batch_progress"


@final
class GracefulStop(Checkpoint):
    """Ends a fit or a test when a signal asks for it.

    It counts as a checkpoint callback so that Lightning calls it behind the others; give it behind
    `Checkpoints`, so that the checkpoint of an epoch is complete when it leaves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self._active = False
        self._before: dict[signal.Signals, Any] = {}
        self._in_validation = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the handlers; the ones before come back at the end."""
        self.received = 0
        if not self._active:
            now = {number: signal.getsignal(number) for number in SIGNALS}
            self._before = {n: signal.SIG_DFL if h is None else h for n, h in now.items()}
            self._active = True
        self._install()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install again: Lightning has put its own handlers on top."""
        self._install()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install again."""
        self._install()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Leave; behind the last batch, validation or the end of the epoch does."""
        if not is_last_batch(trainer, batch_idx) and self._asked(trainer):
            self._leave(trainer, saving=True)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Leave with a checkpoint that starts this validation again."""
        if not trainer.sanity_checking and self._asked(trainer):
            fitting = trainer.state.fn == "fit"
            self._in_validation = fitting
            self._leave(trainer, saving=fitting)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave behind the epoch."""
        if self._asked(trainer):
            self._leave(trainer, saving=True)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Leave; the training's last checkpoint stands, and the test starts again."""
        if self._asked(trainer):
            self._leave(trainer, saving=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Within validation, note its first batch as under way: Lightning then starts it again."""
        if self._in_validation:
            progress = checkpoint["loops"]["fit_loop"][VALIDATION]
            for count in ("total", "current"):
                progress[count] = {"ready": 1, "completed": 0, "started": 1, "processed": 0}
            progress["is_last_batch"] = False

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave if a signal came during the derivation, which has ended properly."""
        self._restore()
        if self._asked(trainer):
            self._leave(trainer, saving=False)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Put the handlers of before back."""
        self._restore()

    def _install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Who started this process with a signal ignored wants it to stay so.
                if self._before.get(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def _restore(self) -> None:
        if not self._active or threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._active = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._active:  # behind an error, Lightning puts this handler back once more
            signal.signal(number, self._before[signal.Signals(number)])
            os.kill(os.getpid(), number)
        elif self.received:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            self.received = number

    def _asked(self, trainer: Trainer) -> bool:
        """Whether any rank got a signal; every rank must ask."""
        if trainer.world_size > 1:
            flag = torch.tensor(self.received, device=trainer.strategy.root_device)
            self.received = int(trainer.strategy.reduce(flag, reduce_op="max"))
        return self.received > 0

    def _leave(self, trainer: Trainer, saving: bool) -> None:
        number = self.received
        if saving:
            save(trainer, last_checkpoint(trainer))
        name = signal.Signals(number).name
        raise Interrupted(
            f"Interrupted by {name}; go on with --resume {trainer.default_root_dir}.", number
        )
