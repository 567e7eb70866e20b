"""The folder of a run: never overwritten unless asked, resumed with equal settings only.

A run folder holds `config.yaml` (the effective settings), `metrics.csv`, `checkpoints/`,
`genotype.json` and its pictures, `run_card.json` and `wandb/`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, final

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.errors import InputError
from lnas.files import remove_temporary, write_text, writing

CONFIG = "config.yaml"
CARD = "run_card.json"
LAST, BEST = Path("checkpoints/last.ckpt"), Path("checkpoints/best.ckpt")
# What only a run puts into its folder: without one of these, a folder is somebody else's.
MARKS = (CONFIG, CARD, "metrics.csv", "checkpoints")
SHOWN = 8
SPACE = 100_000  # bytes that must fit; a checkpoint takes more


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the effective settings of the run in `folder`.

    Raises:
        InputError: It is not a run's folder.
    """
    try:
        settings = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{folder} is not the folder of a run that can be resumed ({CONFIG} cannot be read: "
            f"{error}); give --resume the folder that the run printed."
        ) from error
    if not isinstance(settings, dict):
        raise InputError(f"{folder / CONFIG} holds no settings; give --resume a run's folder.")
    return settings


def read_card(folder: Path) -> dict[str, Any]:
    """Return a run's card; empty when there is none yet."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings as dotted names; lists count their members."""
    if isinstance(settings, Mapping) and settings:
        items = [(str(key), value) for key, value in settings.items()]
    elif isinstance(settings, list) and settings:
        items = [(str(index), value) for index, value in enumerate(settings)]
    else:
        return {prefix: settings}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f"{prefix}.{key}" if prefix else key)
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one text per setting that is not the same in both, by name."""
    old, new = flat(before), flat(now)
    return [
        f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "absent") != new.get(name, "absent")
    ]


def check_settings(folder: Path, settings: Mapping[str, Any], allow_changes: bool) -> None:
    """Refuse to resume the run in `folder` with other settings.

    Raises:
        InputError: Settings differ and that was not asked for; the message lists them.
    """
    changed = differences(read_settings(folder), settings)
    if changed and not allow_changes:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise InputError(
            f"{folder} was started with other settings: {'; '.join(changed[:SHOWN])}{more}; "
            "resume without them, or ask for the change with --run.allow_changes."
        )


def check_new_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that a new run cannot have; nothing is made or removed.

    Raises:
        InputError: The folder is in use and may not be overwritten, or cannot be written.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file; choose another --run.folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not any((folder / mark).exists() for mark in MARKS):
            raise InputError(
                f"{folder} holds files that are not a run's; choose another --run.folder."
            )
        if not overwrite:
            raise InputError(
                f"The run folder {folder} exists; continue it with --resume {folder}, replace it "
                "with --run.overwrite, or choose another --run.folder."
            )
    # Writing is tried now, not after the first epoch.
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    with writing(folder), TemporaryFile(dir=there) as file:
        file.write(bytes(SPACE))


@final
class RunFolder(Callback):
    """Takes the run folder when the fit starts: a run that is refused before leaves no trace.

    Args:
        settings: The effective settings, written as `config.yaml`.
        folder: The run folder.
        new: A new run: what an earlier one left in the folder is removed.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path, new: bool) -> None:
        self.settings, self.folder = settings, folder
        # Some loggers begin to write before the fit starts: what comes from now on is of this run.
        self.leftovers = sorted(folder.rglob("*"), reverse=True) if new else []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Empty the folder, or take out what a kill left half written; write the settings."""
        if not trainer.is_global_zero:
            return
        with writing(self.folder):
            for path in self.leftovers:
                if path.is_symlink() or not path.is_dir():
                    path.unlink(missing_ok=True)
                elif not any(path.iterdir()):
                    path.rmdir()
        remove_temporary(self.folder)
        save_settings(self.folder, self.settings)


def save_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the effective settings into the folder."""
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    write_text(folder / CONFIG, text)
