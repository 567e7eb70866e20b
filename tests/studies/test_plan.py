"""A study's file becomes a list of trials."""

import pytest

from lnas.errors import InputError
from lnas.studies.plan import RANDOM, Stage, Study, Variant, slug, trials


def study(**changes):
    variants = [Variant("DARTS", Stage(["darts"])), Variant("DARTS, 2nd", Stage(["second"]))]
    return Study(**{"name": "s", "variants": variants, "evaluation": Stage(), **changes})


def test_every_variant_meets_every_seed_and_random_cells_follow(tmp_path):
    planned = list(trials(study(seeds=[3, 5], random=3, folder=str(tmp_path))))
    assert [(trial.method, trial.seed) for trial in planned] == [
        ("DARTS", 3), ("DARTS, 2nd", 3), ("DARTS", 5), ("DARTS, 2nd", 5),
        (RANDOM, 3), (RANDOM, 4), (RANDOM, 5),
    ]  # fmt: skip
    assert len({trial.folder for trial in planned}) == len(planned)
    assert planned[0].genotype == tmp_path / "darts-3/search/genotype.json"
    assert planned[-1].genotype == tmp_path / "random-cells-5/genotype.json"


def test_options_stand_as_on_a_command_line():
    stage = Stage(["a", "b"], {"x.y": 3, "flag": True, "name": "lnas.spaces.X", "none": None})
    assert stage.arguments() == [
        "--config", "a", "--config", "b", "--x.y=3", "--flag=true", "--name=lnas.spaces.X",
        "--none=null",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "at least one"),
        ({"variants": []}, "at least one"),
        ({"seeds": [1, 1]}, "twice"),
        ({"random": -1}, "random=-1"),
        ({"threads": 0}, "threads=0"),
        ({"variants": [Variant("a", Stage()), Variant("A", Stage())]}, "names of their own"),
        ({"variants": [Variant(RANDOM, Stage())]}, "names of their own"),
    ],
)
def test_a_study_that_means_nothing_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        study(**changes)


def test_names_become_paths():
    assert slug("DARTS, 2nd order!") == "darts-2nd-order"
