"""Every shipped config runs, shrunk, and the signals that its header names are finite and move."""

import json
import math
import os
import re
import signal
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
import yaml

from lnas.callbacks import architecture_pictures, derive_genotype, genotype_trail
from lnas.cli.derivations import derive_command
from lnas.dashboard import PLAN, Logged, logged_by, planned
from lnas.errors import Interrupted
from lnas.loggers import read_rows
from lnas.runs.training import evaluate, prepare, search, settings_of
from lnas.schedules import Cosine, Exponential, Linear
from lnas.search import SearchModule

CONFIGS = Path(__file__).parents[1] / "configs"
EVERY = sorted(CONFIGS.glob("*/*.yaml"))
SEARCHES = sorted(CONFIGS.glob("search/*.yaml"))
FAKE = [
    "--data=lnas.data.FakeImages", "--data.batch_size=8", "--data.images=176", "--data.held_out=16",
    "--data.architecture_fraction=0.5", "--trainer.max_epochs=2", "--trainer.limit_train_batches=2",
    "--trainer.logger=false", "--trainer.accelerator=cpu",
]  # fmt: skip
TEXT = [
    "--data=lnas.data.FakeText", "--data.batch_size=4", "--data.bptt=6", "--data.held_out=0.3",
    "--trainer.max_epochs=2", "--trainer.limit_train_batches=2", "--trainer.logger=false",
    "--trainer.accelerator=cpu",
]  # fmt: skip
SMALL = {
    "lnas.supernet.RecurrentSupernet": {"units": 4},
    "lnas.networks.RecurrentNetwork": {"units": 4},
    "lnas.supernet.ConvolutionalSupernet": {"channels": 2, "layers": 3},
    "lnas.supernet.NasBench201Supernet": {"channels": 2, "cells": 1},
    "lnas.networks.CifarNetwork": {"channels": 2, "layers": 3},
    "lnas.networks.ImageNetNetwork": {"channels": 4, "layers": 3},
}


def ids(path):
    return f"{path.parent.name}/{path.stem}"


def signals(path):
    """Return the names in the header's lines `# signals: a, b`."""
    lines = re.findall(r"^# signals: (.*)$", path.read_text(), re.MULTILINE)
    return [name for line in lines for name in re.split(r",\s*", line.strip(", ")) if name]


def is_of_texts(path):
    return "RecurrentSpace" in (text := path.read_text()) or "RecurrentNetwork" in text


def shrunk(path, part):
    """Return options that make the supernet or the network of a config small."""
    made = yaml.safe_load(path.read_text())["model"][part]
    sizes = SMALL[made["class_path"]]
    if "partial_channels" in made["init_args"]:  # each part needs an even number of channels
        sizes = sizes | {"channels": 2 * made["init_args"]["partial_channels"]}
    return [f"--model.{part}.init_args.{name}={n}" for name, n in sizes.items()]


def check_dashboard(path, folder):
    """Each panel for the run has data, a line two points; each signal of the method has a panel."""
    rows = read_rows(folder / "metrics.csv")
    shown = set()
    for panel in (panel for section in planned(logged_by([folder])) for panel in section.panels):
        if panel.kind in ("lines", "log lines", "numbers"):
            for key in panel.keys:
                steps = {row.get("search/step", row.get("eval/step")) for row in rows if key in row}
                assert len(steps) >= (1 if panel.kind == "numbers" else 2), f"{key}: {steps}"
            shown |= set(panel.keys)
    assert set(signals(path)) <= shown


def check_signals(path, folder):
    rows = read_rows(folder / "metrics.csv")
    names = signals(path)
    assert len(names) >= 4, f"{path} names no signals"
    for name in names:
        values = [row[name] for row in rows if name in row]
        assert values, f"{name} was not logged"
        assert all(math.isfinite(value) for value in values), name
        assert len(set(values)) > 1, f"{name} stays {values}"


