"""The workspace of W&B made of the plan. Only publishing needs the network, and a stored key."""

import json
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

from lnas.dashboard.plan import Panel, Section
from lnas.errors import InputError
from lnas.loggers.wandb_run import AXES, has_account

COLUMNS = 3
STEP = "weight step"


def build(sections: Sequence[Section], entity: str, project: str, name: str = "lnas") -> Any:
    """Return the workspace, not yet published.

    Args:
        sections: What stands in it.
        entity: W&B user or team.
        project: W&B project.
        name: What the workspace is called.

    Raises:
        InputError: `wandb-workspaces` is not installed.
    """
    workspaces, _ = _packages()
    made = [
        workspaces.Section(
            name=section.name,
            panels=[_panel(panel) for panel in section.panels],
            is_open=True,
            layout_settings=workspaces.SectionLayoutSettings(
                columns=COLUMNS, rows=-(-len(section.panels) // COLUMNS)
            ),
        )
        for section in sections
    ]
    return workspaces.Workspace(entity=entity, project=project, name=name, sections=made)


def workspace_json(workspace: Any) -> str:
    """Return what `publish` would send, as JSON."""
    spec = workspace._to_model().spec.model_dump(by_alias=True, exclude_none=True)
    return json.dumps(spec, indent=1) + "\n"


def require_account() -> None:
    """Refuse to go on without a key of an account: nobody waits for a login.

    Raises:
        InputError: There is none, or W&B is switched off.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "disabled", "dryrun"):
        raise InputError(
            f"WANDB_MODE={mode} keeps W&B off the network; unset it to publish, or write the "
            "workspace into a file with --output."
        )
    if not has_account():
        raise InputError(
            "There is no key of a W&B account; run `wandb login` once or set WANDB_API_KEY, or "
            "write the workspace into a file with --output."
        )


def publish(workspace: Any) -> str:
    """Send the workspace to W&B as a new view, and return its address.

    Raises:
        InputError: W&B cannot be reached or refuses.
    """
    try:
        workspace.save()
    except Exception as error:  # whatever the client and its transport raise
        reason = " ".join(str(error).split()) or type(error).__name__
        place = f"{workspace.entity}/{workspace.project}"
        raise InputError(
            f"W&B did not take the workspace for {place}: {reason.rstrip('.')}; check the names, "
            "the key and the network, or write it into a file with --output."
        ) from error
    return str(workspace.url)


def _panel(panel: Panel) -> Any:
    _, reports = _packages()
    if panel.kind == "pictures":
        return reports.MediaBrowser(
            title=panel.title, media_keys=list(panel.keys), num_columns=1, gallery_axis="step"
        )
    if panel.kind == "numbers":
        return reports.BarPlot(title=panel.title, metrics=list(panel.keys))
    what: dict[str, Any] = {"y": list(panel.keys)}
    if any("*" in key for key in panel.keys):
        what = {"metric_regex": "|".join(_expression(key) for key in panel.keys)}
    return reports.LinePlot(
        title=panel.title, x=axis_of(panel), title_x=STEP, log_y=panel.kind == "log lines" or None,
        **what,
    )  # fmt: skip


def axis_of(panel: Panel) -> str:
    """Return the axis of steps that the panel's rows have."""
    start = panel.keys[0].split("/")[0]
    return next(axis for pattern, axis in AXES.items() if pattern.startswith(f"{start}/"))


def _expression(pattern: str) -> str:
    return "^" + re.escape(pattern).replace(r"\*", "[^/]+") + "$"


def _packages() -> tuple[Any, Any]:
    """Import wandb-workspaces when it is used: an extra, of half a second."""
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it decorates as pydantic 1 did
            import wandb_workspaces.reports.v2 as reports
            import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise InputError(
            'The dashboard needs wandb-workspaces; install it: pip install "lnas[dashboard]".'
        ) from error
    return workspaces, reports
