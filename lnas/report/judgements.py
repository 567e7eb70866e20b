"""What run cards say to each item of the checklist: a verdict, and what it rests on."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from lnas.report.overview import duration
from lnas.report.places import APART, Subject
from lnas.report.run_files import RunFiles
from lnas.studies.plan import RANDOM, RANDOM_CHOICE

Verdict = Literal["yes", "no", "not applicable", "for the author"]
Judgement = tuple[Verdict, str]
NOTHING: Judgement = ("not applicable", "No run in this report.")


def searches(subject: Subject) -> list[RunFiles]:
    """Return the searches."""
    return [run for run in subject.runs if run.kind == "search"]


def evaluations(subject: Subject) -> list[RunFiles]:
    """Return the trainings from scratch."""
    return [run for run in subject.runs if run.kind == "evaluation"]


def code_named(what: str) -> Callable[[Subject], Judgement]:
    """Name the code; whether it is public is not known."""

    def judge(subject: Subject) -> Judgement:
        versions = _different(_version(run) for run in subject.runs)
        known = f"lnas {', '.join(versions)}" if versions else "a version of lnas not recorded"
        return (
            "for the author",
            f"{what} is {known} and the settings below; whether that code, with changes of one’s "
            "own, is public is not in a run card.",
        )

    return judge


def settings_given(
    pick: Callable[[Subject], list[RunFiles]], what: str
) -> Callable[..., Judgement]:
    """Whether settings and seeds of the runs are all there."""

    def judge(subject: Subject) -> Judgement:
        runs = pick(subject)
        if not runs:
            return "not applicable", f"No {what} in this report."
        bare = [run.name for run in runs if not run.config or _seed(run) is None]
        if bare:
            return "no", f"Settings or seed are missing of {_some(bare)}."
        seeds = ", ".join(_different(str(_seed(run)) for run in runs))
        return "yes", f"All settings are below; seeds {seeds}."

    return judge


def same_benchmark(subject: Subject) -> Judgement:
    """Whether the ways to search share data, space and final training."""
    if _methods(subject) < 2:
        return "not applicable", "There is one way to search, or none."
    splits = _different(str(run.card.get("split_hash")) for run in searches(subject))
    spaces = _different(repr(_model(run, "space")) for run in searches(subject))
    if len(splits) > 1 or len(spaces) > 1:
        return (
            "no",
            f"{_count(splits, 'data split')} and {_count(spaces, 'search space')} among "
            "the searches.",
        )
    trainings = _different(repr(_apart(run)) for run in evaluations(subject))
    if len(trainings) > 1:
        return "no", f"{len(trainings)} different pipelines train the cells."
    known = f"data split {splits[0][:12]}" if splits and splits[0] != "None" else "split unknown"
    final = "one pipeline of final training" if trainings else "no final training"
    return "yes", f"One {known}, one search space, {final}."


def no_confounders(subject: Subject) -> Judgement:
    """Whether versions and devices are equal."""
    if not subject.runs:
        return NOTHING
    versions = _different(repr(run.card.get("versions")) for run in subject.runs)
    devices = _different(str(run.card.get("devices")) for run in subject.runs)
    if len(versions) > 1 or len(devices) > 1:
        return (
            "no",
            f"{_count(versions, 'set')} of library versions, {_count(devices, 'number')} "
            "of devices.",
        )
    if versions == ["None"]:
        return "for the author", "No run card names its versions."
    return (
        "for the author",
        f"Library versions and number of devices ({devices[0]}) are equal in all runs; the kind of "
        "hardware is not in a run card.",
    )


def ablations(subject: Subject) -> Judgement:
    """How many ways to search there are."""
    count = _methods(subject)
    if count < 2:
        return "no", "One way to search: nothing is taken away from it here."
    return (
        "for the author",
        f"{count} ways to search differ in the settings listed below; which of them is an ablation "
        "is the author’s to say.",
    )


def one_protocol(subject: Subject) -> Judgement:
    """Whether all cells are trained with equal settings."""
    runs = evaluations(subject)
    if not runs:
        return "not applicable", "No cell was trained from scratch in this report."
    kinds = _different(repr(_apart(run)) for run in runs)
    if len(kinds) > 1:
        return "no", f"{len(kinds)} different settings among {len(runs)} trainings."
    return "yes", f"{len(runs)} trainings with equal settings but for cell and seed."


def over_time(subject: Subject) -> Judgement:
    """Whether the results of every search are there epoch by epoch."""
    runs = searches(subject)
    if not runs:
        return "not applicable", "No search in this report."
    bare = [run.name for run in runs if not _has_results_over_time(run)]
    if bare:
        return "no", f"No results over the epochs on held-out data of {_some(bare)}."
    return "yes", "Held-out results over the epochs of every search are among the curves."


def has_random(subject: Subject) -> Judgement:
    """Whether random cells stand beside the others."""
    names = [] if subject.table is None else subject.table.methods
    found = [name for name in names if name.startswith((RANDOM, RANDOM_CHOICE))]
    if found:
        return "yes", f"{', '.join(found)} in the table of the study."
    random = [run.name for run in subject.runs if _is_random(run)]
    if random:
        return "yes", f"{_some(random)} draw cells at random."
    return "no", "No randomly drawn cells are beside the searches."


def repeated(subject: Subject) -> Judgement:
    """Whether each way to search has several seeds."""
    groups: dict[str, set[str]] = {}
    for run, method in zip(subject.runs, subject.methods, strict=True):
        if run.kind == "search":
            groups.setdefault(method, set()).add(str(_seed(run)))
    if not groups:
        return "not applicable", "No search in this report."
    fewest = min(len(seeds) for seeds in groups.values())
    seeds = ", ".join(sorted(set().union(*groups.values())))
    if fewest < 2:
        return "no", f"A method was searched with one seed only; seeds {seeds}."
    return "yes", f"At least {fewest} seeds of each method; seeds {seeds}."


def tabular(subject: Subject) -> Judgement:
    """Whether a table says how good the cells are."""
    runs = searches(subject)
    if not runs:
        return "not applicable", "No search in this report."
    names = [] if subject.table is None else subject.table.methods
    if any(name.startswith(RANDOM_CHOICE) for name in names):
        return "yes", "The study looks its cells up in NAS-Bench-201."
    logged = sum("search/true_accuracy" in run.results for run in runs)
    if logged:
        return "yes", f"{logged} of {len(runs)} searches log the accuracy in NAS-Bench-201."
    known = sum(getattr(run.space, "name", None) == "nasbench201" for run in runs)
    if known:
        said = f"{known} of {len(runs)} searches are in the space of NAS-Bench-201"
        return "for the author", f"{said}; the report looks their cells up where the table is."
    return "no", "No search is in a space that a table knows."


def tuning(subject: Subject) -> Judgement:
    """Nothing is known of it."""
    return "for the author", "Run cards do not say how settings were found, nor what that took."


def whole_time(subject: Subject) -> Judgement:
    """Whether the time of searches and final trainings is known."""
    if not subject.runs:
        return NOTHING
    known = [run.card.get("wall_time_seconds") for run in subject.runs]
    times = [float(value) for value in known if isinstance(value, (int, float))]
    if len(times) < len(known):
        return "no", f"{len(known) - len(times)} of {len(known)} runs have no wall time."
    whole = duration(sum(times))
    if not (searches(subject) and evaluations(subject)):
        return "no", f"{whole} for what is here, which is not search and final training both."
    return "yes", f"{whole} for searches and final trainings together."


def all_details(subject: Subject) -> Judgement:
    """Whether settings and versions of all runs are known."""
    if not subject.runs:
        return NOTHING
    bare = [run.name for run in subject.runs if not run.config or not run.card.get("versions")]
    if bare:
        return "no", f"Settings or versions are missing of {_some(bare)}."
    return "yes", "Effective settings, versions, seeds and data splits of every run, below."


def _methods(subject: Subject) -> int:
    pairs = zip(subject.runs, subject.methods, strict=True)
    return len({method for run, method in pairs if run.kind == "search"})


def _has_results_over_time(run: RunFiles) -> bool:
    names = (f"search/held_out_{run.measure.name}", "search/true_accuracy")
    return any(sum(name in row for row in run.rows) > 1 for name in names)


def _seed(run: RunFiles) -> object:
    return run.card.get("seed", run.config.get("seed"))


def _version(run: RunFiles) -> str:
    versions = run.card.get("versions")
    return str(versions.get("lnas", "")) if isinstance(versions, dict) else ""


def _model(run: RunFiles, part: str) -> object:
    model = run.config.get("model")
    return model.get(part) if isinstance(model, dict) else None


def _apart(run: RunFiles) -> object:
    return {key: run.config[key] for key in sorted(run.config) if key not in APART}


def _is_random(run: RunFiles) -> bool:
    relaxation = _model(run, "relaxation")
    named = relaxation.get("class_path") if isinstance(relaxation, dict) else None
    return named == "lnas.relaxations.RandomCell"


def _different(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def _count(values: Sequence[str], noun: str) -> str:
    return f"{len(values)} {noun}{'s' if len(values) != 1 else ''}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
