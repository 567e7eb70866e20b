"""The report as one HTML file: what is in it, how large it may become, where it goes.

The page carries its style, its script, the plotting library and its data. Its content security
policy names the hashes of its own scripts: nothing else runs in it and nothing is loaded, whatever
stands in the files that it was made of. Equal files give equal pages.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lnas import __version__
from lnas.files import write_text
from lnas.report.checklist import checklist
from lnas.report.curves import Curve, curves_of
from lnas.report.details import LEVELS, Detail, page_data
from lnas.report.overview import COLUMNS, line_of, spreads_of, used_columns
from lnas.report.places import Subject
from lnas.report.redaction import without_places
from lnas.report.settings import differing, effective
from lnas.report.truth import benchmark_of, is_asked, true_curve, truth_table
from lnas.report.vega import plotting_library

LIMIT = 4_900_000  # bytes
SCRIPTS = ("common.js", "cells.js", "charts.js", "main.js")
SIDE_BY_SIDE = 8  # runs whose settings fit beside each other
PARTS = {
    "study": "Results",
    "runs": "Runs",
    "truth": "True accuracy",
    "architectures": "Architectures",
    "curves": "Curves",
    "settings": "Settings",
    "cards": "Run cards",
    "checklist": "Checklist",
}


def write_report(subject: Subject, path: Path) -> int:
    """Write the report into an HTML file and return its size in bytes.

    Raises:
        InputError: The plotting library is not installed, or the file cannot be written.
    """
    text = render(subject)
    write_text(path, text)
    return len(text.encode())


def render(subject: Subject, limit: int = LIMIT) -> str:
    """Return the page, with as much detail as makes it no larger than `limit` bytes."""
    benchmark = benchmark_of(subject.runs)
    curves = []
    for run in subject.runs:
        true = None if benchmark is None else true_curve(run, benchmark)
        curves.append([*curves_of(run), *([] if true is None else [true])])
    content = _content(subject, curves)
    content["truth"] = None if benchmark is None else truth_table(subject.runs, benchmark)
    for detail in LEVELS:
        text = _page(content, page_data(subject, curves, detail), _fitted(subject, curves, detail))
        if len(text.encode()) <= limit:
            break
    return text


def _page(content: Mapping[str, Any], data: Mapping[str, Any], fitted: str) -> str:
    own = "(() => {\n" + "".join(_read(name) for name in SCRIPTS) + "})();"
    scripts = [f"{_read('licences.js')}{plotting_library()}", own]
    text: str = _template().render(
        content,
        data=json_for_html(data),
        fitted=fitted,
        style=_read("style.css"),
        scripts=scripts,
        script_hashes=[_policy(script) for script in scripts],
        last_epoch=data["last"],
        has_architectures=bool(data["searches"]),
        has_curves=bool(data["panels"]),
        has_scores=data["scores"] is not None,
    )
    return text


def json_for_html(data: Any) -> str:
    """Return JSON that cannot end the element it stands in, nor begin a comment."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _content(subject: Subject, curves: Sequence[Sequence[Curve]]) -> dict[str, Any]:
    lines = [line_of(run) for run in subject.runs]
    used = used_columns(lines)
    items = checklist(subject)
    parts = dict(PARTS)
    if not subject.is_study:
        del parts["study"]
    if not is_asked(subject.runs):
        del parts["truth"]
    return {
        "title": subject.title,
        "is_study": subject.is_study,
        "lead": _lead(subject),
        "parts": list(parts.items()),
        "table": subject.table,
        "lines": lines,
        "used": used,
        "columns": [list(COLUMNS)[index] for index in used],
        "spreads": spreads_of(subject.runs, subject.methods),
        "asked_truth": is_asked(subject.runs),
        "differences": _differences(subject),
        "settings": _texts([(run.name, effective(run)) for run in subject.runs]),
        "cards": _texts([(run.name, _card(run.card)) for run in subject.runs]),
        "checklist": [(name, list(own)) for name, own in groupby(items, lambda item: item.group)],
        "version": __version__,
    }


def _lead(subject: Subject) -> str:
    counts: dict[str, int] = {}
    for run in subject.runs:
        noun = {"search": "searches", "evaluation": "evaluations"}[run.kind]
        counts[noun] = counts.get(noun, 0) + 1
    said = [f"{n} {noun if n > 1 else _singular(noun)}" for noun, n in counts.items()]
    finished = sum(run.card.get("status") == "finished" for run in subject.runs)
    ended = "all finished" if finished == len(subject.runs) else f"{finished} finished"
    return f"{' and '.join(said) or 'No run'}{f', {ended}' if said else ''}."


def _singular(noun: str) -> str:
    return {"searches": "search", "evaluations": "evaluation"}[noun]


def _differences(subject: Subject) -> list[dict[str, Any]]:
    """Return the settings that differ among searches, and among evaluations."""
    found = []
    for kind, noun in (("search", "searches"), ("evaluation", "evaluations")):
        pairs = zip(subject.runs, subject.methods, strict=True)
        own = [(run, method) for run, method in pairs if run.kind == kind]
        if len(own) < 2:
            continue
        runs, note = [run for run, _ in own], ""
        if len(runs) > SIDE_BY_SIDE:
            first = {method: run for run, method in reversed(own)}
            different = [run for run in runs if any(run is one for one in first.values())]
            runs, more = different[:SIDE_BY_SIDE], len(different) - SIDE_BY_SIDE
            note = "The first run of each method" + (f"; {more} more below." if more > 0 else ".")
        rows = [{"name": one.name, "texts": one.values} for one in differing(runs)]
        names = [run.name for run in runs]
        found.append({"title": noun, "names": names, "found": rows, "note": note})
    return found


def _texts(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return each text once, with the names of the runs that have it."""
    names: dict[str, list[str]] = {}
    for name, text in pairs:
        names.setdefault(text, []).append(name)
    return [{"names": ", ".join(own), "text": text} for text, own in names.items()]


def _card(card: Mapping[str, Any]) -> str:
    """Return a run card without the settings, which stand by themselves."""
    rest = {name: value for name, value in card.items() if name != "config"}
    return json.dumps(without_places(rest), indent=2, ensure_ascii=False) if rest else ""


def _fitted(subject: Subject, curves: Sequence[Sequence[Curve]], detail: Detail) -> str:
    """Say what was left out for the sake of size."""
    said = []
    if any(len(curve.x) > detail.points for own in curves for curve in own):
        said.append(f"curves have at most {detail.points} of their points")
    if any(len(run.gates) > detail.epochs for run in subject.runs):
        kept = f"{detail.epochs} epochs" if detail.epochs else "no epoch"
        said.append(f"strips of gates show at most {kept}")
    if detail.cells < LEVELS[0].cells:
        said.append(f"at most {detail.cells} of a search’s different cells are drawn")
    if not said:
        return "Everything that was logged is in this file."
    return f"To keep this file small, {', '.join(said)}; the run folders have everything."


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def _read(name: str) -> str:
    return files("lnas.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    loader = PackageLoader("lnas.report", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(
        "report.html"
    )
