"""The dashboard of a W&B project as code: a plan of panels, and the workspace made of it."""

from lnas.dashboard.logged import Logged, logged_by
from lnas.dashboard.plan import PLAN, Panel, Section, planned
from lnas.dashboard.workspace import build, publish, require_account, workspace_json

__all__ = [
    "PLAN",
    "Logged",
    "Panel",
    "Section",
    "build",
    "logged_by",
    "planned",
    "publish",
    "require_account",
    "workspace_json",
]
