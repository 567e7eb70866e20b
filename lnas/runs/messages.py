"""One line of what the argument parser says over many: the wrong value, what is allowed."""

import importlib
import inspect
import re
import sys
from abc import ABC
from collections.abc import Iterable
from difflib import get_close_matches

from lnas.errors import InputError

UNRECOGNIZED = re.compile(r"unrecognized arguments: ([^\s=]+)")
GROUP = re.compile(r"Group '([^']+)' does not accept")
OPTION = re.compile(r"[Oo]ption '([^']+)'")
REQUIRED = re.compile(r"arguments are required: (.*)")
LINKED = re.compile(r'Linked "(.+)" must be given via "(.+)"')
CLASS = re.compile(r"Problem with given class_path '([^']+)'")
ATTRIBUTE = re.compile(r"module '([^']+)' has no attribute '([^']+)'")
# What stands in the place of a class is none, or one of another kind.
NO_CLASS = (
    re.compile(r"Import path (?P<value>\S+ )?does not correspond to a subclass of (?P<kind>\w+)"),
    re.compile(r"Expected '(?P<value>[^']+)' to be a subclass of <class '(?P<kind>[^']+)'>"),
    re.compile(r"<class '(?P<kind>[\w.]+)'>(?s:.*)dot import path string: (?P<value>.*)"),
    re.compile(r"Not a valid subclass of (?P<kind>\w+)"),
)  # fmt: skip
KEY = re.compile(r'Parser key "([^"]+)"')
VALUE = re.compile(r"(?:Given value|Got value|import path string): (.*)|load config '(.*)'")
EXPECTED = re.compile(r"Expected an? (.+?)(?:\. Got value: .*)?$", re.MULTILINE)
TYPES = {
    "NoneType": "null", "bool": "true or false", "int": "a whole number", "float": "a number",
    "str": "a text", "list": "a list", "dict": "a mapping",
}  # fmt: skip
LONGEST, SHOWN = 400, 8


