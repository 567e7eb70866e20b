"""Reading genotype files that may be anything: huge, binary, cut off."""

from pathlib import Path

from lnas.errors import InputError
from lnas.genotype.model import Genotype

MAX_BYTES = 1_000_000


def read_file(path: str | Path) -> Genotype:
    """Read a genotype file in any of the known formats.

    Raises:
        InputError: The file is missing, unreadable, larger than 1 MB, not UTF-8 text, or does not
            hold a genotype.
    """
    path = Path(path)
    try:
        # A pipe or a device would never end.
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file; give a genotype file.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot read the genotype {path}: {reason}; give a genotype file."
        ) from None  # fmt: skip
    except ValueError as error:  # a null character in the path
        raise InputError(
            f"Cannot read the genotype {str(path)!r}: {error}; give a genotype file."
        ) from None  # fmt: skip
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes; this is no genotype.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); this is no genotype."
        ) from None  # fmt: skip
    from lnas.genotype.text_formats import parse

    return parse(text, str(path))
