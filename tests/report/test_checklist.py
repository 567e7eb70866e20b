"""The checklist: its answers follow the run cards, and what these do not say stays open."""

import json
import shutil

from lnas.report.checklist import checklist
from lnas.report.places import subject_of


def answers(*folders):
    return {item.asked: item for item in checklist(subject_of(folders))}


def of(found, word):
    (item,) = [item for asked, item in found.items() if word in asked]
    return item


def test_one_search_is_no_comparison(made):
    found = answers(made.images)
    assert len(found) == 16
    assert of(found, "several times").verdict == "no"
    assert of(found, "random search").verdict == "no"
    assert of(found, "share data").verdict == "not applicable"
    assert of(found, "code of the search method").verdict == "for the author"
    assert of(found, "settings and seeds of the search").evidence.endswith("seeds 1.")
    assert of(found, "over time").verdict == "yes"
    assert of(found, "tabular").verdict == "no"


def test_a_study_with_seeds_random_cells_and_trainings_is_answered_so(small_study):
    found = answers(small_study)
    assert of(found, "several times").verdict == "yes"
    assert of(found, "random search").evidence == "random cells in the table of the study."
    assert of(found, "one protocol").verdict == "yes"
    assert of(found, "whole method").verdict == "yes"
    assert of(found, "all details").verdict == "yes"


def test_other_versions_and_splits_are_found(made, tmp_path):
    other = shutil.copytree(made.nasbench, tmp_path / "other")
    card = json.loads((other / "run_card.json").read_text())
    card["versions"]["torch"] = "0.1"
    card["split_hash"] = "another"
    (other / "run_card.json").write_text(json.dumps(card))
    found = answers(made.images, other)
    assert of(found, "library versions").verdict == "no"
    assert of(found, "share data").verdict == "no"
    (other / "run_card.json").unlink()
    found = answers(other)
    assert of(found, "all details").verdict == "no"
    assert of(found, "whole method").verdict == "no"
