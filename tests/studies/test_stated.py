"""The hash of what a study states: it follows every file and option, and nobody's defaults."""

from pathlib import Path

import pytest

from lnas.studies.graph import Run
from lnas.studies.state import stated_hash

METHOD = "trainer: {max_epochs: 3}\nmodel: {seed: 1}\n"


@pytest.fixture
def asked(tmp_path):
    """`asked(method, *options)` -> the hash of a run of that config with these options."""

    def ask(method=METHOD, *options, kind="search", seed=5, folder="here", after=None):
        (tmp_path / "method.yaml").write_text(method)
        words = ("--config", str(tmp_path / "method.yaml"), "--config", "digits", *options)
        return stated_hash(Run(kind, "title", Path(folder), seed, words, after=after))

    return ask


def test_place_comments_and_order_of_keys_do_not_count(asked):
    reordered = "# a comment\nmodel:\n  seed: 1\ntrainer:\n  max_epochs: 3\n"
    assert asked() == asked(reordered) == asked(folder="there")


def test_a_value_an_option_a_seed_and_a_kind_count(asked):
    hashes = {
        asked(),
        asked(METHOD.replace("3", "4")),
        asked(METHOD, "--data.batch_size=8"),
        asked(METHOD, "--data.batch_size=16"),
        asked(seed=6),
        asked(kind="evaluate"),
    }
    assert len(hashes) == 6


def test_a_derivation_counts_what_its_search_was_asked(asked):
    searches = [Run("search", "title", Path("s"), 5, (f"--model.seed={n}",)) for n in (1, 2)]
    found = {
        stated_hash(Run("derive", "title", Path("d"), 5, ("--trainer.logger=false",), after=one))
        for one in searches
    }
    assert len(found) == 2
