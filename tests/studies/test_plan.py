"""A study's file as data: what it means, and what is refused."""

import os

import pytest

from lnas.errors import InputError
from lnas.studies.plan import RANDOM, Options, Stage, Study, Variant, slug


def study(**changes):
    variants = [Variant("DARTS", Options(["darts"])), Variant("DARTS, 2nd", Options(["second"]))]
    return Study(**{"name": "s", "variants": variants, "evaluation": Options(), **changes})


def test_options_stand_as_on_a_command_line():
    options = {"x.y": 3, "flag": True, "name": "lnas.spaces.X", "none": None}
    for kind in (Options, Stage):
        assert kind(["a", "b"], options).arguments() == [
            "--config", "a", "--config", "b", "--x.y=3", "--flag=true", "--name=lnas.spaces.X",
            "--none=null",
        ]  # fmt: skip


def test_each_criterion_of_a_variant_is_a_method():
    criteria = {"magnitude": "a.B", "random": {"class_path": "a.C"}}
    assert Variant("DARTS", Options(), criteria=criteria).methods() == [
        "DARTS, magnitude", "DARTS, random",
    ]  # fmt: skip
    assert study().methods() == ["DARTS", "DARTS, 2nd"]


def test_the_cores_are_shared_out_among_the_jobs():
    assert study(threads=3, jobs=5).threads_each == 3
    assert study(jobs=10_000).threads_each == 1
    assert study().threads_each == os.cpu_count()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "at least one"),
        ({"variants": []}, "at least one"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": [0, -1]}, "seed=-1 is no seed"),
        ({"random": -1}, "random=-1"),
        ({"threads": 0}, "threads=0"),
        ({"jobs": 0}, "jobs=0"),
        ({"retrainings": -1}, "retrainings=-1"),
        ({"variants": [Variant("a", Options()), Variant("A", Options())]}, "names of their own"),
        ({"variants": [Variant(RANDOM, Options())]}, "names of their own"),
        ({"variants": [Variant("?", Options())]}, "has the name '\\?'"),
        ({"reference": "GDAS"}, "'DARTS', 'DARTS, 2nd'"),
        ({"evaluation": None}, "either"),
        ({"truth": "nasbench201"}, "either"),
        ({"variants": [Variant("a", Options(), criteria={"x": "a", "X": "b"})]}, "of their own"),
        ({"variants": [Variant("a", Options(), [Stage(keep=5)])]}, "first stage of a has keep=5"),
        ({"variants": [Variant("a", Options(), [Stage(), Stage(keep=0)])]}, "keep=0"),
        ({"variants": [Variant("a", Options(), [Stage(go_on=True)])]}, "go_on=True"),
        (
            {"variants": [Variant("a", Options(), [Stage(), Stage(keep=2, go_on=True)])]},
            "keep or go_on",
        ),
    ],
)
def test_a_study_that_means_nothing_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        study(**changes)


def test_names_become_paths():
    assert slug("DARTS, 2nd order!") == "darts-2nd-order"


@pytest.mark.parametrize("name", ["seed", "run.folder", "resume", "genotype"])
def test_what_the_study_gives_to_each_run_is_no_option_of_one(name):
    with pytest.raises(InputError, match=f"name {name}, which the study gives"):
        Options(["darts"], {name: 4})
