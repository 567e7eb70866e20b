"""What a report does not pass on: places of the machine, and what looks like a secret."""

import re
from collections.abc import Mapping
from typing import Any

# An absolute path: behind a slash that does not belong to an address, a fraction or markup.
PATH = re.compile(r"(?<![\w:/.…~<-])(?:~|[A-Za-z]:)?(?:[/\\][\w.+@=-]+)+[/\\]?")
WHOLE = re.compile(r"(?:~|[A-Za-z]:)?[/\\].*")  # a value that is a path, whatever is in it
SECRET = re.compile(r"(?:^|_)(?:api_?key|key|token|secret|password|passwd|credentials?)$", re.I)
HIDDEN = "(left out)"


def without_places(value: Any, name: str = "") -> Any:
    """Return plain data without absolute paths, of which the last part stays, and secrets.

    Args:
        value: Settings, a run card, or a text in them.
        name: The name that the value has.
    """
    if isinstance(value, Mapping):
        return {str(key): without_places(one, str(key)) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(one, name) for one in value]
    if isinstance(value, str):
        if value and SECRET.search(name):
            return HIDDEN
        if WHOLE.fullmatch(value):
            return _last_part(value)
        return PATH.sub(lambda found: _last_part(found[0]), value)
    return value


def _last_part(path: str) -> str:
    return "…/" + re.split(r"[/\\]", path.rstrip("/\\"))[-1]
