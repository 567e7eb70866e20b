"""The truth cannot reach what chooses: who imports it, who may read what is logged of it."""

import ast
from pathlib import Path

import lnas
from lnas.callbacks import BenchmarkAccuracy, DeriveGenotype
from lnas.data import FakeImages
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv, read_rows
from lnas.search import SearchModule
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet
from lnas.tasks import ImageExamples

ROOT = Path(lnas.__file__).parent
# Who tells of it, and nobody else.
READERS = {
    "callbacks/benchmark_accuracy.py",
    "cli/genotypes.py",
    "report/truth.py",
    "studies/command.py",
    "studies/truth.py",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_only_what_tells_reads_the_benchmark():
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if path.parent.name != "benchmarks"
        and any(name.startswith("lnas.benchmarks") for name in imports(path))
    }
    assert found <= READERS
    assert "callbacks/benchmark_accuracy.py" in found
    words = {str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py") if "_test_200" in p.read_text()}
    assert words == {f"benchmarks/{name}.py" for name in ("table", "nasbench201", "convert")}


def search(trainer, folder, *callbacks):
    module = SearchModule(
        NasBench201Space(),
        lambda space, num_classes: NasBench201Supernet(space, 2, 1, num_classes),
        examples=ImageExamples(10, (3, 8, 8)), seed=3,
    )  # fmt: skip
    made = trainer(*callbacks, DeriveGenotype(), folder=folder, epochs=2)
    made.fit(module, FakeImages(images=48, shape=(3, 8, 8), batch_size=8, held_out=8))
    return made, Genotype.load(folder / "genotype.json")


def test_a_search_finds_the_same_cell_without_the_table(
    small_trainer, benchmark_table, tmp_path, monkeypatch
):
    watched = BenchmarkAccuracy(root=str(benchmark_table.folder))
    trainer, with_table = search(small_trainer, tmp_path / "with", watched)
    monkeypatch.delenv("LNAS_DATA")
    _, without = search(small_trainer, tmp_path / "without")
    assert with_table == without
    # It went to the loggers only: monitors read the trainer's metrics.
    rows = read_rows(tmp_path / "with" / MetricsCsv.FILE)
    accuracies = [row["search/true_accuracy"] for row in rows if "search/true_accuracy" in row]
    assert len(accuracies) == 2
    assert accuracies[-1] == benchmark_table.query(with_table).test_accuracy
    regrets = [row["search/regret"] for row in rows if "search/regret" in row]
    assert [round(a + r, 6) for a, r in zip(accuracies, regrets, strict=True)] == [0.943733] * 2
    known = {**trainer.callback_metrics, **trainer.logged_metrics, **trainer.progress_bar_metrics}
    assert not any("true" in name or "regret" in name for name in known)
