"""The data of the page: curves, cells and strips, as detailed as the size of the file allows."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from lnas.genotype import Genotype
from lnas.report.cell_svg import cell_svg
from lnas.report.curves import SECTIONS, TRAINING, Curve, Place, evenly, rounded, thinned
from lnas.report.heat import heat_of
from lnas.report.places import Subject
from lnas.report.run_files import RunFiles
from lnas.visualize.palette import TITLES, family, label

MANY = 6  # trials that are shown from the beginning


class Detail(NamedTuple):
    """How much of each run is kept.

    Args:
        points: Of each curve.
        epochs: Of the gates; 0 leaves them out.
        cells: Of the epochs' cells, evenly chosen among those that are new.
    """

    points: int
    epochs: int
    cells: int


LEVELS = (
    Detail(400, 400, 100_000),
    Detail(200, 150, 200),
    Detail(100, 80, 60),
    Detail(60, 40, 20),
    Detail(40, 20, 8),
    Detail(25, 0, 3),
    Detail(12, 0, 1),
)


def page_data(
    subject: Subject, curves: Sequence[Sequence[Curve]], detail: Detail
) -> dict[str, Any]:
    """Return everything that the page draws, as plain data.

    Args:
        subject: What the report is about.
        curves: The curves of each run.
        detail: How much of them is kept.
    """
    trials = list(dict.fromkeys(subject.trials))
    drawings: dict[str, int] = {}
    axes: dict[tuple[float | None, ...], int] = {}
    panels = _panels(curves)
    lines = [
        {
            "p": list(panels).index(_panel(curve.place)),
            "r": number,
            "s": curve.place.series,
            "x": axes.setdefault(tuple(rounded(curve.x)), len(axes)),
            "y": rounded(curve.y),
        }
        for number, own in enumerate(curves)
        for curve in (thinned(one, detail.points) for one in own)
    ]
    searched = {run.genotype.hash for run in subject.runs if run.genotype and run.kind == "search"}
    searches = [
        _search(number, run, detail, drawings)
        for number, run in enumerate(subject.runs)
        if run.trail or run.gates or (run.genotype and not _is_known(run, searched))
    ]
    named = list(dict.fromkeys(name for run in subject.runs for name in _operations(run)))
    return {
        "runs": [
            {"name": run.name, "trial": trials.index(trial)}
            for run, trial in zip(subject.runs, subject.trials, strict=True)
        ],
        "trials": _trials(subject, trials),
        "last": max([1, *(run.epochs for run in subject.runs if run.kind == "search")]),
        "panels": list(panels.values()),
        "curves": lines,
        "xs": [list(axis) for axis in axes],
        "drawings": list(drawings),
        "searches": searches,
        "named": named,
        "operations": {
            name: {"label": label(name), "colour": family(name).colour} for name in named
        },
        "scores": _scores(subject),
    }


def _trials(subject: Subject, trials: Sequence[str]) -> list[dict[str, Any]]:
    """Return names, colours (in a study one for each method) and what is shown at first."""
    heads = [name.rsplit(", seed ", 1)[0] if subject.is_study else name for name in trials]
    colours = list(dict.fromkeys(heads))
    return [
        {
            "name": name,
            "colour": colours.index(head),
            # Of many the first of each method.
            "on": len(trials) <= MANY or heads.index(head) == number,
        }
        for number, (name, head) in enumerate(zip(trials, heads, strict=True))
    ]


def _panel(place: Place) -> tuple[str, str]:
    return place.section, place.panel


def _panels(curves: Iterable[Iterable[Curve]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the panels in their order, with the names of their series."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    places = dict.fromkeys(curve.place for own in curves for curve in own)
    for place in sorted(places, key=lambda place: SECTIONS.index(place.section)):
        panel = found.setdefault(
            _panel(place),
            {
                "section": place.section,
                "title": place.panel,
                "percent": place.percent,
                "kind": "evaluation" if place.section == TRAINING else "search",
                "series": [],
            },
        )
        if place.series not in panel["series"]:
            panel["series"].append(place.series)
    return found


def _search(number: int, run: RunFiles, detail: Detail, drawings: dict[str, int]) -> dict[str, Any]:
    """Return the different cells of a search, what it derived if that is another, its strips."""

    def drawn(genotype: Genotype) -> list[int]:
        pictures = [cell_svg(genotype, kind) for kind in genotype.cells]
        return [drawings.setdefault(picture, len(drawings)) for picture in pictures]

    changes: list[tuple[int, Genotype]] = []
    for epoch, genotype in run.trail:
        if not changes or genotype.hash != changes[-1][1].hash:
            changes.append((epoch + 1, genotype))
    kept = [changes[index] for index in evenly(len(changes), detail.cells)]
    found = run.genotype
    other = found is not None and not (changes and changes[-1][1].hash == found.hash)
    kinds = list(kept[0][1].cells if kept else found.cells if found is not None else ())
    return {
        "run": number,
        "epochs": max(1, run.epochs),
        "titles": [TITLES.get(kind, "cell") for kind in kinds],
        "trail": [[epoch, drawn(genotype), genotype.hash] for epoch, genotype in kept],
        "derived": [drawn(found), found.hash] if other and found is not None else None,
        "trained": run.kind == "evaluation",
        "heat": heat_of(run, detail.epochs),
        "dropped": bool(run.gates) and not detail.epochs,
    }


def _is_known(run: RunFiles, searched: Collection[str]) -> bool:
    """Whether a run trains what another one has derived: one drawing is enough."""
    return run.kind == "evaluation" and run.genotype is not None and run.genotype.hash in searched


def _operations(run: RunFiles) -> list[str]:
    names = list(run.space.operations) if run.space is not None else []
    cells = [genotype for _, genotype in run.trail]
    cells += [] if run.genotype is None else [run.genotype]
    for genotype in cells:
        names += [name for kind in genotype.cells for *_, name in genotype.edges(kind)]
    return list(dict.fromkeys(names))


def _scores(subject: Subject) -> dict[str, Any] | None:
    if subject.scores is None:
        return None
    measure = subject.scores.measure
    return {
        "rows": [{"m": method, "v": value} for method, value in subject.scores.values],
        "title": f"test {measure}",
        "percent": measure == "accuracy",
    }
