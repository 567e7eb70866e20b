"""Files are never half written: they are made beside their place and then renamed into it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lnas.errors import InputError

TEMPORARY = re.compile(r"\..+\.\d+\.tmp(\.\w+)?")  # what `replacing` writes


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the system says against writing `path` into an input error.

    Raises:
        InputError: The folder cannot be written (read-only, full, or a file stands in the way).
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot write {path}: {reason}; choose a folder that is writable and has space."
        ) from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well, and vanishes when not.

    Args:
        path: The file to write; its folder is made when it does not exist.

    Yields:
        A path in the same folder, with the same suffix, so that writers that look at it work.

    Raises:
        InputError: The folder cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_temporary(folder: str | Path) -> None:
    """Remove what `replacing` has left in the folder and below when a process was killed within it.

    Args:
        folder: A folder in which nobody writes at the moment.
    """
    for path in Path(folder).rglob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            with suppress(OSError):
                path.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` at once: readers see the old file or the new one.

    Raises:
        InputError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