@pytest.mark.parametrize("path", EVERY, ids=ids)
def test_a_config_says_what_it_is_in_at_most_40_lines(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 110


def draw_nothing(monkeypatch):
    """Leave out the pictures, which take longer than so small a search."""
    monkeypatch.setattr(architecture_pictures, "draw_gates", lambda *things: None)
    monkeypatch.setattr(architecture_pictures, "draw_glance", lambda *things: None)
    for home in (derive_genotype, genotype_trail):
        monkeypatch.setattr(home, "draw_genotype", lambda *things: None)
        monkeypatch.setattr(home, "log_picture", lambda *things: None)


def small_search(path, folder):
    """Return the options of a search that shows in two epochs what its config does."""
    # An architecture step, or one right answer, must fall into two epochs of two batches.
    rare = path.stem in ("darts_cs10", "uniform_strength_nasbench201")
    often = ["--trainer.limit_train_batches=10"] if rare else []
    # At the papers' rates a float32 entropy does not see the first steps.
    stream = ["--model.architecture_optimizer.init_args.lr=0.1"]
    data = TEXT if is_of_texts(path) else [*FAKE, "--data.shape=[3,8,8]"]
    options = [*shrunk(path, "supernet"), *data, *often, *stream]
    text = path.read_text()
    if "cutout" in text:  # squares for 32 pixels
        options.append("--data.cutout=4")
    if "DartsSpace" in text and re.search("OperationStrength|callbacks.Project", text):
        options.append("--model.space.init_args.nodes=2")  # each edge costs many passes
    short = folder / path.name  # two epochs are too few to wait in
    short.write_text(
        re.sub(
            r"(callbacks.(Warmup\n\s*init_args: {epochs|Project\n\s*init_args: {start)): \d+",
            r"\1: 0",
            text,
        )
    )
    return ["--config", str(short), *options, "--trainer.log_every_n_steps=1"]


@pytest.mark.parametrize("path", SEARCHES, ids=ids)
def test_a_search_config_searches_derives_and_logs_its_signals(path, tmp_path, monkeypatch):
    if path.stem != "darts":  # the pictures of one search will do
        draw_nothing(monkeypatch)
    folder = search([*small_search(path, tmp_path), f"--run.folder={tmp_path / 'run'}"])
    assert (folder / "genotype.json").is_file()
    check_signals(path, folder)
    check_dashboard(path, folder)
    results = json.loads((folder / "run_card.json").read_text())["results"]
    for name in ("supernet", "child", "recalibrated"):
        assert math.isfinite(results[f"search/final_{name}_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("path", SEARCHES, ids=ids)
def test_a_search_config_resumes_in_mid_epoch_bit_for_bit(path, tmp_path, monkeypatch):
    draw_nothing(monkeypatch)
    step = SearchModule.training_step
    options = small_search(path, tmp_path)
    whole = search([*options, f"--run.folder={tmp_path / 'whole'}"])
    # Some end by themselves behind the first epoch.
    within = min(3, int(read_rows(whole / "metrics.csv")[-1]["search/step"]) - 1)

    def interrupted(module, *batch):
        step(module, *batch)
        if module.steps == within:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(SearchModule, "training_step", interrupted)
        with pytest.raises(Interrupted):
            search([*options, f"--run.folder={tmp_path / 'parts'}"])
    parts = search([f"--resume={tmp_path / 'parts'}"])
    assert read_rows(whole / "metrics.csv") == read_rows(parts / "metrics.csv")
    assert (whole / "genotype.json").read_text() == (parts / "genotype.json").read_text()
    states = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (whole, parts)
    ]
    assert states[0].keys() == states[1].keys()
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []


def small_evaluation(path):
    """Return the options of a training of seconds."""
    size = {"imagenet": 224, "digits": 8}.get(path.stem, 32)
    data, genotype = [*FAKE, f"--data.shape=[3,{size},{size}]"], "darts_v2"
    if is_of_texts(path):
        # Four units run away at the rate of 850: their perplexity may be infinite.
        constant = {"class_path": "lnas.schedules.Constant", "init_args": {"constant": 1.0}}
        rate = f"--model.learning_rate={json.dumps(constant)}"
        data, genotype = [*TEXT, rate], "darts_rnn_v2"
    options = [*shrunk(path, "network"), *data, f"--genotype={genotype}"]
    return [*options, "--trainer.max_epochs=3", "--trainer.limit_train_batches=12"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("evaluation/*.yaml")), ids=ids)
def test_an_evaluation_config_trains_tests_and_logs_its_signals(path, tmp_path):
    place = f"--run.folder={tmp_path / 'run'}"
    folder = evaluate(["--config", str(path), *small_evaluation(path), place])
    measure = "perplexity" if is_of_texts(path) else "accuracy"
    check_signals(path, folder)
    check_dashboard(path, folder)
    assert f"eval/test_{measure}" in read_rows(folder / "metrics.csv")[-1]


DATA = sorted(CONFIGS.glob("data/*.yaml"))
TEXTS = [path for path in DATA if path.stem in ("ptb", "topics")]


@pytest.mark.parametrize("path", TEXTS, ids=ids)
def test_a_config_of_texts_goes_with_searches_and_evaluations(path):
    text = yaml.safe_load(path.read_text())["data"]
    for method, fraction in (("darts_rnn", None), ("darts_prime_rnn", None), ("random_rnn", 0.0)):
        found = settings_of("search", ["--config", method, "--config", str(path)])["data"]
        assert found["class_path"] == text["class_path"]
        assert found["init_args"]["batch_size"] == 256
        assert found["init_args"].get("architecture_fraction") == fraction
    given = ["--config", "ptb_small", "--config", str(path), "--genotype=darts_rnn_v2"]
    found = settings_of("evaluate", given)["data"]
    assert found["class_path"] == text["class_path"]
    assert found["init_args"]["batch_size"] == 8


def test_recurrent_searches_and_evaluations_have_the_papers_settings():
    found = settings_of("search", ["--config", "darts_rnn", "--config", "ptb"])
    assert found["trainer"]["max_epochs"] == 50
    supernet = found["model"]["supernet"]["init_args"]
    assert supernet["units"] == 300
    assert tuple(supernet["dropouts"].values()) == (0.0, 0.2, 0.75, 0.25, 0.75)
    sgd = found["model"]["weight_optimizer"]["init_args"]
    assert (sgd["lr"], sgd["momentum"], sgd["weight_decay"]) == (20.0, 0.0, 5e-7)
    adam = found["model"]["architecture_optimizer"]["init_args"]
    assert (adam["lr"], tuple(adam["betas"]), adam["weight_decay"]) == (3e-3, (0.9, 0.999), 1e-3)
    assert found["data"]["init_args"]["bptt"] == 35

    found = settings_of("evaluate", ["--config", "ptb", "--genotype=darts_rnn_v2"])
    assert found["trainer"]["max_epochs"] == 8000
    assert found["model"]["network"]["init_args"]["units"] == 850
    sgd = found["model"]["optimizer"]["init_args"]
    assert (sgd["lr"], sgd["momentum"], sgd["weight_decay"]) == (20.0, 0.0, 8e-7)
    sizes = [found["data"]["init_args"][f"{name}_size"] for name in ("batch", "measured", "test")]
    assert sizes == [64, 10, 1]


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("search", "weight_optimizer"),
        ("search", "architecture_optimizer"),
        ("evaluate", "optimizer"),
    ],
)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_that_is_named_has_its_own_defaults(command, part, name):
    given = [f"--model.{part}=torch.optim.{name}", f"--model.{part}.init_args.lr=0.5"]
    given.append({"evaluate": "--genotype=darts_v2", "search": "--model.space=DartsSpace"}[command])
    found = settings_of(command, given)["model"][part]["init_args"]
    plain = getattr(torch.optim, name)([torch.zeros(1)], lr=0.5).defaults
    assert {key: tuple(v) if isinstance(v, list) else v for key, v in found.items()} == {
        key: plain[key] for key in found
    }


