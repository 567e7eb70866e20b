"""`lnas report`: where the file goes, what is refused."""

import pytest

from lnas.cli.main import main
from lnas.report import vega


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a run's folder; the plotting library is left out."""
    monkeypatch.setattr("lnas.report.page.plotting_library", lambda: "")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 3\n")
    return folder


def refused(capsys, *arguments):
    code = main(["report", *map(str, arguments)])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    (line,) = said.err.strip().splitlines()
    return line


def test_the_file_lies_in_the_run_and_is_replaced(run, capsys):
    for _ in range(2):
        assert main(["report", str(run)]) == 0
        file = run / "report.html"
        assert capsys.readouterr().out == f"Report {file}, 0.0 MB\n"
        assert file.read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "report.html"]


def test_a_named_file_is_not_replaced_unless_asked(run, tmp_path, capsys):
    file = tmp_path / "deep" / "page.html"
    assert main(["report", str(run), "--output", str(file)]) == 0
    capsys.readouterr()
    assert "exists; choose another file, or give --overwrite" in refused(
        capsys, run, "--output", file
    )
    assert main(["report", str(run), "--output", str(file), "--overwrite"]) == 0


def test_what_cannot_be_reported_is_refused_in_a_line(run, tmp_path, capsys):
    assert "neither the folder of a run nor of a study" in refused(capsys, tmp_path / "nothing")
    assert "neither the folder of a run nor of a study" in refused(capsys, tmp_path)
    assert "required: FOLDER" in refused(capsys)
    assert "is a folder; give --output a file" in refused(capsys, run, "--output", tmp_path)


def test_a_missing_library_is_said_with_its_remedy(run, capsys, monkeypatch):
    monkeypatch.setattr("lnas.report.page.plotting_library", vega.plotting_library)
    vega.plotting_library.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    assert 'pip install "lnas[report]"' in refused(capsys, run)
    vega.plotting_library.cache_clear()
