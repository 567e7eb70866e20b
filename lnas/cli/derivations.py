"""`lnas derive RUN --criterion ... --criterion ...`: other cells from one finished search."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lnas.errors import InputError
from lnas.files import write_text
from lnas.loggers.wandb_run import has_account
from lnas.runs.criteria import KINDS, RULES, parse_criterion
from lnas.runs.derivation import look
from lnas.runs.folder import CARD, CONFIG, LAST, read_card, read_settings
from lnas.runs.side_by_side import SideBySide

DEFAULT = ("magnitude", "select", "mask", "random")
FILE = "derivations.json"
EPILOG = f"""\
A criterion is NAME or NAME:OPTION=VALUE,...; names are {", ".join(KINDS)}.
select and mask are strengths on held-out batches: an operation alone on its edge, or taken out;
their options are criterion=loss|accuracy, edge_order=topological|random|by_margin,
topology=greedy|once|strength, batches=N, seed=N. Every criterion takes rule={"|".join(RULES)}
and inputs=N; argmax is magnitude:rule=every_edge, the best operation of every edge.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `lnas derive --help`.")


def derive_command(arguments: Sequence[str]) -> int:
    """Run `lnas derive ...`.

    Args:
        arguments: What follows `lnas derive`.

    Returns:
        The exit code, 0.

    Raises:
        InputError: The arguments or the run cannot be used.
    """
    given = _parser().parse_args(list(arguments))
    run = Path(given.run)
    if not (run / CONFIG).is_file():
        raise InputError(f"{run} is not the folder of a search: it has no {CONFIG}; give one.")
    if "space" not in read_settings(run).get("model", {}):
        raise InputError(f"{run} is the folder of an evaluation; give that of a search.")
    for name, smallest in (("batches", 1), ("shuffle", 0)):
        value = getattr(given, name)
        if value is not None and value < smallest:
            raise InputError(f"--{name} {value} is too small; give {smallest} or more.")
    criteria = [parse_criterion(text) for text in given.criterion or DEFAULT]
    part = SideBySide(criteria, given.batches, given.shuffle)
    beside = (run if run.name else run.resolve()).with_name(f"{run.resolve().name}-derive")
    folder = Path(given.folder) if given.folder else beside
    replaced = check_folder(folder, given.overwrite)
    status = read_card(run).get("status", "finished")
    if status != "finished":
        raise InputError(
            f"{run} is {status}; let the search end first: lnas search --resume {run}."
        )
    options = ["--config", str(run / CONFIG), f"--run.folder={folder}", logger_option(run)]
    options += ["--trainer.strategy=auto", "--trainer.devices=1", "--trainer.num_nodes=1"]
    options += ["--run.overwrite=true"] if replaced else []
    look(run, options, [part])
    report = {
        "run": str(run),
        "supernet": part.supernet,
        "derived": [one.plain() for one in part.derived],
        "correlations": part.correlations,
        "shuffled": part.shuffled,
    }
    write_text(folder / FILE, json.dumps(report, indent=1) + "\n")
    print_report(Console(highlight=False), part, folder)
    return 0


def logger_option(run: Path) -> str:
    """Return the option that logs as the search did into W&B: as a run and in a folder of its own.

    Its other loggers are left out, since they may write where the search is. Without a key of an
    account the run is an offline one.
    """
    given = read_settings(run).get("trainer", {}).get("logger")
    every = given if isinstance(given, list) else [given]
    found = [one for one in every if isinstance(one, dict) and "WandbRun" in one["class_path"]]
    for one in found:
        options = one["init_args"] = {**one.get("init_args", {}), "folder": None}
        if options.get("mode") == "online" and not has_account():
            options["mode"] = "offline"
    return f"--trainer.logger={json.dumps(found or False)}"


def check_folder(folder: Path, overwrite: bool) -> bool:
    """Refuse a folder that holds something else, or derivations that are to stay.

    Returns:
        Whether what it holds is replaced: derivations that never ended, or any with `overwrite`.

    Raises:
        InputError: It does.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return overwrite
    ended, trained = (folder / FILE).is_file(), any((folder / n).exists() for n in (LAST, CARD))
    if not ended and (trained or not (folder / CONFIG).is_file()):
        raise InputError(f"{folder} holds something else than derivations; give another --folder.")
    if ended and not overwrite:
        raise InputError(f"{folder} exists; replace it with --overwrite, or give another --folder.")
    return True


def print_report(console: Console, part: SideBySide, folder: Path) -> None:
    """Print the table and where everything is."""
    names = list(part.supernet)
    table = Table(
        "criterion", "cell", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
        title="Held-out examples, no retraining", title_justify="left",
    )  # fmt: skip
    for name in (*names, "parameters", "agreement"):
        table.add_column(name, justify="right")
    table.add_row(
        "supernet, as searched", "", *(f"{part.supernet[name]:.4f}" for name in names), "", ""
    )
    for number, one in enumerate(part.derived):
        table.add_row(
            one.criterion,
            str(number),
            *(f"{one.measures[name]:.4f}" for name in names),
            f"{one.parameters:,}",
            f"{one.agreement:.0%}",
        )
    console.print(table)
    for kind, values in (part.correlations or {}).items():
        known = [value for value in values if value is not None]
        if known:
            mean = sum(known) / len(known)
            console.print(
                f"rank correlation of strength and gate, {kind}: {mean:+.2f} over "
                f"{len(known)} edges",
                soft_wrap=True,
            )
    if part.shuffled:
        for name in names:
            exchanged = [one[name] for one in part.shuffled]
            console.print(
                f"{name} with two edges exchanged: {sum(exchanged) / len(exchanged):.4f} "
                f"(mean of {len(exchanged)}; as it is {part.supernet[name]:.4f})",
                soft_wrap=True,
            )
    console.print(f"cells, pictures and {FILE}: {folder}", soft_wrap=True)


def _parser() -> _Parser:
    parser: Any = _Parser(
        prog="lnas derive",
        description="Derives cells from a finished search by any number of criteria.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", help="the folder of a search")
    parser.add_argument(
        "--criterion", action="append", metavar="NAME[:OPTION=VALUE,...]",
        help=f"again for each criterion; without any: {', '.join(DEFAULT)}",
    )  # fmt: skip
    parser.add_argument("--folder", help="where to write; by default RUN-derive beside the run")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier derivation")
    parser.add_argument(
        "--batches", type=int, help="held-out batches that children are measured on"
    )
    parser.add_argument(
        "--shuffle", type=int, default=0, metavar="N",
        help="measure the supernet with two edges of each cell exchanged, N times",
    )  # fmt: skip
    made: _Parser = parser
    return made
