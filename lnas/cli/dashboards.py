"""`lnas dashboard --entity E --project P [RUN ...]`: a W&B workspace for a project's runs."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from lnas.errors import InputError
from lnas.files import write_text


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `lnas dashboard --help`.")


def dashboard_command(arguments: Sequence[str]) -> int:
    """Run `lnas dashboard ...`.

    Args:
        arguments: What follows `lnas dashboard`.

    Returns:
        The exit code, 0.

    Raises:
        InputError: The arguments or a run cannot be used, or W&B does not take the workspace.
    """
    given = _parser().parse_args(list(arguments))
    if given.entity is None and given.output is None:
        raise InputError(
            "A dashboard is published for a W&B user or team; give --entity NAME, or --output FILE."
        )
    from lnas.dashboard import (
        build,
        logged_by,
        planned,
        publish,
        require_account,
        workspace_json,
    )

    if given.output is None:
        require_account()
    sections = planned(logged_by(given.runs) if given.runs else None)
    if not sections:
        raise InputError("The runs have logged nothing that a panel shows; give finished ones.")
    workspace = build(sections, given.entity or "", given.project, given.name)
    panels = sum(len(section.panels) for section in sections)
    if given.output is not None:
        write_text(given.output, workspace_json(workspace))
        where = given.output
    else:
        where = publish(workspace)
    print(f"{panels} panels in {len(sections)} sections: {where}")
    return 0


def _parser() -> _Parser:
    parser: Any = _Parser(
        prog="lnas dashboard",
        description="Publishes a workspace of W&B with panels for what searches log.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="run folders: only panels for what they logged; without any: all panels",
    )  # fmt: skip
    parser.add_argument("--entity", help="W&B user or team")
    parser.add_argument("--project", default="lnas", help="W&B project (default: lnas)")
    parser.add_argument("--name", default="lnas", help="name of the workspace (default: lnas)")
    parser.add_argument("--output", metavar="FILE", help="write it as JSON, publish nothing")
    made: _Parser = parser
    return made
