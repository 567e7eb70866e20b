"""The best practices of Lindauer and Hutter, answered as far as run cards can answer them.

M. Lindauer, F. Hutter, "Best Practices for Scientific Research on Neural Architecture Search", JMLR
21(243), 2020, arXiv:1909.02453. The items are put in other words, in the order of the paper's three
groups. What no run card says is for the author to say, never assumed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lnas.report.judgements import (
    Judgement,
    Verdict,
    ablations,
    all_details,
    code_named,
    evaluations,
    has_random,
    no_confounders,
    one_protocol,
    over_time,
    repeated,
    same_benchmark,
    searches,
    settings_given,
    tabular,
    tuning,
    whole_time,
)
from lnas.report.places import Subject

RELEASE, COMPARE, REPORT = "Releasing", "Comparing", "Reporting"


@dataclass(frozen=True)
class Item:
    """One item.

    Args:
        group: Releasing, comparing or reporting.
        asked: What is asked.
        verdict: The answer.
        evidence: What it rests on.
    """

    group: str
    asked: str
    verdict: Verdict
    evidence: str


def checklist(subject: Subject) -> list[Item]:
    """Return all items with their answers."""
    return [Item(group, asked, *judge(subject)) for group, asked, judge in ITEMS]


ITEMS: tuple[tuple[str, str, Callable[[Subject], Judgement]], ...] = (
    (RELEASE, "Is the code of the final training public?", code_named("The final training")),
    (RELEASE, "Is the code of the search space public?", code_named("The search space")),
    (
        RELEASE,
        "Are settings and seeds of the final training given?",
        settings_given(evaluations, "final training"),
    ),
    (RELEASE, "Is the code of the search method public?", code_named("The method")),
    (RELEASE, "Are settings and seeds of the search given?", settings_given(searches, "search")),
    (
        COMPARE,
        "Do all methods share data and split, search space and final training?",
        same_benchmark,
    ),
    (COMPARE, "Are hardware, library versions and run times kept from mattering?", no_confounders),
    (COMPARE, "Are there ablations?", ablations),
    (COMPARE, "Are all methods judged by one protocol?", one_protocol),
    (COMPARE, "Is performance compared over time?", over_time),
    (COMPARE, "Is random search among the methods?", has_random),
    (COMPARE, "Is every method run several times, with the seeds named?", repeated),
    (COMPARE, "Is a tabular or surrogate benchmark used?", tabular),
    (REPORT, "Is it said how settings were tuned, and what that took?", tuning),
    (REPORT, "Is the time of the whole method given, not of the search alone?", whole_time),
    (REPORT, "Are all details of the experiment given?", all_details),
)
