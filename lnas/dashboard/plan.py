"""The plan of the dashboard: which panels stand in which section, in the order people look.

`*` stands for what depends on the run: the cell type, the stream, the edge. A panel of which a
project logs nothing is left out when the project's runs are at hand; see `planned`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from lnas.dashboard.logged import Logged

Kind = Literal["lines", "log lines", "numbers", "pictures", "histogram"]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Args:
        title: What it shows, as a person says it, with the unit.
        keys: Names in the logs, or patterns of them.
        kind: Lines over weight steps (on a logarithmic scale), one number for each run, pictures
            with a slider over the steps, or a histogram over the steps, drawn as a heat strip.
    """

    title: str
    keys: tuple[str, ...]
    kind: Kind = "lines"


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    name: str
    panels: tuple[Panel, ...]


def _measured(title: str, name: str) -> Panel:
    """Return a panel of what the three streams of a search measure."""
    streams = ("*_weights", "*_architecture", "held_out_*")
    return Panel(title, tuple(f"search/{stream}".replace("*", name) for stream in streams))


def _side_by_side(name: str) -> tuple[str, ...]:
    """Return the keys of what `lnas derive` measures; other criteria are in its picture."""
    rows = ["supernet", "magnitude", "argmax", "select", "mask", "random"]
    if name == "perplexity":
        rows.remove("argmax")  # nodes of recurrent cells have one input
    return tuple(f"derive/{row}_{name}" for row in rows)


