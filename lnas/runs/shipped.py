"""The configs that travel with lnas, found by name.

A wheel carries them as `lnas/configs`; a source tree has them in `configs` beside the package.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from lnas.errors import InputError
from lnas.runs.config_file import read_config

PACKAGE = Path(__file__).parents[1]
CHOICES = ("--data", "--data.class_path")


def shipped_folder(package: Path = PACKAGE) -> Path:
    """Return the folder of the shipped configs.

    Args:
        package: The folder of the package lnas.
    """
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def find_config(name: str, kinds: Sequence[str], folder: Path | None = None) -> Path:
    """Return the file that `name` means: a path, or the name of a shipped config.

    Args:
        name: A path to a YAML file, or a shipped file's name with or without its suffix.
        kinds: Subfolders of the shipped configs to look in; the first that has the name wins.
        folder: Where the shipped configs are; found by itself when None.

    Raises:
        InputError: There is neither such a file nor such a shipped config.
    """
    if Path(name).is_file():
        return Path(name)
    folder = folder or shipped_folder()
    shipped = {
        path.stem: path for kind in reversed(kinds) for path in folder.glob(f"{kind}/*.yaml")
    }
    if name.removesuffix(".yaml") in shipped:
        return shipped[name.removesuffix(".yaml")]
    if (folder.parent / name).is_file() and Path(name).parts[0] == "configs":
        return folder.parent / name
    if Path(name).is_dir():
        raise InputError(f"--config {name} is a folder; give one YAML file.")
    near = get_close_matches(Path(name).stem, shipped, n=3, cutoff=0.5)
    asked = (
        f"did you mean {', '.join(near)}?"
        if near
        else f"choose one of {', '.join(sorted(shipped))}."
    )
    raise InputError(
        f"There is no config {name!r}: neither such a file nor a shipped config; {asked}"
    )


def data_class(arguments: Sequence[str], default: str) -> str:
    """Return the class of the data that options choose last, or the default.

    It has to be known first: a config may set an option of the data (`data: init_args:`) before
    the next one says which data, and defaults of one class must not become settings of another.

    Args:
        arguments: Options with `--config` values as paths.
        default: A class path.
    """
    chosen = default
    previous = ""
    for argument in arguments:
        option, _, value = argument.partition("=")
        if previous:
            option, value = previous, argument
        previous = argument if argument in ("--config", "-c", *CHOICES) else ""
        if previous:
            continue
        if option in CHOICES:
            chosen = value
        elif option in ("--config", "-c"):
            chosen = _class_in(Path(value)) or chosen
    return chosen


def _class_in(path: Path) -> str | None:
    """Return the data class that a config names, if it names one."""
    data = read_config(path).get("data")
    found = data.get("class_path") if isinstance(data, dict) else data
    return found if isinstance(found, str) else None


def expand_configs(arguments: Sequence[str], kinds: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace the names after `--config` by paths.

    Returns:
        The arguments with paths, and the short names of the configs in their order.

    Raises:
        InputError: There is no such config, or the file is none.
    """
    expanded: list[str] = []
    names: list[str] = []
    waiting = False
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if waiting or (option in ("--config", "-c") and equals):
            path = find_config(argument if waiting else value, kinds)
            read_config(path)
            names.append(path.stem)
            expanded += [str(path)] if waiting else ["--config", str(path)]
            waiting = False
        else:
            waiting = argument in ("--config", "-c")
            expanded.append(argument)
    return expanded, names