def input_error(error: BaseException | None) -> InputError | None:
    """Return the first input error of a chain of exceptions, None if there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def one_line(
    message: str, error: BaseException | None, options: Iterable[str], owner: type | None
) -> str:
    """Return what a parser's message says, in one line.

    Args:
        message: The message of an argument parser, of many lines and nested problems.
        error: What the parser caught; the parser of a part inside may have found the words.
        options: All options the parser knows, with their dashes.
        owner: The class whose arguments the parser reads, None for a whole command.
    """
    inside = input_error(error)
    if inside is not None:
        return str(inside)
    if match := LINKED.search(message):
        return f"{match[1]} follows from {match[2]} and cannot be given; give {match[2]} instead."
    if match := REQUIRED.search(message):
        if owner is None:
            return f"{match[1]} is missing; give it, or a --config that has it."
        return f"{public_name(owner)} needs {match[1]}; give a value for each."
    words = [option for option in options if re.fullmatch(r"--[\w.]+", option)]
    if match := UNRECOGNIZED.search(message):
        return _unknown_option(match[1], words, owner)
    if match := OPTION.search(message):
        group = GROUP.search(message)
        return _unknown_option(f"{group[1]}.{match[1]}" if group else match[1], words, owner)
    paths = [*CLASS.findall(message), *(".".join(pair) for pair in ATTRIBUTE.findall(message))]
    unknown = [line for line in map(_unknown_class, paths) if line]
    line = unknown[0] if unknown else _wrong_value(message, owner) or " ".join(message.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + " ..."


def public_name(member: type) -> str:
    """Return the path by which a config names a class: of its package where that exports it."""
    package = ".".join(member.__module__.split(".")[:2])
    exported = getattr(sys.modules.get(package), member.__name__, None) is member
    return f"{package if exported else member.__module__}.{member.__name__}"


def _unknown_option(given: str, options: Iterable[str], owner: type | None) -> str:
    """Name the nearest options of a command, or of a class."""
    dashes = "--" if given.startswith("--") else ""
    known = [f"{dashes}{option.removeprefix('--')}" for option in options]
    if owner is None:
        fallback = "see --help and --print_config."
        return f"There is no option {given}; {_nearest(given, known, fallback)}"
    known = [option for option in known if option.rpartition(".")[2] != "help"]
    fallback = f"it has {', '.join(known)}." if known else "it has none."
    return f"{public_name(owner)} has no option {given}; {_nearest(given, known, fallback)}"


def _nearest(wrong: str, words: Iterable[str], fallback: str) -> str:
    near = get_close_matches(wrong, sorted(set(words)), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else fallback


def _unknown_class(path: str) -> str:
    """Name the nearest classes of the module; nothing if the class is there after all."""
    package, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(package)
    except (ImportError, ValueError):
        return f"There is no module {package!r} for the class {path!r}; check its spelling."
    if hasattr(module, name):
        return ""
    classes = {word: found for word, found in vars(module).items() if inspect.isclass(found)}
    kinds = tuple(found for found in classes.values() if inspect.isabstract(found))
    made = [word for word, found in classes.items() if issubclass(found, kinds) and _usable(found)]
    return (
        f"There is no class {path!r}; {_choice(path, [f'{package}.{w}' for w in made or classes])}"
    )


def _choice(wrong: str, known: list[str]) -> str:
    """Name the nearest of some classes by the last parts of their paths, or list them."""
    named = {path.rpartition(".")[2]: path for path in known}
    near = get_close_matches(wrong.rpartition(".")[2], named, n=3, cutoff=0.7)
    if near:
        return f"did you mean {' or '.join(named[word] for word in near)}?"
    shown = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else ".")
    return f"choose one of {shown}" if known else "check its spelling."


def _wrong_value(message: str, owner: type | None) -> str:
    """Say what a value should have been: a class of some kind, or of a type."""
    keys = KEY.findall(message)
    if not keys:
        return ""
    key = keys[-1] if owner is None else f"{public_name(owner)}: {keys[-1]}"
    given = next(("".join(pair) for pair in VALUE.findall(message)), "")
    for pattern in NO_CLASS:
        found = pattern.search(message)
        known = _subclasses(found["kind"]) if found else []
        if found and known:
            value = (found.groupdict().get("value") or given).strip()
            kind = found["kind"].rpartition(".")[2]
            return f"{key} cannot be {_short(value)}: no {kind}; {_choice(value, known)}"
    if "Unable to load config" in message:
        return f"{key} cannot be {_short(given)}; give its options, as --{keys[-1]}.NAME=VALUE."
    types = dict.fromkeys(map(_type, EXPECTED.findall(message)))
    allowed = [text for text in types if text not in ("", "null")] + ["null"] * ("null" in types)
    if not allowed or not given:
        return ""
    return f"{key} cannot be {_short(given)}: give {' or '.join(allowed)}."


def _type(text: str) -> str:
    """Return a type in the words of a config; nothing for what another line says better."""
    if text.startswith("path but"):
        return ""
    if text.startswith("dot import path"):
        return "the path of a class"
    if match := re.fullmatch(r"<class '(?:\w+\.)*(\w+)'>", text):
        return TYPES.get(match[1], match[1])
    if match := re.fullmatch(r"typing\.Literal\[(.*)\]", text):
        return match[1].replace(", ", " or ")
    return text


def _subclasses(kind: str) -> list[str]:
    """Return the public paths of lnas's classes of a kind, given by its path or its bare name."""
    importlib.import_module("lnas.data")  # which else is imported by the name in a config only
    module, _, name = kind.rpartition(".")
    homes = [module] if module else [home for home in list(sys.modules) if home.startswith("l")]
    base = next((getattr(sys.modules[home], name, None) for home in homes if home in sys.modules
                 and hasattr(sys.modules[home], name)), None)  # fmt: skip
    waiting, found = [base] if inspect.isclass(base) else [], set()
    while waiting:
        member = waiting.pop()
        waiting += member.__subclasses__()
        path = public_name(member)
        if path.startswith("lnas.") and _usable(member) and path.count(".") <= 2:
            found.add(path)
    return sorted(found)


def _usable(member: type) -> bool:
    """Whether a config can name the class: it is no kind of classes."""
    return not inspect.isabstract(member) and ABC not in member.__bases__


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")
