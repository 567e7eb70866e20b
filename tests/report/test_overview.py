"""The lines of the table of runs."""

import json

import pytest

from lnas.report.overview import line_of
from lnas.report.run_files import read_run


@pytest.mark.parametrize(("status", "said"), [("finished", ""), ("failed", "0 of 45")])
def test_a_derivation_says_nothing_of_the_epochs_that_it_did_not_train(tmp_path, status, said):
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 45}\n")
    (tmp_path / "run_card.json").write_text(json.dumps({"status": status}))
    assert line_of(read_run(tmp_path, "a name")).epochs == said
