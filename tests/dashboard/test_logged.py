"""What a run logged is read from its folder, as points of lines, pictures and histograms."""

import json

import pytest

from lnas.dashboard import logged_by
from lnas.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "search/step,search/loss_weights,search/final_child_loss\n1,0.5,\n2,0.4,\n2,,0.7\n"
    )
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "genotype-0001.png").touch()
    (tmp_path / "gates.jsonl").write_text(
        json.dumps({"epoch": 0, "gates": {"cell": [[1.0]]}}) + "\n"
    )
    return tmp_path


def test_points_are_different_steps(folder):
    points = logged_by([folder]).points
    assert points["search/loss_weights"] == 2
    assert points["search/final_child_loss"] == 1


def test_pictures_and_histograms_go_by_their_names_in_the_logs(folder):
    logged = logged_by([folder])
    assert logged.pictures == {"genotype"}
    assert logged.histograms == {"arch/cell/gates"}


def test_of_several_runs_the_longest_line_counts(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "metrics.csv").write_text("eval/step,eval/lr\n1,0.1\n")
    points = logged_by([other, folder]).points
    assert points["eval/lr"] == 1
    assert points["search/loss_weights"] == 2


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not the folder of a run: it has no"):
        logged_by([tmp_path])
