"""How checkpoints are written and read: never half, and never as a program.

A checkpoint holds plain data. It is read with `weights_only=True`, so that a file that carries a
pickled payload is refused before anything of it runs.
"""

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lnas.errors import InputError
from lnas.files import replacing

PARTS = ("state_dict", "loops", "callbacks", "optimizer_states")
UNREADABLE = (
    pickle.UnpicklingError, BadZipFile, RuntimeError, EOFError, ValueError, KeyError, TypeError,
    AttributeError, IndexError, OSError,
)  # fmt: skip


class AtomicCheckpointIO(TorchCheckpointIO):
    """A plugin of the Trainer: `Trainer(plugins=[AtomicCheckpointIO()])`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write beside `path`, then rename.

        Raises:
            InputError: The folder is full or read-only; an older checkpoint stays as it is.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | str | torch.device | None = "cpu",
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read plain data.

        Raises:
            InputError: There is no such file, it is damaged, carries code, or is no checkpoint.
        """
        if not Path(path).is_file():
            raise InputError(f"There is no checkpoint {path}; give the run folder that has one.")
        try:
            found: dict[str, Any]
            _check_sums(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of foreign pickles, which are refused
                found = torch.load(path, map_location=map_location, weights_only=True)
        except UNREADABLE as error:
            foreign = isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error)
            reason = "it carries code, or what else is no data" if foreign else "it is damaged"
            raise InputError(
                f"The checkpoint {path} cannot be read: {reason}; use one that lnas has written."
            ) from error
        # Lightning's launchers hand plain weights from process to process in such a file.
        handed_over = Path(path).name == ".temp.ckpt"
        complete = isinstance(found, dict) and all(part in found for part in PARTS)
        if not complete and not handed_over:
            raise InputError(
                f"{path} is not a checkpoint of a run; use checkpoints/last.ckpt of a run folder."
            )
        return found


def _check_sums(path: str | Path) -> None:
    """Compare the check sums of the parts; torch writes them and does not look at them."""
    if is_zipfile(path):
        with ZipFile(path) as parts:
            if parts.testzip() is not None:
                raise BadZipFile
