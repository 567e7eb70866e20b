"""What a study does: its file as data.

Randomly drawn cells, trained like the derived ones, are the baseline that tells whether a search
found anything (Yu et al., "Evaluating the search phase of neural architecture search", 2020).
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lnas.errors import InputError
from lnas.seeds import check_seed

RANDOM = "random cells"
RANDOM_CHOICE = "random choice"
OF_STUDY = ("seed", "resume", "run", "genotype")
Datasets = Literal["cifar10", "cifar100", "imagenet16"]


@dataclass
class Options:
    """The options of one kind of run.

    Args:
        configs: Names or paths of configs, in their order.
        options: Single options by dotted name, stronger than the configs.
    """

    configs: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.options:
            if name.split(".")[0] in OF_STUDY:
                raise InputError(
                    f"The options of a run name {name}, which the study gives to each run; leave "
                    "it out, and see `seeds` and `folder`."
                )

    def arguments(self) -> list[str]:
        """Return the options as they would stand on a command line."""
        return arguments(self.configs, self.options)


@dataclass
class Stage:
    """One search of a chain; it starts from what the search before it found.

    Args:
        configs: Configs on top of those of the variant.
        options: Options on top of those of the variant.
        keep: How many operations each edge keeps of those that the stage before scored best; None
            keeps all. The space must have the argument `edge_operations`.
        go_on: Go on from the last checkpoint of the stage before if that was stopped early, with
            these settings; if it was not, nothing is left to do and its cell stands.
    """

    configs: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    keep: int | None = None
    go_on: bool = False

    def arguments(self) -> list[str]:
        """Return the options as they would stand on a command line."""
        return arguments(self.configs, self.options)


@dataclass
class Variant:
    """One way to search.

    Args:
        name: Its name in the table.
        search: How it searches.
        stages: A chain of searches instead of one, as in P-DARTS.
        criteria: By name, selection criteria that derive a cell each from the finished search, as
            class paths or `{class_path: ..., init_args: ...}`; each is a row of the table. Without
            them the cell is what the search itself derived.
    """

    name: str
    search: Options
    stages: list[Stage] = field(default_factory=list)
    criteria: dict[str, Any] = field(default_factory=dict)

    def methods(self) -> list[str]:
        """Return the names of its rows of the table."""
        return [f"{self.name}, {name}" for name in self.criteria] or [self.name]


@dataclass
class Study:
    """Variants x seeds, and a baseline of random cells.

    Args:
        name: Name of the study; its folder is `runs/NAME` unless `folder` says otherwise.
        variants: What is compared.
        evaluation: How every derived or drawn network is trained; None with `truth`.
        truth: A tabular benchmark that knows the accuracy of every cell, instead of an evaluation;
            the baseline is then random choice from its whole table.
        truth_dataset: The data set that the benchmark is asked about.
        seeds: One search of each variant for each.
        random: Number of randomly drawn cells; at least 2 give a standard deviation, 0 leaves
            the baseline out.
        retrainings: How often each cell is trained, each time from other initial weights; 0 ends
            with the searches, and `evaluation` only says whose parameters are counted.
        signals: Names of logged values that `signals.csv` has epoch by epoch.
        reference: The row of the table that the others are compared with, seed by seed; None is
            the first one.
        jobs: How many runs go on at the same time, each a process of its own.
        threads: Threads that torch computes with in each of them; 1 is best for networks of a few
            channels, whose kernels are too short to be shared out. None shares the cores out.
        engine: Where the runs are: "local" on this machine, "ray" on a Ray cluster.
        address: Address of the Ray cluster; None takes the one that this machine belongs to.
        gpus: GPUs of each run on Ray, which may be a share of one.
        folder: Where the runs and the table go.
        overwrite: Replace runs that were made with other settings.
    """

    name: str
    variants: list[Variant]
    evaluation: Options | None = None
    truth: Literal["nasbench201"] | None = None
    truth_dataset: Datasets = "cifar10"
    seeds: list[int] = field(default_factory=lambda: [0])
    random: int = 4
    retrainings: int = 1
    signals: list[str] = field(default_factory=list)
    reference: str | None = None
    jobs: int = 1
    threads: int | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    gpus: float = 0.0
    folder: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if not names or not self.seeds:
            raise InputError("A study needs at least one variant and one seed.")
        if len({slug(name) for name in [*names, RANDOM]}) <= len(names):
            raise InputError(f"The variants {names} need names of their own, not {RANDOM!r}.")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds={self.seeds} has one seed twice; give each once.")
        for seed in self.seeds:
            check_seed(seed)
        if self.random < 0:
            raise InputError(f"random={self.random} is no number of cells; give 0 or more.")
        for argument, least in (("retrainings", 0), ("jobs", 1)):
            value = getattr(self, argument)
            if value < least:
                raise InputError(f"{argument}={value} is too few; give {least} or more.")
        if not self.gpus >= 0:
            raise InputError(f"gpus={self.gpus} is no number of GPUs; give 0 or more.")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads={self.threads} is no number of threads; give 1 or more.")
        if (self.evaluation is None) == (self.truth is None):
            raise InputError(
                "A study trains the cells, or asks a benchmark for their accuracy; give either "
                "`evaluation` or `truth`."
            )
        for variant in self.variants:
            _check_variant(variant)
        if self.reference is not None and self.reference not in self.methods():
            raise InputError(
                f"reference={self.reference!r} is no row of the table; "
                f"choose one of {', '.join(map(repr, self.methods()))}."
            )

    @property
    def root(self) -> Path:
        """The study's folder."""
        return Path(self.folder or f"runs/{slug(self.name)}")

    @property
    def threads_each(self) -> int:
        """Threads of one run."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.jobs)

    def methods(self) -> list[str]:
        """Return the rows of the table in their order, without the baseline."""
        return [method for variant in self.variants for method in variant.methods()]


def arguments(configs: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return configs and options as they would stand on a command line."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in options.items()
    }
    words = [word for config in configs for word in ("--config", config)]
    return words + [f"--{name}={text}" for name, text in texts.items()]


def slug(name: str) -> str:
    """Return the name as it can stand in a path."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _check_variant(variant: Variant) -> None:
    if not slug(variant.name):
        raise InputError(f"A variant has the name {variant.name!r}; give letters or digits.")
    if len({slug(name) for name in variant.criteria}) < len(variant.criteria):
        raise InputError(
            f"The criteria {list(variant.criteria)} of {variant.name} need names of their own."
        )
    for number, stage in enumerate(variant.stages, start=1):
        if number == 1 and (stage.keep is not None or stage.go_on):
            raise InputError(
                f"The first stage of {variant.name} has keep={stage.keep} and go_on={stage.go_on}, "
                "and there is no stage before it; leave them out."
            )
        if stage.keep is not None and stage.keep < 1:
            raise InputError(
                f"Stage {number} of {variant.name} has keep={stage.keep}; keep 1 operation or more."
            )
        if stage.keep is not None and stage.go_on:
            raise InputError(
                f"Stage {number} of {variant.name} goes on with the supernet of the stage before "
                "and cannot narrow its space; give keep or go_on."
            )
