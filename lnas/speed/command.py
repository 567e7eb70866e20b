"""`lnas speed`: times the search step on this machine, and prints ratios with their spread."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

import torch
from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lnas.errors import InputError
from lnas.runs.folder import RunFolder
from lnas.runs.shipped import data_class, expand_configs
from lnas.runs.training import named_errors, prepare
from lnas.speed.clock import ORACLE, Clock
from lnas.speed.overhead import Overhead, in_steps

DESCRIPTION = """\
Times the supernet of a search: forward pass, weight step, architecture step and that of second
order; by the oracle (one operation of one edge at a time, as public implementations do), by the
fused path, and by the fused path with compiled kernels; launches also by the way that a GPU would
take, with edges batched. Further options are those of `lnas search`;
what they leave open is DARTS at the paper's size, on made-up images of CIFAR-10's size.

  lnas speed
  lnas speed --rounds 5 --threads 1 --batch-size 16
  lnas speed --config darts_nasbench201
  lnas speed --overhead
"""
COMPILE = "time both steps with cells compiled by torch.compile, too: minutes for each cell first"
OVERHEAD = "time whole steps of the search, callbacks and a row of the logs each, and bare ones"
MEBI = 2**20


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `lnas speed --help`.")


def speed_command(arguments: Sequence[str]) -> int:
    """Run `lnas speed ...` and return the exit code, 0.

    Raises:
        InputError: An option cannot be used.
    """
    given, options = _parser().parse_known_args(list(arguments))
    for name in ("rounds", "threads", "batch_size"):
        if getattr(given, name) < 1:
            asked = f"--{name.replace('_', '-')} {getattr(given, name)}"
            raise InputError(f"{asked} is too small; give 1 or more.")
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    console = Console(highlight=False, width=120 if given.markdown else None)
    measure = measured_overhead if given.overhead else partial(measured, cells=given.compile)
    try:
        with tempfile.TemporaryDirectory() as scratch, console.status("timing"):
            found = measure(options, given.rounds, given.batch_size, Path(scratch) / "run")
    finally:
        torch.set_num_threads(before)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    console.print(
        f"torch {torch.__version__}, {given.threads} threads, load {load:.1f}, "
        f"batches of {given.batch_size}, {given.rounds} rounds"
    )
    if isinstance(found, Overhead):
        share, low, high = found.share()
        console.print(
            f"step of the search {median(found.whole):.3f} s, bare {median(found.bare):.3f} s: "
            f"overhead {share:.1%} (rounds {low:.1%} to {high:.1%})"
        )
        return 0
    console.print(table(found, given.markdown))
    console.print(
        "times: how often the oracle's time holds this one, and the smallest and largest of the "
        "rounds; launches: of torch's operators; MiB: kept for the backward pass"
    )
    return 0


def measured(
    arguments: Sequence[str], rounds: int, batch_size: int, folder: Path, cells: bool = False
) -> Clock:
    """Search with a clock as strategy: one batch to warm up, `rounds` that are timed.

    Args:
        arguments: Options of a search; what they leave open is DARTS on made-up images.
        rounds: Batches that are timed.
        batch_size: Images of a batch.
        folder: Where the run may write.
        cells: Whether both steps are also timed with cells compiled by torch.compile.

    Raises:
        InputError: An option cannot be used.
    """
    options = _options(arguments, rounds + 1, batch_size, folder)
    cli = prepare("search", [*options, "--trainer.logger=false", "--trainer.callbacks=[]"])
    strategy = cli.model.strategy
    if cells and not hasattr(cli.model.supernet, "cells"):
        raise InputError(
            f"--compile compiles the cells of a stack, and {type(cli.model.supernet).__name__} is "
            "none; leave it out."
        )
    clock = Clock(strategy.moves_architecture, strategy.reads_architecture_stream, cells)
    cli.model.strategy = clock
    trainer: Any = cli.trainer
    trainer.callbacks = [c for c in trainer.callbacks if isinstance(c, RunFolder)]
    with named_errors(folder):
        trainer.fit(cli.model, datamodule=cli.datamodule)
    _require(max((len(t.seconds[ORACLE]) for t in clock.timings.values()), default=0), rounds)
    return clock


def measured_overhead(
    arguments: Sequence[str], rounds: int, batch_size: int, folder: Path
) -> Overhead:
    """Search, and take each step bare as well; see `measured` for the arguments.

    Raises:
        InputError: An option cannot be used, or the strategy is not FirstOrder.
    """
    options = ["--trainer.logger=false", *_options(arguments, rounds + 2, batch_size, folder)]
    cli = prepare("search", [*options, "--trainer.log_every_n_steps=1"])
    cli.model.strategy = overhead = Overhead(cli.model.strategy)
    trainer: Any = cli.trainer
    trainer.callbacks = [c for c in trainer.callbacks if isinstance(c, RunFolder) or in_steps(c)]
    with named_errors(folder):
        trainer.fit(cli.model, datamodule=cli.datamodule)
    del overhead.whole[:1], overhead.bare[:1]  # the first fills caches
    _require(len(overhead.whole), rounds)
    return overhead


def _require(found: int, rounds: int) -> None:
    """Refuse a measurement that the data ended too early.

    Raises:
        InputError: They did.
    """
    if found < rounds:
        raise InputError(
            f"The data were enough for {found} of {rounds} rounds; give more images, a smaller "
            "--batch-size or fewer --rounds."
        )


def _options(arguments: Sequence[str], batches: int, batch_size: int, folder: Path) -> list[str]:
    """Return the options of one epoch; what is left open is DARTS on made-up images."""
    options = list(arguments)
    if not any(one.split("=")[0] in ("--config", "-c") for one in options):
        options = ["--config", "darts", *options]
    expanded, _ = expand_configs(options, ("search", "data"))
    if not data_class(expanded, default=""):
        images = 4 * batch_size * (batches + 1)
        options.append("--data=lnas.data.FakeImages")
        options += ["--data.init_args.shape=[3,32,32]", f"--data.init_args.images={images}"]
    options += [f"--data.init_args.batch_size={batch_size}", f"--run.folder={folder}"]
    options += ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0"]
    options += [f"--trainer.limit_train_batches={batches}", "--trainer.enable_progress_bar=false"]
    return options


def table(clock: Clock, markdown: bool = False) -> Table:
    """Return the medians, the ratios to the oracle with their spread, and what else was counted."""
    made = Table(
        box=MARKDOWN if markdown else SIMPLE_HEAD, padding=(0, 1), pad_edge=markdown,
        collapse_padding=not markdown,
    )  # fmt: skip
    for name in ("pass", "way"):
        made.add_column(name, no_wrap=True)
    for name in ("seconds", "times", "rounds", "launches", "MiB"):
        made.add_column(name, justify="right", no_wrap=True)
    for kind, timing in clock.timings.items():
        works = clock.work.get(kind, {})
        for way in timing.seconds | works:
            seconds = ratio = spread = ""
            if way in timing.seconds:
                seconds = f"{timing.median(way):.3f}"
                times, low, high = timing.ratios(way)
                ratio, spread = f"{times:.2f}", f"{low:.2f}–{high:.2f}"
            work = works.get(way)
            made.add_row(
                kind if way == ORACLE or markdown else "",
                way,
                seconds,
                ratio,
                "" if way == ORACLE else spread,
                f"{work.launches:,}" if work else "",
                f"{work.kept / MEBI:,.0f}" if work else "",
            )
    return made


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lnas speed",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--rounds", type=int, default=3, help="batches that are timed (3)")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch (64)")
    threads = torch.get_num_threads()
    parser.add_argument("--threads", type=int, default=threads, help=f"threads ({threads})")
    parser.add_argument("--compile", action="store_true", help=COMPILE)
    parser.add_argument("--overhead", action="store_true", help=OVERHEAD)
    parser.add_argument("--markdown", action="store_true", help="print a table for a README")
    return parser
