"""How a command ends: errors become one line on the error stream, and an exit code.

0 done; 2 bad input; 3 a loss that is not finite; 128 + signal when interrupted; else 1, with its
traceback.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable

from lnas.errors import InputError, Interrupted, NonFiniteError

PATIENCE = 60.0  # seconds


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code."""
    try:
        return command()
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
