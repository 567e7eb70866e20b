"""What a study does: its file as data, and the list of runs that follows from it.

Randomly drawn cells, trained like the derived ones, are the baseline that tells whether a search
found anything (Yu et al., "Evaluating the search phase of neural architecture search", 2020).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lnas.errors import InputError

RANDOM = "random cells"


@dataclass
class Stage:
    """The options of one kind of run.

    Args:
        configs: Names or paths of configs, in their order.
        options: Single options by dotted name, stronger than the configs.
    """

    configs: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """Return the options as they would stand on a command line."""
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in self.options.items()
        }
        configs = [word for config in self.configs for word in ("--config", config)]
        return configs + [f"--{name}={text}" for name, text in texts.items()]


@dataclass
class Variant:
    """One way to search.

    Args:
        name: Its name in the table.
        search: How it searches.
    """

    name: str
    search: Stage


@dataclass
class Study:
    """Variants x seeds, and a baseline of random cells.

    Args:
        name: Name of the study; its folder is `runs/NAME` unless `folder` says otherwise.
        variants: What is compared.
        evaluation: How every derived or drawn network is trained.
        seeds: One search and one evaluation of each variant for each.
        random: Number of randomly drawn cells; at least 2 give a standard deviation, 0 leaves
            the baseline out.
        threads: Threads that torch computes with; 1 is best for networks of a few channels, whose
            kernels are too short to be shared out. None leaves it to torch.
        folder: Where the runs and the table go.
        overwrite: Replace runs that were made with other settings.
    """

    name: str
    variants: list[Variant]
    evaluation: Stage
    seeds: list[int] = field(default_factory=lambda: [0])
    random: int = 4
    threads: int | None = None
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
        if self.random < 0:
            raise InputError(f"random={self.random} is no number of cells; give 0 or more.")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads={self.threads} is no number of threads; give 1 or more.")

    @property
    def root(self) -> Path:
        """The study's folder."""
        return Path(self.folder or f"runs/{slug(self.name)}")


@dataclass(frozen=True)
class Trial:
    """One cell of the table: an architecture from one seed, and its evaluation.

    Args:
        method: Name of the variant, or `RANDOM`.
        seed: Seed of search and evaluation; of a random cell, seed of the draw and evaluation.
        folder: Holds the folders `search` and `evaluate`.
        search: Options of the search; None draws a random cell.
    """

    method: str
    seed: int
    folder: Path
    search: list[str] | None

    @property
    def genotype(self) -> Path:
        """The genotype's file."""
        home = self.folder if self.search is None else self.folder / "search"
        return home / "genotype.json"


def trials(study: Study) -> Iterator[Trial]:
    """Yield the trials in the order they run: all variants of a seed, then the next seed."""
    for seed in study.seeds:
        for variant in study.variants:
            folder = study.root / f"{slug(variant.name)}-{seed}"
            yield Trial(variant.name, seed, folder, variant.search.arguments())
    for index in range(study.random):
        # Distinct draws even when there are fewer seeds than random cells.
        seed = study.seeds[0] + index
        yield Trial(RANDOM, seed, study.root / f"{slug(RANDOM)}-{seed}", None)


def slug(name: str) -> str:
    """Return the name as it can stand in a path."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
