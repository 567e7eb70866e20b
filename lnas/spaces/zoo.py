"""The zoo: published genotypes by name, JSON files in `published/` beside this module."""

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from lnas.errors import InputError
from lnas.genotype import Genotype

_FOLDER = files("lnas.spaces") / "published"


def names() -> list[str]:
    """Return the names of the published genotypes, sorted."""
    return sorted(
        entry.name.removesuffix(".json")
        for entry in _FOLDER.iterdir()
        if entry.name.endswith(".json")
    )


def load(name: str) -> Genotype:
    """Return a published genotype.

    Raises:
        InputError: There is none of this name.
    """
    if name not in names():
        near = get_close_matches(name.lower(), names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise InputError(
            f"No file and no published genotype {shown!r}; {hint}"
            f"give a file or one of {', '.join(names())}."
        )
    text = (_FOLDER / f"{name}.json").read_text(encoding="utf-8")
    return Genotype.from_json(text, f"the zoo's {name}")


def find(name_or_path: str | Path) -> Genotype:
    """Return the genotype of a file, or else the published one of this name.

    Raises:
        InputError: There is neither such a file nor such a name, or the file holds no genotype.
    """
    text = str(name_or_path)
    if text in names() and not Path(text).is_file():
        return load(text)
    looks_like_path = isinstance(name_or_path, Path) or "/" in text or "." in text
    if looks_like_path or (text and _exists(text)):
        return Genotype.load(name_or_path)
    return load(text)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or with a null character
        return False
