"""Shipped configs are found by name or path, in a source tree and in a wheel."""

import tomllib
from pathlib import Path

import pytest

from lnas.errors import InputError
from lnas.runs.shipped import expand_configs, find_config, shipped_folder

ROOT = Path(__file__).parents[2]


def test_a_shipped_config_is_found_by_its_name():
    assert find_config("darts", ["search", "data"]) == ROOT / "configs/search/darts.yaml"


def test_a_shipped_config_is_found_by_its_path_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_config("configs/search/darts.yaml", ["search"])
    assert found == ROOT / "configs/search/darts.yaml"


def test_a_file_of_the_user_wins_over_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("darts").write_text("seed: 1\n")
    assert find_config("darts", ["search"]) == Path("darts")


def test_the_first_kind_wins_when_two_have_the_name(tmp_path):
    for kind in ("evaluation", "data"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "cifar10.yaml").write_text("")
    assert find_config("cifar10", ["evaluation", "data"], tmp_path).parent.name == "evaluation"


def test_a_misspelt_name_gets_near_ones():
    with pytest.raises(InputError, match=r"no config 'dart_second_order'.*darts_second_order"):
        find_config("dart_second_order", ["search"])


def test_names_are_replaced_in_every_spelling_of_the_option():
    given = ["--config", "darts", "-c=darts_cs10", "--seed", "1"]
    expanded, names = expand_configs(given, ["search"])
    assert names == ["darts", "darts_cs10"]
    folder = ROOT / "configs/search"
    assert expanded == [
        "--config", f"{folder}/darts.yaml", "--config", f"{folder}/darts_cs10.yaml", "--seed", "1"
    ]  # fmt: skip


def test_a_wheel_carries_the_configs_where_they_are_looked_for(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"configs": "lnas/configs"}
    (tmp_path / "lnas/configs").mkdir(parents=True)
    assert shipped_folder(tmp_path / "lnas") == tmp_path / included["configs"]
    assert shipped_folder() == ROOT / "configs"
