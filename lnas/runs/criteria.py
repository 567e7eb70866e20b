"""Criteria as a command line names them: `mask:criterion=accuracy,edge_order=random`."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, get_args, get_type_hints

from torch import Tensor

from lnas.derivation import (
    Magnitude,
    OperationStrength,
    RandomChoice,
    RandomSearch,
    RestrictedSkips,
    SelectionContext,
    SelectionCriterion,
)
from lnas.errors import InputError
from lnas.spaces import AboveThreshold, EveryEdge, SearchSpace, StrongestInputs
from lnas.spaces.rules import DerivationRule

KINDS: dict[str, Callable[..., SelectionCriterion]] = {
    "magnitude": Magnitude,
    "argmax": Magnitude,
    "select": partial(OperationStrength, "select"),
    "mask": partial(OperationStrength, "mask"),
    "random": RandomChoice,
    "random_search": RandomSearch,
    "restricted_skips": RestrictedSkips,
}
RULES: dict[str, type[DerivationRule]] = {
    "strongest": StrongestInputs,
    "every_edge": EveryEdge,
    "threshold": AboveThreshold,
}
RULE_OPTIONS = ("rule", "inputs", "threshold")


@dataclass(frozen=True)
class NamedCriterion:
    """A criterion and the rule of edges that goes with it.

    Args:
        name: What was asked for.
        criterion: Scores (edge, operation).
        rule: Makes a cell of the scores; None: the rule of the space.
    """

    name: str
    criterion: SelectionCriterion
    rule: DerivationRule | None = None

    def space(self, space: SearchSpace) -> SearchSpace:
        """Return the space with this rule."""
        if self.rule is None:
            return space
        changed = copy.copy(space)
        changed.rule = self.rule
        return changed

    def check(self, space: SearchSpace, scores: Mapping[str, Tensor]) -> None:
        """Refuse a rule that makes no cells of this space.

        Args:
            space: The space.
            scores: Any, (edges, ops) per cell type.

        Raises:
            InputError: The rule takes too many inputs, or too few.
        """
        try:
            self.space(space).derive(scores)
        except InputError as error:
            raise InputError(
                f"--criterion {self.name} makes no cell of the space {space.name}: {error} Leave "
                "it out, or give it another rule=."
            ) from error

    def context(self, context: SelectionContext) -> SelectionContext:
        """Return the context of a search in that space; nothing of the search changes."""
        architecture = copy.copy(context.architecture)
        architecture.space = self.space(architecture.space)
        return replace(context, architecture=architecture)


def parse_criterion(text: str) -> NamedCriterion:
    """Return the criterion that a text names.

    Raises:
        InputError: The name or an option is unknown, or a value cannot be used.
    """
    name, _, rest = text.partition(":")
    if name not in KINDS:
        near = get_close_matches(name, KINDS, n=1) or list(KINDS)
        raise InputError(f"There is no criterion {name!r}; use {', '.join(near)}.")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise InputError(f"--criterion {text}: {part!r} is no option; write name=value.")
        options[key] = _value(value)
    ruled = {key: options.pop(key) for key in RULE_OPTIONS if key in options}
    allowed = inspect.signature(KINDS[name]).parameters.keys() - {"mode"}
    for key in options:
        if key not in allowed:
            known = ", ".join([*sorted(allowed), *RULE_OPTIONS])
            raise InputError(f"--criterion {text}: {name} has no option {key!r}; use {known}.")
    _check_kinds(text, options, KINDS[name])
    if name == "argmax":
        ruled = {"rule": "every_edge", **ruled}
    try:
        return NamedCriterion(text, KINDS[name](**options), _rule(text, ruled))
    except (TypeError, AttributeError) as error:
        raise InputError(f"--criterion {text}: {error}; give values of the right kind.") from error


def _rule(text: str, options: dict[str, Any]) -> DerivationRule | None:
    if not options:
        return None
    name = options.pop("rule", "threshold" if "threshold" in options else "strongest")
    if name not in RULES:
        raise InputError(f"--criterion {text}: rule={name}; use one of {', '.join(RULES)}.")
    unknown = [key for key in options if key not in inspect.signature(RULES[name]).parameters]
    if unknown:
        raise InputError(f"--criterion {text}: the rule {name} has no {unknown[0]}; leave it out.")
    _check_kinds(text, options, RULES[name])
    return RULES[name](**options)


def _check_kinds(text: str, options: Mapping[str, Any], made: Callable[..., Any]) -> None:
    """Refuse values that are none of what the arguments of a class are annotated with.

    Words that are one of a few are left to the class.
    """
    made = made.func if isinstance(made, partial) else made
    hints = get_type_hints(made.__init__)
    for key, value in options.items():
        kinds = get_args(hints[key]) or (hints[key],)
        kinds = (*kinds, int) if float in kinds else kinds
        if all(isinstance(kind, type) for kind in kinds) and not isinstance(value, kinds):
            allowed = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise InputError(f"--criterion {text}: {key}={value!r} is none; give {allowed}.")


def _value(text: str) -> str | int | float | None:
    if text in ("null", "none"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
