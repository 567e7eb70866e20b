"""The two kinds of runs: `search` and `evaluate`, each from options to a finished folder."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from lnas.callbacks.run_card import FILE as CARD
from lnas.errors import InputError, NonFiniteError
from lnas.evaluation import EvaluationModule
from lnas.loggers import FolderLogger
from lnas.runs.command_line import RunCli
from lnas.runs.config_file import read_config
from lnas.runs.folder import BEST, CONFIG, LAST
from lnas.runs.parts import is_first_process
from lnas.runs.ranks import watch_children
from lnas.runs.shipped import data_class, expand_configs
from lnas.search import SearchModule
from lnas.tasks import Measure

RUNS = Path("runs")
DEFAULT_DATA = "lnas.data.Digits"
# Advice of libraries to programmers; what a user can act on is an InputError or a logged line.
SILENT = (
    r".*does not have many workers",
    r".*Checkpoint directory .* exists and is not empty",
    r".*The number of training batches",
    r".*It is recommended to use `self.log",  # what is logged has been gathered before
    r".*Total length of `list` across ranks is zero",  # nothing is held out
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
    r".*GPU available but not used",
    r"(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",  # of what Lightning calls
    r"(?s).*jsonargparse",
    r"(?s).*was deprecated in v4",
)


def search(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> Path:
    """Search an architecture.

    Args:
        arguments: What follows `lnas search`.
        callbacks: Further callbacks, as a study's progress bar.

    Returns:
        The run folder, with the genotype in it.
    """
    cli = prepare("search", arguments, callbacks)
    watch_children(cli.trainer.strategy)
    with named_errors(cli.folder):
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=_checkpoint(cli))
    close_loggers(cli.trainer)
    return cli.folder


def evaluate(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> Path:
    """Train a derived network from scratch, then test it once.

    Args:
        arguments: What follows `lnas evaluate`.
        callbacks: Further callbacks, as a study's progress bar.

    Returns:
        The run folder.
    """
    cli = prepare("evaluate", arguments, callbacks)
    watch_children(cli.trainer.strategy)
    with named_errors(cli.folder):
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=_checkpoint(cli))
        best = cli.folder / BEST if cli.model.reports == "best" else None
        path = str(best) if best is not None and best.is_file() else None
        cli.trainer.test(cli.model, datamodule=cli.datamodule, ckpt_path=path, verbose=False)
    close_loggers(cli.trainer)
    return cli.folder


def print_result(folder: Path) -> None:
    """Print what an evaluation found, once for all ranks."""
    if is_first_process():
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        measure, result = Measure(**card["measure"]), card["results"]
        Console(soft_wrap=True, highlight=False).print(
            f"Test {measure.name} {measure.text(result[f'eval/test_{measure.name}'])}, "
            f"{result['eval/parameters']:,} parameters, {result['eval/multiply_adds']:,} "
            f"multiply-adds: {folder}"
        )


def settings_of(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the effective settings that `lnas COMMAND ARGUMENTS` would run with.

    Raises:
        InputError: An option is wrong.
    """
    return prepare(command, arguments, only_settings=True).settings


def stated_of(command: str, arguments: Sequence[str]) -> list[Any]:
    """Return the options, with the content of the configs that they name in the place of these.

    Nobody's defaults are in it: unlike the effective settings it does not change when a class gets
    another argument.

    Raises:
        InputError: There is no such config.
    """
    expanded, _ = expand_configs(arguments, _kinds(command))
    return [
        read_config(Path(word)) if before in ("--config", "-c") else word
        for before, word in pairwise(["", *expanded])
    ]


def prepare(
    command: str,
    arguments: Sequence[str],
    callbacks: Sequence[Callback] = (),
    only_settings: bool = False,
) -> RunCli:
    """Parse the options and make trainer, module and data."""
    model_class = SearchModule if command == "search" else EvaluationModule
    expanded, names = expand_configs(_resumed(command, arguments), _kinds(command))
    expanded.insert(0, f"--data={data_class(expanded, DEFAULT_DATA)}")
    default = RUNS / "-".join([command, *dict.fromkeys(names)])
    with _quiet():
        return RunCli(model_class, expanded, default, callbacks, only_settings)


def _kinds(command: str) -> tuple[str, str]:
    """Return the kinds of shipped configs that a command's short names mean."""
    return "search" if command == "search" else "evaluation", "data"


def _resumed(command: str, arguments: Sequence[str]) -> list[str]:
    """Put the settings of the run that is resumed before all others.

    Raises:
        InputError: It is no run, or one of the other kind.
    """
    run = None
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--resume":
            run = value if equals else next(iter(arguments[index + 1 :]), "")
    if run is None:
        return list(arguments)
    file = Path(run) / CONFIG
    if not file.is_file():
        raise InputError(
            f"{run or '--resume'} is not the folder of a run: it has no {CONFIG}; "
            "give --resume the folder that the run printed."
        )
    kind = "search" if "space" in read_config(file).get("model", {}) else "evaluate"
    if kind != command:
        raise InputError(
            f"{run} is no folder of this command; continue it with `lnas {kind} --resume {run}`."
        )
    return ["--config", str(file), *arguments]


def _checkpoint(cli: RunCli) -> str | None:
    return None if cli.checkpoint is None else str(cli.checkpoint)


def close_loggers(trainer: Trainer) -> None:
    """Bring what loggers still hold to the disk; an error has them closed by Lightning."""
    for logger in trainer.loggers:
        if isinstance(logger, FolderLogger):
            logger.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what libraries say to programmers."""
    # Lightning's notes on devices, ranks and products, which it logs at the level "info".
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in SILENT:
            warnings.filterwarnings("ignore", message)
        yield


@contextmanager
def named_errors(folder: Path) -> Iterator[None]:
    """Turn Lightning's own refusals into input errors; say which checkpoint is good."""
    with _quiet():
        try:
            yield
        except MisconfigurationException as error:
            raise InputError(str(error)) from error
        except NonFiniteError as error:
            good = folder / LAST
            kept = f"the last good checkpoint is {good}" if good.is_file() else "no checkpoint yet"
            raise NonFiniteError(f"{error} ({kept})") from error
