"""`lnas report RUN [RUN ...]` or `lnas report STUDY`: one HTML file to look at and to hand on."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from lnas.errors import InputError
from lnas.report import subject_of, write_report

FILE = "report.html"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `lnas report --help`.")


def report_command(arguments: Sequence[str]) -> int:
    """Run `lnas report ...`.

    Args:
        arguments: What follows `lnas report`.

    Returns:
        The exit code, 0.

    Raises:
        InputError: A folder is neither run nor study, or the file cannot be written.
    """
    given = _parser().parse_args(list(arguments))
    folders = [Path(name) for name in given.folders]
    output = Path(given.output) if given.output else folders[0] / FILE
    if output.is_dir():
        raise InputError(f"{output} is a folder; give --output a file, e.g. {output / FILE}.")
    if given.output and output.exists() and not given.overwrite:
        raise InputError(f"{output} exists; choose another file, or give --overwrite.")
    size = write_report(subject_of(folders), output)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Report {output}, {size / 1e6:.1f} MB", markup=False)
    return 0


def _parser() -> _Parser:
    parser = _Parser(
        prog="lnas report",
        description="Writes runs, or a study, as one HTML file without server or network: "
        "cells and gates over the epochs, curves, results, settings, run cards, and a checklist.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="folders of runs, or the folder of one study"
    )
    parser.add_argument(
        "--output", metavar="FILE", help=f"the file; by default {FILE} in the first folder"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file that --output names"
    )
    return parser
