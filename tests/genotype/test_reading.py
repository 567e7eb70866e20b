"""Files may be anything; whatever is no genotype ends in one line that names the file."""

import os

import pytest

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import zoo


def test_any_format_loads_from_a_file(tmp_path):
    genotype = zoo.load("darts_v2")
    for style in ("darts", "snas", "json"):
        path = tmp_path / style
        path.write_text(genotype.to_text(style))
        assert Genotype.load(path) == genotype


def test_byte_order_mark_is_no_hindrance(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(zoo.load("gdas").to_json(), encoding="utf-8-sig")
    assert Genotype.load(path) == zoo.load("gdas")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"\x80\x04K\x01.", "not UTF-8 text"),  # a pickle
        (b"{" + b" " * 1_000_001, "larger than 1,000,000 bytes"),
        (b'{"format": "lnas-genotype", "vers', "not valid JSON"),
        (b"hello", "starts with 'hello'"),
    ],
)
def test_file_that_is_no_genotype_is_refused(content, message, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Genotype.load(path)
    assert "bad.json" in str(caught.value)


def test_missing_file_folder_and_pipe_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        Genotype.load(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"^\S+ is not a file; give a genotype file\.$"):
        Genotype.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        Genotype.load(tmp_path / "pipe")
    with pytest.raises(InputError):
        Genotype.load("null\0character")
    with pytest.raises(InputError, match="Cannot read"):
        Genotype.load("x" * 5000)


def test_saving_replaces_at_once_and_leaves_nothing_beside(tmp_path):
    zoo.load("gdas").save(tmp_path / "g.json")
    zoo.load("darts_v1").save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == zoo.load("darts_v1")
    assert [path.name for path in tmp_path.iterdir()] == ["g.json"]
