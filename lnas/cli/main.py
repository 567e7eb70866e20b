"""`lnas COMMAND ...`: finds the command, and turns its errors into lines and exit codes.

0 done; 2 bad input, one line; 3 a non-finite loss; 128 + signal when interrupted; else 1 with a
traceback. Nothing heavy is imported before the command is known.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from lnas import __version__
from lnas.errors import InputError, Interrupted, NonFiniteError

USAGE = """\
usage: lnas COMMAND ...

  search    --config darts --config cifar10          search an architecture
  evaluate  --config cifar10 --genotype FILE_OR_NAME train a derived network, test it once
  study     --config configs/study/quickstart.yaml   variants x seeds, put into one table
  genotype  show|convert|diff FILE_OR_NAME           look at genotypes

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


def _genotype(arguments: Sequence[str]) -> int:
    from lnas.cli.genotypes import genotype_command

    return genotype_command(list(arguments))


PATIENCE = 10.0  # seconds
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "search": _search,
    "evaluate": _evaluate,
    "study": _study,
    "genotype": _genotype,
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


def _say(message: str) -> None:
    """Print one line to the error stream; of several ranks, the first that fails speaks."""
    if _is_child_rank() and _first_rank_ends():
        return
    print(f"lnas: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _is_child_rank() -> bool:
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _first_rank_ends() -> bool:
    """Leave the first rank, our parent, time to fail by itself and to say so."""
    parent, end = os.getppid(), time.monotonic() + PATIENCE
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.05)
    return os.getppid() != parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `lnas`; the process's arguments when None.

    Returns:
        The exit code.
    """
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except InputError as error:
        _say(str(error))
        return 2
    except NonFiniteError as error:
        _say(str(error))
        return 3
    except Interrupted as error:
        _say(str(error))
        return 128 + error.signal_number
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception:
        traceback.print_exc()
        return 1


def run() -> None:
    """Leave the process with the exit code of the command in `sys.argv`."""
    sys.exit(main())