@pytest.mark.parametrize("path", [path for path in DATA if path not in TEXTS], ids=ids)
def test_a_data_config_goes_with_searches_and_evaluations(path):
    text = yaml.safe_load(path.read_text())["data"]
    for method in ("darts", "darts_cs10", "darts_single_level"):
        found = settings_of("search", ["--config", method, "--config", str(path)])["data"]
        assert found["class_path"] == text["class_path"]
        expected = {"darts": 0.5, "darts_cs10": 1 / 11, "darts_single_level": 0.0}[method]
        assert found["init_args"]["architecture_fraction"] == pytest.approx(expected)
        # No default of one class becomes a setting of another: CIFAR keeps its order.
        assert (found["init_args"].get("split_seed") is None) == ("CIFAR" in text["class_path"])
    given = ["--config", "cifar10", "--config", str(path), "--genotype=darts_v2"]
    found = settings_of("evaluate", given)["data"]
    assert found["class_path"] == text["class_path"]
    assert (found["init_args"].get("split_seed") is None) == ("CIFAR" in text["class_path"])


@pytest.mark.parametrize("data", ["cifar10", "digits"])
def test_a_method_keeps_its_batch_size_whatever_the_data(data):
    def batch_size(*given):
        return settings_of("search", list(given))["data"]["init_args"]["batch_size"]

    for configs in (["pr_darts", data], [data, "pr_darts"]):
        assert batch_size(*(word for name in configs for word in ("--config", name))) == 250
    assert batch_size("--config", "darts", "--config", data) == 64
    assert batch_size("--config", "pr_darts", "--config", data, "--data.batch_size=8") == 8


