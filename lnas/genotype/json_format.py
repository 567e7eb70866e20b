"""The JSON format of genotypes, version 1; `schema.json` beside this file describes it.

This reader is strict: an unknown, missing or repeated key is an error, and so is any value that
the schema refuses, and what a schema cannot say (a source that lies behind its node).
"""

import json
from typing import NoReturn

from lnas.errors import InputError
from lnas.genotype.model import Genotype

FORMAT = "lnas-genotype"
VERSION = 1
KEYS = ("format", "version", "space", "cells", "concat")


def parse(text: str, origin: str) -> Genotype:
    """Read JSON text.

    Args:
        text: The text.
        origin: Where it is from, for error messages.

    Raises:
        InputError: The text is not JSON, or not a valid genotype of this version.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except InputError as error:
        raise InputError(f"Genotype in {origin}: {error}") from None
    except RecursionError:
        raise InputError(
            f"Genotype in {origin}: nested too deeply; {_remedy()}"
        ) from None  # fmt: skip
    except json.JSONDecodeError as error:
        raise InputError(
            f"Genotype in {origin} is not valid JSON (or was cut off): {error.msg} at line "
            f"{error.lineno}, column {error.colno}; {_remedy()}"
        ) from None
    except ValueError:  # a number of thousands of digits
        raise InputError(
            f"Genotype in {origin} holds a number that is too long; {_remedy()}"
        ) from None  # fmt: skip
    if not isinstance(content, dict):
        raise InputError(f"Genotype in {origin} is not a JSON object; {_remedy()}")
    missing = [key for key in KEYS if key not in content]
    unknown = [key[:40] for key in content if key not in KEYS]
    if missing or unknown:
        raise InputError(
            f"Genotype in {origin} lacks {missing or 'nothing'} and has the unknown keys "
            f"{unknown or 'none'}; its keys are {', '.join(KEYS)}."
        )
    if content["format"] != FORMAT:
        raise InputError(
            f"Genotype in {origin} has format {str(content['format'])[:40]!r}; use {FORMAT!r}."
        )
    if type(content["version"]) is not int or content["version"] != VERSION:
        raise InputError(
            f"Genotype in {origin} has version {str(content['version'])[:40]}; this lnas reads "
            f"version {VERSION}."
        )
    if not content["concat"]:
        raise InputError(f"Genotype in {origin} has an empty concat; name its nodes by cell type.")
    try:
        return Genotype(content["space"], content["cells"], content["concat"])
    except InputError as error:
        raise InputError(f"Genotype in {origin}: {error}") from None


def render(genotype: Genotype) -> str:
    """Write JSON text, one node a line, so that a difference of two files is easy to read."""
    cells = []
    for kind, nodes in genotype.cells.items():
        lines = ",\n".join(f"      {json.dumps(inputs)}" for inputs in nodes)
        cells.append(f"    {json.dumps(kind)}: [\n{lines}\n    ]")
    return (
        f'{{\n  "format": "{FORMAT}",\n  "version": {VERSION},\n'
        f'  "space": {json.dumps(genotype.space)},\n'
        '  "cells": {\n' + ",\n".join(cells) + "\n  },\n"
        f'  "concat": {json.dumps(genotype.concat)}\n}}\n'
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"the key {twice[:40]!r} stands twice; keep one.")
    return content


def _constant(name: str) -> NoReturn:
    raise InputError(f"{name} is no number of JSON; sources are whole numbers.")


def _remedy() -> str:
    return "give a file that lnas saved, or one of the text formats."
