"""Reading Python literals out of text without executing them.

Only what printed genotypes hold is understood: a call with named fields, lists and tuples, strings,
whole numbers and `range`.
"""

import ast
import warnings

from lnas.errors import InputError

MAX_CHARACTERS = 65_536
MAX_STATES = 64


def read_call(text: str, name: str) -> dict[str, ast.expr]:
    """Return the named fields of the one call `name(...)` in the text, unread.

    Raises:
        InputError: There is no such call, or several, or it is cut off.
    """
    if text.count(f"{name}(") != 1:
        raise InputError(f"it holds {text.count(f'{name}(')} times {name}(...); give one.")
    begin, end = text.index(f"{name}("), text.rfind(")")
    if end < begin:
        raise InputError(f"{name}(... has no end; the text was cut off.")
    call = _parse(text[begin : end + 1])
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise InputError(f"it is not of the form {name}(field=..., ...).")
    fields = {field.arg: field.value for field in call.keywords if field.arg}
    if len(fields) < len(call.keywords):
        raise InputError(f"{name}(...) names a field twice, or holds **; name each field once.")
    return fields


def read_pairs(given: ast.expr | str, what: str = "the list") -> list[tuple[str, int]]:
    """Return a list of (operation, source) pairs.

    Raises:
        InputError: It is not such a list.
    """
    node = _parse(given) if isinstance(given, str) else given
    if not isinstance(node, ast.List | ast.Tuple):
        raise InputError(f"{what} is not a list of ('operation', source) pairs.")
    pairs = []
    for number, entry in enumerate(node.elts):
        parts = entry.elts if isinstance(entry, ast.List | ast.Tuple) else []
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        if len(parts) != 2 or len(values) != 2:
            raise InputError(f"{what}: entry {number} is not a pair ('operation', source).")
        name, source = values
        if not isinstance(name, str) or type(source) is not int:
            raise InputError(
                f"{what}: entry {number} is ({str(name)[:40]!r}, {str(source)[:40]}); "
                "give ('operation', source)."
            )
        pairs.append((name, source))
    return pairs


def read_states(node: ast.expr, what: str) -> list[int]:
    """Return a list of state numbers, written out or as `range`.

    Raises:
        InputError: It is neither.
    """
    is_range = (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
        and not node.keywords
    )
    parts: list[ast.expr] = []
    if isinstance(node, ast.Call) and is_range:
        parts = node.args
    elif isinstance(node, ast.List | ast.Tuple):
        parts = node.elts
    numbers = [p.value for p in parts if isinstance(p, ast.Constant) and type(p.value) is int]
    states = [int(number) for number in numbers]  # mypy does not narrow `type(...) is int`
    if len(states) < len(parts) or not (parts or isinstance(node, ast.List | ast.Tuple)):
        raise InputError(f"{what} is neither a list of states nor range(first, last + 1).")
    if is_range:
        if len(states) > 2:
            raise InputError(f"{what}: range takes one or two numbers.")
        whole = range(*states)
        # `len` of a huge range raises.
        if whole and whole[-1] - whole[0] >= MAX_STATES:
            raise InputError(f"{what}: the range is longer than {MAX_STATES} states.")
        states = list(whole)
    return states


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"it is longer than {MAX_CHARACTERS:,} characters; this is no genotype.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise InputError(
            f"it cannot be read ({error.msg} in line {error.lineno}); was it cut off?"
        ) from None  # fmt: skip
    except (ValueError, RecursionError, MemoryError):
        raise InputError("it is nested too deeply or holds odd characters.") from None
