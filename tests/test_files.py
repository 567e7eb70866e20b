import pytest

from lnas.errors import InputError
from lnas.files import remove_temporary, replacing, write_text


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "new" / "deep" / "a.txt", "x")
    assert (tmp_path / "new" / "deep" / "a.txt").read_text() == "x"


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path):
    kept = ["a.ckpt", ".hidden", "deep/a.12.tmp.ckpt", ".notes.tmp"]
    for name in kept:
        write_text(tmp_path / name, "x")

    for name in ("a.ckpt", "deep/plain"):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("half")
        (tmp_path / name).rename(temporary)  # as if nobody had been left to do the opposite
    write_text(tmp_path / "a.ckpt", "x")
    remove_temporary(tmp_path)
    found = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(found) == sorted(kept)


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(InputError, match=r"Cannot write .*a.txt: No space left on device; choose"):
        write_text(tmp_path / "a.txt", "x")


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")
