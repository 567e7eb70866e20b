"""A file of JSON lines that grows with the epochs of a run and rewinds to a checkpoint."""

import json
from pathlib import Path
from typing import Any

from lnas.errors import InputError
from lnas.files import write_text, writing


class JsonLines:
    """One JSON value per line.

    Unless `rewind` was called, the first append starts the file anew.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lines = 0

    def append(self, value: Any) -> None:
        """Add a line; it survives a kill when this returns.

        Raises:
            InputError: The file cannot be written.
        """
        text = json.dumps(value, sort_keys=True) + "\n"
        if self.lines == 0:
            write_text(self.path, text)
        else:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        self.lines += 1

    def read(self) -> list[Any]:
        """Return all lines; one without its newline (a kill in the midst of a write) is none.

        Raises:
            InputError: The file cannot be read, or a line is no JSON.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
            return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read {self.path}: {error}; restore the file.") from error

    def rewind(self, lines: int) -> None:
        """Keep the first `lines` lines.

        Raises:
            InputError: There are fewer, or the file cannot be written.
        """
        kept = self.read()[:lines] if lines else []
        if len(kept) < lines:
            raise InputError(
                f"{self.path} has {len(kept)} lines but the checkpoint knows of {lines}; "
                "restore the file or start the run anew."
            )
        if lines:
            write_text(self.path, "".join(json.dumps(k, sort_keys=True) + "\n" for k in kept))
        self.lines = lines
