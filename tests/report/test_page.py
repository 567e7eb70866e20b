"""The page: self-contained, small, the same for the same files, and no script but its own."""

import base64
import hashlib
import html
import json
import re
import shutil
from itertools import product

import numpy as np
import pytest

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.table import DATASETS, write_table
from lnas.genotype import Genotype
from lnas.report.details import LEVELS, page_data
from lnas.report.page import LIMIT, curves_of, json_for_html, render
from lnas.report.places import subject_of

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_a_report_of_all_kinds_of_runs_holds_them_all(made, without_library):
    subject = subject_of([made.images, made.again, made.nasbench, made.text, made.trained])
    page = render(subject)
    data = data_of(page)
    assert [run["name"] for run in data["runs"]] == [
        "images",
        "again",
        "nasbench",
        "text",
        "trained",
    ]
    assert [one["run"] for one in data["searches"]] == [0, 1, 2, 3]
    assert data["last"] == 4
    for search, run in zip(data["searches"], subject.runs, strict=False):
        shown = {hash_ for _, _, hash_ in search["trail"]}
        assert shown == {genotype.hash for _, genotype in run.trail}
    assert len(data["drawings"]) == len(set(data["drawings"]))
    assert {"Loss", "Accuracy", "Perplexity", "Fisher trace"} <= {
        panel["title"] for panel in data["panels"]
    }
    assert str(made.root) not in page
    assert render(subject) == page
    assert "mean ± std" in page
    assert "2 runs" in page


def test_a_cell_that_another_criterion_derived_stands_beside_the_last_epochs(
    made, tmp_path, without_library
):
    folder = shutil.copytree(made.nasbench, tmp_path / "run")
    other = Genotype("nasbench201", {"cell": [[("avg_pool_3x3", 0)], [], [("skip_connect", 1)]]})
    other.save(folder / "genotype.json")
    (search,) = data_of(render(subject_of([folder])))["searches"]
    assert search["derived"][1] == other.hash
    assert search["trail"][-1][2] == Genotype.load(made.nasbench / "genotype.json").hash
    trained = data_of(render(subject_of([made.trained])))["searches"][0]
    assert (trained["trained"], trained["trail"]) == (True, [])


def test_equal_cells_are_stored_once(made):
    subject = subject_of([made.images])
    twice = subject_of([made.images, made.again])
    both = type(twice)(twice.title, (*subject.runs, *subject.runs), ("a", "b"), ("a", "b"))
    curves = [curves_of(run) for run in both.runs]
    once = page_data(subject, curves[:1], LEVELS[0])
    assert page_data(both, curves, LEVELS[0])["drawings"] == once["drawings"]


def test_the_plotting_library_is_embedded_and_nothing_is_loaded(made):
    pytest.importorskip("vl_convert")
    page = render(subject_of([made.images]))
    assert len(page.encode()) < LIMIT
    assert page.count("vegaEmbed") > 2
    assert "BSD-3-Clause" in page
    assert "default-src 'none'" in page
    assert not re.search(
        r"<(?:script|img|iframe)[^>]+src=|<link|@import|url\(", page.split("<script")[0]
    )
    library = max(re.findall(r"<script>(.*?)</script>", page, re.S), key=len)
    assert len(library.encode()) < 1_500_000


def test_nothing_in_a_file_becomes_markup(made, small_study, tmp_path, without_library):
    plain = render(subject_of([made.images]))
    folder = shutil.copytree(made.images, tmp_path / "run")
    card = json.loads((folder / "run_card.json").read_text())
    card |= {"status": EVIL, "message": EVIL, "stopped": EVIL, "genotype_hash": EVIL, "seed": EVIL}
    card["versions"]["lnas"] = EVIL
    card["config"][EVIL] = {EVIL: EVIL}
    card["measure"]["name"] = EVIL
    (folder / "run_card.json").write_text(json.dumps(card))
    lines = (folder / "metrics.csv").read_text().splitlines()
    quoted = EVIL.replace('"', '""')
    lines = [f'{lines[0]},"search/{quoted}"', *(f"{line},{n}" for n, line in enumerate(lines[1:]))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    hostile = render(subject_of([folder, made.again]))
    study = shutil.copytree(small_study, tmp_path / "study")
    table = (study / "table.md").read_text()
    (study / "table.md").write_text(table.replace("DARTS-PRIME", EVIL).replace("a note", EVIL))
    (study / "results.csv").write_text(
        (study / "results.csv").read_text().replace("DARTS-PRIME", "<img src=x>")
    )
    for page in (hostile, render(subject_of([study]))):
        assert "<img" not in page
        assert "{{" not in page.split("<script")[0].replace("{{ 7 * 7 }}", "")
        assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)
        assert page.count("<script") == plain.count("<script")
        assert page.count("</script") == plain.count("</script")
    assert "alert(1)" in hostile  # it is there, as text


def test_json_cannot_leave_its_element():
    text = json_for_html({"a": "</script><!--&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><!--&"}


def test_the_policy_names_the_scripts_of_the_page_and_no_other(made, without_library):
    page = render(subject_of([made.images]))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    (policy,) = re.findall(r"script-src ([^;]*);", html.unescape(page))
    assert policy.split() == [f"'sha256-{one}'" for one in hashes]


def test_a_page_that_would_be_too_large_loses_detail_and_says_so(made, without_library):
    subject = subject_of([made.images, made.nasbench, made.text])
    whole = render(subject)
    assert "Everything that was logged is in this file." in whole
    small = render(subject, limit=1)
    assert len(small) < len(whole)
    assert "To keep this file small, " in small
    assert "strips of gates show at most no epoch" in small
    data = data_of(small)
    assert all(len(search["trail"]) == 1 for search in data["searches"])
    assert all(search["dropped"] and search["heat"] is None for search in data["searches"])


def test_runs_with_nearly_nothing_have_a_report(tmp_path, without_library):
    (tmp_path / "config.yaml").write_text("{}\n")
    page = render(subject_of([tmp_path]))
    for said in ("No cell has been noted", "Nothing has been logged", "no run card", "no settings"):
        assert said in page
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.lock").touch()
    page = render(subject_of([study]))
    assert "No run of this study has begun." in page
    assert "There is no table of results" in page


def test_cells_of_nasbench201_have_their_true_accuracy(
    made, tmp_path, without_library, monkeypatch
):
    cells = np.array(list(product(range(5), repeat=6)), dtype=np.uint8)
    columns = {"ops": cells}
    numbers = np.arange(len(cells))
    for prefix, suffix in DATASETS.values():
        columns[f"{prefix}_test_200"] = (numbers / len(cells) * 100).astype(np.float32)
        columns[f"params_{suffix}"] = columns[f"flops_{suffix}"] = numbers.astype(np.int32)
    monkeypatch.setenv("LNAS_DATA", str(tmp_path / "nowhere"))
    assert "its table was not on the machine" in render(subject_of([made.nasbench]))
    write_table(tmp_path / "data" / "nasbench201", columns)
    monkeypatch.setenv("LNAS_DATA", str(tmp_path / "data"))
    page = render(subject_of([made.nasbench]))
    genotype = Genotype.load(made.nasbench / "genotype.json")
    known = NasBench201Benchmark().query(genotype, "cifar100").test_accuracy
    assert f"{known:.2%}" in page
    data = data_of(page)
    (panel,) = [i for i, one in enumerate(data["panels"]) if one["title"].startswith("True")]
    (curve,) = [one for one in data["curves"] if one["p"] == panel]
    assert len(curve["y"]) == 3