def test_pr_darts_has_the_released_size_and_temperatures(tmp_path):
    options = ["--data=lnas.data.FakeImages", "--data.images=1000", "--data.num_classes=10"]
    options.append(f"--run.folder={tmp_path / 'run'}")
    cli = prepare("search", ["--config", "pr_darts", *options])
    parameters = sum(p.numel() for p in cli.model.parameters())
    assert parameters == 1_323_226  # 224 of them logits
    anneal = cli.settings["trainer"]["callbacks"][0]["init_args"]
    line = Linear(**anneal["schedule"]["init_args"])
    assert (cli.settings["trainer"]["max_epochs"], anneal["reach"]) == (200, "both")
    assert [line(epoch / 199) for epoch in (0, 199)] == pytest.approx([1.0, 0.1])


def test_gdas_cools_as_released():  # 10 -> 0.1 over 250 epochs
    found = settings_of("search", ["--config", "gdas"])["trainer"]
    anneal = found["callbacks"][0]["init_args"]
    assert (found["max_epochs"], anneal["reach"], anneal["attribute"]) == (
        250,
        "both",
        "temperature",
    )
    line = Linear(**anneal["schedule"]["init_args"])
    values = [line(epoch / 249) for epoch in (0, 125, 249)]
    assert values == pytest.approx([10.0, 5.0301, 0.1], abs=1e-4)


def test_searches_and_evaluations_have_the_papers_settings():
    found = settings_of("search", ["--config", "darts", "--config", "cifar10"])
    assert found["trainer"]["max_epochs"] == 50
    assert found["model"]["supernet"]["init_args"]["channels"] == 16
    assert found["model"]["supernet"]["init_args"]["layers"] == 8
    assert found["data"]["init_args"]["batch_size"] == 64
    rate = found["model"]["weight_schedule"]
    schedule = Cosine(**rate["init_args"])
    for epoch, value in {0: 0.025, 1: 0.0249763, 25: 0.013, 49: 0.00102368}.items():
        assert schedule(epoch / 50) == pytest.approx(value, rel=1e-5)

    genotype = ["--genotype=darts_v2"]
    found = settings_of("evaluate", ["--config", "cifar10", *genotype])
    schedule = Cosine(**found["model"]["learning_rate"]["init_args"])
    assert schedule(300 / 600) == pytest.approx(0.0125)
    assert schedule(599 / 600) == pytest.approx(1.713e-7, rel=1e-3)
    assert found["data"]["init_args"]["cutout"] == 16
    assert found["data"]["init_args"]["batch_size"] == 96

    found = settings_of("evaluate", ["--config", "imagenet", *genotype, "--data.root=x"])
    schedule = Exponential(**found["model"]["learning_rate"]["init_args"])
    assert schedule(249 / 250) == pytest.approx(5.0835e-5, rel=1e-4)
    assert schedule(10 / 250) == pytest.approx(0.1 * 0.97**10)


def test_snas_has_the_papers_settings_and_takes_the_released_optimizer():
    sgd = ["--model.architecture_optimizer=torch.optim.SGD"]
    sgd += ["--model.architecture_optimizer.init_args.lr=3e-4"]
    found = settings_of("search", ["--config", "snas_mild", "--config", "cifar10", *sgd])
    assert found["model"]["architecture_optimizer"]["class_path"] == "torch.optim.SGD"
    weights = {}
    for level in ("mild", "moderate", "aggressive"):
        found = settings_of("search", ["--config", f"snas_{level}", "--config", "cifar10"])
        anneal, resource = found["trainer"]["callbacks"][:2]
        temperature = Linear(**anneal["init_args"]["schedule"]["init_args"])
        assert anneal["init_args"]["reach"] == "end"
        released = {0: 0.9935333, 1: 0.9870667, 74: 0.515, 148: 0.0364667, 149: 0.03}
        for epoch, value in released.items():
            assert temperature((epoch + 1) / 150) == pytest.approx(value, abs=5e-8)
        weights[level] = resource["init_args"].pop("weight")
        expected = {"form": "log", "estimator": "reparameterized"}
        assert resource["init_args"].items() >= expected.items()
        optimizer = found["model"]["architecture_optimizer"]
        assert optimizer["class_path"] == "torch.optim.Adam"
        assert optimizer["init_args"]["lr"] == 3e-4
        assert found["trainer"]["max_epochs"] == 150
    assert weights == {"mild": 1.5e-3, "moderate": 5e-3, "aggressive": 1e-2}


