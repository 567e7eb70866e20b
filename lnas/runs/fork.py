"""Going on with a search under other settings, in a folder of its own.

RobustDARTS-ADA (Zela et al., ICLR 2020, arXiv:1909.09656, section 5.2) multiplies the weight decay
when a search is stopped by its curvature, and goes on from the checkpoint. A fork is that
checkpoint with the new settings, the logs up to it, and no memory of why the search was stopped or
of what it had measured to that end. Deviation: the released code goes back to the checkpoint of the
epoch whose architecture it restores; here the logits go back and the weights do not.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnas.callbacks import AtomicCheckpointIO
from lnas.callbacks.early_stop import EarlyStop
from lnas.runs.folder import LAST, save_settings

OPTIMIZERS = ("weight_optimizer", "architecture_optimizer")
FORGOTTEN = ("HessianEigenvalue",)  # what the next stop is decided by begins anew
HISTORY = ("metrics.csv", "genotypes.jsonl", "gates.jsonl")


def fork(run: Path, folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a run folder that goes on, by `--resume`, where another search has ended.

    Args:
        run: The folder of a search.
        folder: The new folder, which appears complete or not at all.
        settings: The settings of the new run.

    Raises:
        InputError: The search has no checkpoint that can be read.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(run / LAST)
    _forget(checkpoint)
    _set_rates(checkpoint, settings)
    half = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for name in HISTORY:
        if (run / name).is_file():
            shutil.copyfile(run / name, half / name)
    AtomicCheckpointIO().save_checkpoint(checkpoint, half / LAST)
    save_settings(half, settings)
    half.rename(folder)


def stops() -> list[type]:
    """Return all kinds of early stops."""
    found: list[type] = []
    kinds: list[type] = [EarlyStop]
    while kinds:
        found.append(kinds.pop())
        kinds += found[-1].__subclasses__()
    return found


def _forget(checkpoint: dict[str, Any]) -> None:
    """Take out the state of what stops a search, and of what it has measured to that end."""
    names = {kind.__qualname__ for kind in stops()} | set(FORGOTTEN)
    states = checkpoint["callbacks"]
    for key in [key for key in states if key.partition("(")[0].partition("{")[0] in names]:
        del states[key]


def _set_rates(checkpoint: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Give the optimizers the numbers of the new settings; a checkpoint has those of the old."""
    for name, state in zip(OPTIMIZERS, checkpoint["optimizer_states"], strict=True):
        given = (settings["model"].get(name) or {}).get("init_args") or {}
        for group in state["param_groups"]:
            for option in given.keys() & group.keys():
                value = given[option]
                group[option] = tuple(value) if isinstance(value, list) else value
