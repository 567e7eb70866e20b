"""Reading a config by itself, before the parser does: what is no config is refused by its name."""

from pathlib import Path
from typing import Any

import yaml

from lnas.errors import InputError

SECTIONS = ("trainer", "model")
DEEPEST = 100
REMEDY = "give a YAML file of options, as `lnas search --config darts --print_config` prints it."


def read_config(path: Path) -> dict[str, Any]:
    """Return the options of a config.

    Raises:
        InputError: The file is no YAML mapping, or nested deeper than any options are.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check_depth(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(
            f"The config {path} is no YAML: {error.problem}{where}; {REMEDY}"
        ) from None
    except RecursionError:
        raise InputError(f"The config {path} is nested too deeply; {REMEDY}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"The config {path} cannot be read: {reason}; {REMEDY}") from None
    if not isinstance(content, dict):
        raise InputError(f"The config {path} holds {_short(content)} and no options; {REMEDY}")
    for name in SECTIONS:
        if not isinstance(content.get(name, {}), dict):
            value = _short(content[name])
            raise InputError(f"{name} in the config {path} is {value} and no options; {REMEDY}")
    return content


def _check_depth(content: Any, left: int = DEEPEST) -> None:
    """Go through all values; one that holds itself would never end."""
    if left == 0:
        raise RecursionError
    if isinstance(content, (dict, list)):
        for value in content.values() if isinstance(content, dict) else content:
            _check_depth(value, left - 1)


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