def test_darts_pt_has_the_released_lengths_and_rates(tmp_path):
    rates = {}
    for name, begin, length in (("darts_pt", 50, 81), ("darts_pt_nasbench201", 100, 25)):
        found = settings_of("search", ["--config", name, "--config", "cifar10"])
        epochs, project = found["trainer"]["max_epochs"], found["trainer"]["callbacks"][0]
        assert epochs == begin + length
        assert project["init_args"].items() >= {"start": begin, "every": 5}.items()
        cli = prepare("search", ["--config", name, *FAKE[:5], f"--run.folder={tmp_path / name}"])
        schedule = cli.model.schedules[0]
        rates[name] = [schedule(epoch / epochs) for epoch in (0, begin - 1, begin, epochs - 1)]
    assert rates["darts_pt"][:2] == pytest.approx([0.025, 0.0010237], rel=1e-4)
    assert rates["darts_pt"][2:] == pytest.approx([0.0025, 0.0010006], rel=1e-3)
    assert rates["darts_pt_nasbench201"] == pytest.approx(
        [0.025, 0.0010059, 0.0025, 0.0025], rel=1e-4
    )


def test_gdas_anneals_as_released():
    found = settings_of("search", ["--config", "gdas", "--config", "cifar10"])
    anneal = found["trainer"]["callbacks"][0]["init_args"]
    assert (anneal["reach"], found["trainer"]["max_epochs"]) == ("both", 250)
    temperature = Linear(**anneal["schedule"]["init_args"])
    for epoch, value in {0: 10.0, 125: 5.0301, 249: 0.1}.items():
        assert temperature(epoch / 249) == pytest.approx(value, abs=5e-5)


def test_an_evaluation_trains_on_all_that_is_not_held_out(tmp_path):
    options = ["--genotype=darts_v2", "--config", "digits", "--data.held_out=0.1"]
    options += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--model.drop_path=0"]
    options += ["--model.network.channels=2", "--trainer.logger=false"]

    cli = prepare("evaluate", [*options, f"--run.folder={tmp_path / 'run'}"])
    streams = cli.datamodule.streams()
    assert (len(streams.weights), len(streams.architecture), len(streams.held_out)) == (
        1293,
        0,
        144,
    )


FILLING = (
    "search/darts_admm", "search/darts_crb", "search/darts_fimt", "search/darts_minus",
    "search/darts_plus", "search/darts_proximity", "search/darts_pt", "search/darts_rnn",
    "search/dsnas", "search/fair_darts", "search/pr_darts", "search/robust_darts_drop_path",
    "search/snas_mild", "evaluation/digits", "evaluation/ptb",
)  # fmt: skip
DERIVED = ("search/darts_proximity", "search/darts_rnn")
CRITERIA = ("magnitude", "select", "mask", "random")
ELSEWHERE = {"search/true_accuracy", "search/regret"}  # a benchmark needs its table


@pytest.mark.slow
def test_no_panel_of_the_dashboard_stays_empty_whatever_is_searched(tmp_path, monkeypatch):
    draw_nothing(monkeypatch)
    logged = Logged()
    for name in FILLING:
        path, folder = CONFIGS / f"{name}.yaml", tmp_path / Path(name).name
        folder.mkdir()
        place = f"--run.folder={folder / 'run'}"
        if name.startswith("search"):
            run = search([*small_search(path, folder), place])
            if name in DERIVED:
                names = CRITERIA if "rnn" in name else (*CRITERIA, "argmax")
                criteria = [f"--criterion={one}" for one in names]
                derive_command([str(run), *criteria, f"--folder={folder / 'derived'}"])
                logged.points |= logged_by([folder / "derived"]).points
        else:
            run = evaluate(["--config", str(path), *small_evaluation(path), place])
        logged.points |= logged_by([run]).points
    numbers = ("lines", "log lines", "numbers")
    panels = [p for section in PLAN for p in section.panels if p.kind in numbers]
    keys = {key for panel in panels for key in panel.keys} - ELSEWHERE
    assert [key for key in sorted(keys) if not any(fnmatch(n, key) for n in logged.points)] == []
