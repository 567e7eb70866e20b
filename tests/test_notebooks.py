"""Every notebook runs from top to bottom, and is committed with what it shows."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def _shown(notebook):
    """Return the texts and the number of pictures that the cells of a notebook show."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    texts = [out["text"] for out in outputs if out["output_type"] == "stream"]
    return "".join(texts), sum("image/png" in out.get("data", {}) for out in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings(
    # Of the kernel's own libraries, which are no business of the notebook.
    "ignore:.*zmq.*",
    "ignore:Jupyter is migrating its paths",
    "ignore::DeprecationWarning:jupyter_client",
    "ignore::DeprecationWarning:nbclient",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_notebook_runs_and_shows_what_is_committed(path, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    committed = nbformat.read(path, as_version=4)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    for folder in filter(Path.is_dir, path.parent.iterdir()):  # what notebooks read
        (tmp_path / folder.name).symlink_to(folder)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=800, kernel_name="python3", resources=place).execute()
    text, pictures = _shown(notebook)
    committed_text, committed_pictures = _shown(committed)
    assert pictures == committed_pictures >= 1
    assert len(text.splitlines()) == len(committed_text.splitlines())
    assert all(out.get("name") != "stderr" for c in committed.cells for out in c.get("outputs", []))


def test_a_first_notebook_and_one_for_each_study():
    names = ["01_first_search", "02_claims", "03_wiring", "04_language", "05_selection"]
    assert [path.stem for path in NOTEBOOKS] == names


def test_the_verdict_on_each_claim_is_in_words_what_it_is_in_numbers():
    notebook = nbformat.read(NOTEBOOKS[1], as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    words = dict(re.findall(r"^### (\d+)\. .+\n\n\*\*([A-Z][a-z ]+):\*\*", text, re.MULTILINE))
    numbers = dict(re.findall(r"^Claim (\d+): ([a-z ]+)$", _shown(notebook)[0], re.MULTILINE))
    assert {number: verdict.lower() for number, verdict in words.items()} == numbers
    assert sorted(map(int, numbers)) == list(range(1, 13))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_only_public_names(path):
    cells = nbformat.read(path, as_version=4).cells
    lines = [
        line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()
    ]
    imports = [line for line in lines if line.startswith("from lnas")]
    assert imports
    for line in imports:
        package, names = line.removeprefix("from ").split(" import ")
        assert package.count(".") == 1
        assert all(name.strip()[0] != "_" for name in names.split(","))
