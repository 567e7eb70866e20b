"""`lnas COMMAND ...`: finds the command and runs it; `lnas.runs.exit_codes` says how it ends.

Nothing heavy is imported before the command is known.
"""

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from lnas import __version__
from lnas.errors import InputError
from lnas.runs.exit_codes import exit_code

USAGE = """\
usage: lnas COMMAND ...

  search    --config darts --config cifar10          search an architecture
  evaluate  --config cifar10 --genotype FILE_OR_NAME train a derived network, test it once
  study     --config configs/study/quickstart.yaml   variants x seeds, put into one table
  derive    RUN --criterion NAME ...                 other cells from a finished search
  report    RUN [RUN ...] or STUDY                   one HTML file to look at
  genotype  show|convert|diff|trail FILE_OR_NAME     look at genotypes
  dashboard --entity NAME --project NAME [RUN ...]   a W&B workspace for what runs log
  speed     --config darts                           time the search step on this machine

Configs are found by name or path and can be stacked; --print_config shows the result.
`lnas COMMAND --help` shows a command's options, `lnas --version` the version.
"""


def _search(arguments: Sequence[str]) -> int:
    from lnas.runs.training import search

    search(arguments)
    return 0


def _evaluate(arguments: Sequence[str]) -> int:
    from lnas.runs.training import evaluate, print_result

    print_result(evaluate(arguments))
    return 0


def _study(arguments: Sequence[str]) -> int:
    from lnas.studies.command import study_command

    return study_command(arguments)


def _derive(arguments: Sequence[str]) -> int:
    from lnas.cli.derivations import derive_command

    return derive_command(arguments)


def _report(arguments: Sequence[str]) -> int:
    from lnas.cli.reports import report_command

    return report_command(arguments)


def _genotype(arguments: Sequence[str]) -> int:
    from lnas.cli.genotypes import genotype_command

    return genotype_command(list(arguments))


def _dashboard(arguments: Sequence[str]) -> int:
    from lnas.cli.dashboards import dashboard_command

    return dashboard_command(arguments)


def _speed(arguments: Sequence[str]) -> int:
    from lnas.speed import speed_command

    return speed_command(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "search": _search,
    "evaluate": _evaluate,
    "study": _study,
    "derive": _derive,
    "report": _report,
    "genotype": _genotype,
    "dashboard": _dashboard,
    "speed": _speed,
}


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if arguments[0] in ("--version", "-V", "version"):
        print(f"lnas {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1) or sorted(COMMANDS)
        raise InputError(f"There is no command {name!r}; did you mean {' or '.join(near)}?")
    return COMMANDS[name](arguments[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `lnas`; the process's arguments when None.

    Returns:
        The exit code.
    """
    return exit_code(lambda: _dispatch(sys.argv[1:] if arguments is None else arguments))


def run() -> None:
    """Leave the process with the exit code of the command in `sys.argv`."""
    sys.exit(main())