PLAN = (
    Section("Search", (
        _measured("Loss (nats)", "loss"),
        _measured("Accuracy", "accuracy"),
        _measured("Perplexity", "perplexity"),
        Panel("Cross entropy without regularisation (nats)", ("search/cross_entropy_*",)),
        Panel("Learning rate of the weights", ("search/lr_weights",)),
        Panel("Learning rate of the architecture", ("search/lr_architecture",)),
        Panel("Architecture steps so far", ("search/architecture_steps",)),
    )),
    Section("Architecture", (
        Panel("Entropy of an edge (nats)", ("arch/*/entropy",)),
        Panel("Share of skip connections in the gates", ("arch/*/skip_share",)),
        Panel("Skip connections in the derived cell", ("arch/*/skips",)),
        Panel("Collapse warning (1: collapsed)", ("arch/collapsed",)),
        Panel("Derived cells", ("genotype",), "pictures"),
        Panel("Gates of each edge over time", ("gates",), "pictures"),
        Panel("The search at a glance", ("glance",), "pictures"),
        Panel("Gates of the normal cell", ("arch/normal/gates",), "histogram"),
        Panel("Gates of the reduction cell", ("arch/reduce/gates",), "histogram"),
        Panel("Gates of the cell", ("arch/cell/gates",), "histogram"),
        Panel("Gates of the recurrent cell", ("arch/recurrent/gates",), "histogram"),
    )),
    Section("Signals of the method", (
        Panel("FIMT: Fisher trace, its average, threshold",
              ("search/fisher_trace", "search/fisher_average", "search/fisher_threshold"),
              "log lines"),
        Panel("FIMT: votes for an architecture step so far", ("search/fisher_votes",)),
        Panel("Temperature of the gates", ("search/temperature",)),
        Panel("Proximity term", ("search/proximity",)),
        Panel("ADMM term", ("search/admm",)),
        Panel("Group term", ("search/group_penalty",)),
        Panel("Path depth term", ("search/path_depth",)),
        Panel("Zero-one term", ("search/zero_one_loss",)),
        Panel("Resource term", ("search/resource_cost",)),
        Panel("Weight of the auxiliary skip connection", ("search/auxiliary_skip",)),
        Panel("Probability of drop path", ("search/drop_path",)),
        Panel("Largest eigenvalue of the Hessian (nats)", ("search/hessian_eigenvalue",)),
        Panel("Edges fixed early", ("search/fixed_edges",)),
        Panel("Operations still open", ("search/open_operations",)),
        Panel("Edges decided by projection", ("search/projected_edges",)),
        Panel("Margin of the least certain projection, with its standard error",
              ("search/projection_margin", "search/projection_error")),
        Panel("Epochs without a change of ranks", ("search/unchanged_epochs",)),
    )),
    Section("Wiring", (
        Panel("Edges that are not none",
              ("arch/*/active_edges", "arch/*/input_edges", "arch/*/inner_edges")),
        Panel("Width", ("arch/*/width",)),
        Panel("Depth", ("arch/*/depth",)),
        Panel("Share of edges whose best operation is none", ("search/none_edges",)),
        Panel("Probability of none, edge by edge", ("arch/*/none_*",)),
        Panel("Cost of an operation on edges from inputs and between nodes (nats)",
              ("search/input_edge_cost_*", "search/inner_edge_cost_*")),
        Panel("Cost of the last cell (nats)", ("search/last_cell_cost_*",)),
        Panel("Loss minus entropy of the answers (nats)", ("search/loss_minus_entropy_*",)),
    )),
    Section("Derivation", (
        Panel("Held-out loss of the child, no retraining (nats)",
              ("search/child_loss", "search/held_out_loss")),
        Panel("Held-out accuracy of the child, no retraining",
              ("search/child_accuracy", "search/held_out_accuracy")),
        Panel("Held-out perplexity of the child, no retraining",
              ("search/child_perplexity", "search/held_out_perplexity")),
        Panel("Discretisation gap: child minus supernet", ("search/gap_*",)),
        Panel("True test accuracy of the derived cell, and its regret",
              ("search/true_accuracy", "search/regret")),
        Panel("At the end: loss of supernet, child, child with statistics of its own (nats)",
              ("search/final_supernet_loss", "search/final_child_loss",
               "search/final_recalibrated_loss"), "numbers"),
        Panel("At the end: accuracy of supernet, child, child with statistics of its own",
              ("search/final_supernet_accuracy", "search/final_child_accuracy",
               "search/final_recalibrated_accuracy"), "numbers"),
        Panel("At the end: perplexity of supernet, child, child with statistics of its own",
              ("search/final_supernet_perplexity", "search/final_child_perplexity",
               "search/final_recalibrated_perplexity"), "numbers"),
        Panel("Criteria side by side: held-out examples, no retraining", ("criteria",), "pictures"),
        Panel("Criteria side by side: held-out loss (nats)", _side_by_side("loss"), "numbers"),
        Panel("Criteria side by side: held-out accuracy", _side_by_side("accuracy"), "numbers"),
        Panel("Criteria side by side: held-out perplexity", _side_by_side("perplexity"), "numbers"),
        Panel("Strength of operations and their gates", ("strength",), "pictures"),
    )),
    Section("Evaluation", (
        Panel("Loss (nats)", ("eval/train_loss", "eval/val_loss")),
        Panel("Accuracy", ("eval/train_accuracy", "eval/val_accuracy")),
        Panel("Perplexity", ("eval/train_perplexity", "eval/val_perplexity")),
        Panel("Test accuracy", ("eval/test_accuracy",), "numbers"),
        Panel("Test perplexity", ("eval/test_perplexity",), "numbers"),
        Panel("Learning rate", ("eval/lr",)),
        Panel("Probability of drop path", ("eval/drop_path",)),
        Panel("Steps in the averaged weights", ("eval/averaged_steps",)),
    )),
    Section("Cost", (
        Panel("Expected parameters of the cells", ("search/expected_parameters",)),
        Panel("Expected multiply-adds per image", ("search/expected_multiply_adds",)),
        Panel("Expected memory access per image", ("search/expected_memory_access",)),
        Panel("Parameters of the derived network", ("eval/parameters",), "numbers"),
        Panel("Multiply-adds of the derived network, each example", ("eval/multiply_adds",),
              "numbers"),
    )),
)  # fmt: skip


def planned(logged: Logged | None = None, plan: Sequence[Section] = PLAN) -> tuple[Section, ...]:
    """Return the plan; for given runs, with their very keys, and without what they leave empty.

    Args:
        logged: What the runs logged; None keeps everything.
        plan: The sections.
    """
    if logged is None:
        return tuple(plan)
    kept = []
    for section in plan:
        panels = [replace(panel, keys=_filled(panel, logged)) for panel in section.panels]
        panels = [panel for panel in panels if panel.keys]
        if panels:
            kept.append(Section(section.name, tuple(panels)))
    return tuple(kept)


def _filled(panel: Panel, logged: Logged) -> tuple[str, ...]:
    """Return the keys of a panel that have something to show: two points for a line."""
    if panel.kind == "pictures":
        return tuple(key for key in panel.keys if key in logged.pictures)
    if panel.kind == "histogram":
        return tuple(key for key in panel.keys if key in logged.histograms)
    least = 1 if panel.kind == "numbers" else 2
    return tuple(
        key
        for pattern in panel.keys
        for key, points in sorted(logged.points.items())
        if points >= least and fnmatchcase(key, pattern)
    )
