"""One line of what the argument parser says over many: the wrong value, what is allowed."""

import importlib
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from inspect import Parameter, isclass, signature

OPTION = re.compile(r"[Oo]ption '([^']+)'")
CLASS = re.compile(r"(?:class_path|Problem with given class_path) '([^']+)'")
KEY = re.compile(r'Parser key "([^"]+)"')
VALUE = re.compile(r"(?:Given value|Got value): (.*)")
EXPECTED = re.compile(r"Expected a <class '([^']+)'>")
SUBTYPES = re.compile(r"Subtypes: (\[.*\])")
LONGEST = 400


def argument_names() -> set[str]:
    """Return the constructor arguments of all public classes of lnas that are imported."""
    names: set[str] = set()
    for module in [module for name, module in sys.modules.items() if name.startswith("lnas.")]:
        for member in vars(module).values():
            if isclass(member) and member.__module__.startswith("lnas."):
                parameters = signature(member.__init__).parameters.values()
                names |= {p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD}
    return names - {"self", "args"}


def _did_you_mean(wrong: str, words: Iterable[str], fallback: str) -> str:
    near = get_close_matches(wrong, sorted(set(words)), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else fallback


def _unknown_option(given: str, options: Iterable[str]) -> str:
    """Name the nearest options; the last part of a dotted one may be of a class's own argument."""
    name = given.partition("=")[0]
    parts = name.split(".")
    inner = argument_names()
    if "init_args" in parts or len(parts) > 2:
        near = get_close_matches(parts[-1], sorted(inner), n=2, cutoff=0.6)
        guesses = [".".join([*parts[:-1], word]) for word in near]
    else:
        guesses = get_close_matches(name, sorted(set(options)), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "see --help and --print_config."
    return f"There is no option {name}; {hint}"


def _unknown_class(path: str) -> str:
    """Name the nearest classes of the module, or of lnas's packages when a bare name was given."""
    package, _, name = path.rpartition(".")
    homes = [package] if package else [
        f"lnas.{part}" for part in ("callbacks", "spaces", "supernet", "networks", "data", "search")
    ]  # fmt: skip
    known: list[str] = []
    for home in homes:
        try:
            module = importlib.import_module(home)
        except ImportError:
            return f"There is no module {home!r} for the class {path!r}; check its spelling."
        known += [f"{home}.{word}" for word, member in vars(module).items() if isclass(member)]
    if path in known:
        return ""
    inside = [word for word in known if get_close_matches(name, [word.rpartition(".")[2]])]
    fallback = "give the full path of an importable class."
    return f"There is no class {path!r}; {_did_you_mean(path, inside, fallback)}"


def one_line(message: str, options: Iterable[str]) -> str:
    """Return what a parser's message says, in one line.

    Args:
        message: The message of an argument parser, of many lines and nested problems.
        options: All options the parser knows, with their dashes.
    """
    if message.startswith("unrecognized arguments: "):
        return _unknown_option(message.removeprefix("unrecognized arguments: ").split()[0], options)
    for path in CLASS.findall(message):
        if unknown := _unknown_class(path):
            return unknown
    if match := OPTION.search(message):
        last = {option.rpartition(".")[2].lstrip("-") for option in options}
        hint = _did_you_mean(match[1], last | argument_names(), "see --print_config.")
        return f"There is no option {match[1]!r} here; {hint}"
    key, value, expected = KEY.search(message), VALUE.search(message), EXPECTED.findall(message)
    if key and value and expected:
        types = " or ".join(dict.fromkeys("nothing" if t == "NoneType" else t for t in expected))
        subtypes = SUBTYPES.search(message)
        allowed = types if "<class" in message or not subtypes else subtypes[1]
        return f"{key[1]} cannot be {value[1]!r}: expected {allowed}."
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + " ..."
