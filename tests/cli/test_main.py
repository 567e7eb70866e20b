"""The command `lnas`: commands, exit codes, and bad input as one line with exit code 2."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lnas import __version__
from lnas.cli import main as cli
from lnas.cli.main import main
from lnas.errors import InputError, Interrupted, NonFiniteError
from lnas.loggers import read_rows
from lnas.spaces import NasBench201Space

NODES = [[["sep_conv_3x3", 0], ["skip_connect", 1]]] * 4
SMALL = [
    "--config", "darts_nasbench201", "--model.supernet.init_args.channels=2",
    "--model.supernet.init_args.cells=1", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
    "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.logger=false",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LNAS_DATA", raising=False)


def refused(capsys, *arguments):
    """Run a command that must be refused, and return its one line."""
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert code == 2, said.err
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


def test_help_and_version_name_the_commands_and_the_version(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in cli.COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lnas {__version__}\n"


def test_help_and_a_wrong_command_load_nothing_heavy():
    program = "import sys; from lnas.cli.main import main; main(['--help']); main(['serach']); "
    program += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("wrong"), 2),
        (NonFiniteError("infinite"), 3),
        (Interrupted("stop", signal.SIGINT), 130),
        (Interrupted("stop", signal.SIGTERM), 143),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_one_line_and_their_exit_code(error, code, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "search", fail)
    assert main(["search"]) == code
    said = capsys.readouterr().err
    assert said.startswith("lnas: ")
    assert said.count("\n") == 1


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "search", lambda arguments: 1 / 0)
    assert main(["search"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_misspelt_command_gets_the_nearest(capsys):
    assert "did you mean search?" in refused(capsys, "serach")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trainer.max_epoch=3", "--trainer.max_epochs"),
        ("--sed=3", "--seed"),
        ("--model.supernet.init_args.chanels=3", "channels"),
        ("--config=dart", "darts"),
        ("--data.batch_size=5000", "batch_size=5000 exceeds the split"),
        ("--data.held_out=1.5", "held_out=1.5"),
        ("--data.architecture_fraction=1.0", "architecture_fraction=1.0"),
        ("--model.space.operations=[none,conv_9x9]", "conv_9x9"),
        ("--trainer.gradient_clip_val=1.0", "gradient_clip"),
        ("--trainer.enable_checkpointing=false", "resumed"),
        ("--trainer.max_epochs=0", "give a number of epochs from 1 on"),
        ("--trainer.limit_train_batches=0", "searches nothing"),
        ("--trainer.overfit_batches=2", "use trainer.limit_train_batches"),
        ("--trainer.devices=foo", "devices=foo"),
        ("--trainer.strategy=ddpp", "strategy=ddpp"),
        ("--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "save_top_k=2"),
        ("--trainer.max_epochs=-5", "trainer.max_epochs=-5 cannot be used: `max_epochs` must be"),
        ("--trainer.limit_train_batches=-4", "trainer.limit_train_batches=-4 cannot be used"),
        ("--model.relaxation=lnas.relaxations.Nope", "relaxations.ClippedReLU, lnas.relaxations.C"),
        ("--trainer.callbacks+=lnas.callbacks.PruneClosed", "of Softmax stay above 0"),
        ("--model.weight_schedule.start=-1", "Cosine has the learning rate -1 at progress 0"),
        ("--model.weight_optimizer.lr=-1", "weight_optimizer cannot be built: Invalid learning"),
        ("--model.architecture_optimizer.lr=-1", "architecture_optimizer cannot be built"),
        ("--seed=-1", "seed=-1 is no seed; give 0 to 4294967295"),
        ("--trainer.default_root_dir=x", "--run.folder"),
    ],
)
def test_a_wrong_option_of_a_search_is_one_line_and_leaves_no_folder(option, said, capsys):
    more = ["--trainer.callbacks.save_top_k=2"] if "ModelCheckpoint" in option else []
    assert said in refused(capsys, "search", *SMALL, option, *more)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("config", [None, {"callbacks": [{"class_path": "lnas.callbacks.Nope"}]}])
def test_a_wrong_config_file_is_one_line(config, capsys):
    text = "trainer: [\n" if config is None else yaml.safe_dump({"trainer": config})
    Path("mine.yaml").write_text(text)
    assert refused(capsys, "search", *SMALL, "--config", "mine.yaml")


def test_missing_and_empty_data_folders_are_one_line(capsys):
    for name in ("cifar10", "cifar100"):
        assert "LNAS_DATA" in refused(capsys, "search", *SMALL, "--config", name)
    Path("empty").mkdir()
    options = ["--config", "cifar10", "--data.root=empty", "--run.folder=r"]
    assert "empty" in refused(capsys, "search", *SMALL, *options)


def test_an_odd_image_size_is_refused_for_reduction_cells(capsys):
    options = ["--data=lnas.data.FakeImages", "--data.shape=[3,7,7]"]
    assert "7" in refused(capsys, "search", *SMALL, *options)


def write_genotype(**changes):
    Path("g.json").write_text(json.dumps({"format": "lnas.genotype", **changes}))


EVALUATE = ["evaluate", "--config", "digits", "--trainer.max_epochs=1", "--trainer.logger=false"]


@pytest.mark.parametrize(
    "text", ["", "{", '{"cells": ', "[" * 100000, "null", '{"version": 99}', "x" * 30_000_000]
)
def test_a_broken_genotype_is_one_line(text, capsys):
    Path("g.json").write_text(text)
    assert "g.json" in refused(capsys, *EVALUATE, "--genotype=g.json")
    assert not Path("runs").exists()


def test_a_genotype_of_another_space_or_an_unknown_one_is_one_line(capsys):
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    Path("g.txt").write_text(text)
    assert main(["genotype", "convert", "g.txt", "--to", "json", "--output", "g.json"]) in (0, 2)
    capsys.readouterr()
    assert "darts_v2" in refused(capsys, *EVALUATE, "--genotype=dart_v2")
    assert "--genotype" in refused(capsys, *EVALUATE)


@pytest.fixture
def searched(capsys):
    """The folder of a finished search."""
    assert main(["search", *SMALL, "--run.folder=run"]) == 0
    assert "child, running averages of its own" in capsys.readouterr().out
    return Path("run")


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_finished_run_is_safe_from_all_mistakes(searched, capsys):
    for name in ("genotype.json", "genotype.png", "config.yaml", "checkpoints/last.ckpt"):
        assert (searched / name).is_file()
    card = json.loads((searched / "run_card.json").read_text())
    assert card["status"] == "finished"
    assert card["config"] == yaml.safe_load((searched / "config.yaml").read_text())
    before = contents(searched)

    # An existing folder, changed settings, and a folder that is no run's are refused.
    assert "--run.overwrite" in refused(capsys, "search", *SMALL, "--run.folder=run")
    line = refused(capsys, "search", "--resume=run", "--trainer.max_epochs=2", "--seed=4")
    assert "seed: 0 -> 4" in line
    assert "trainer.max_epochs: 1 -> 2" in line
    assert "config.yaml" in refused(capsys, "search", "--resume=nowhere")
    line = refused(capsys, "search", *SMALL, "--run.folder=run", "--run.overwrite", "--seed=-1")
    assert "seed=-1" in line
    assert "`lnas search --resume run`" in refused(capsys, "evaluate", "--resume=run")
    assert contents(searched) == before

    # So are checkpoints that are damaged, of another space, or carry a program.
    last = searched / "checkpoints/last.ckpt"
    good = last.read_bytes()
    last.write_bytes(good[: len(good) // 2])
    assert "last.ckpt" in refused(capsys, "search", "--resume=run")
    torch.save({"state_dict": Payload()}, last)
    assert "last.ckpt" in refused(capsys, "search", "--resume=run")
    assert not Path("executed").exists()
    last.write_bytes(good)
    other = ["--model.space=lnas.spaces.DartsSpace", "--run.allow_changes"]
    other += ["--model.supernet=lnas.supernet.ConvolutionalSupernet"]
    assert "space" in refused(capsys, "search", "--resume=run", *other)

    # What is asked for is done.
    assert main(["search", "--resume=run", "--trainer.max_epochs=2", "--run.allow_changes"]) == 0
    card = json.loads((searched / "run_card.json").read_text())
    assert card["config"]["trainer"]["max_epochs"] == 2
    assert card["results"]["search/epoch"] == 1
    assert main(["search", *SMALL, "--run.folder=run", "--run.overwrite"]) == 0


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_print_config_shows_what_would_run_and_touches_nothing(capsys):
    assert main(["search", *SMALL, "--seed=5", "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["seed"] == 5
    assert shown["model"]["supernet"]["init_args"]["channels"] == 2
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("given", "meant"),
    [([], False), (["--run.overwrite"], True), (["--run.overwrite", "true"], True),
     (["--run.overwrite=false"], False)],
)  # fmt: skip
def test_a_flag_is_given_alone_or_with_its_value(given, meant, capsys):
    assert main(["search", *SMALL, *given, "--seed=1", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["run"]["overwrite"] is meant


def test_callbacks_can_be_appended_on_the_command_line(capsys):
    options = ["--trainer.callbacks+=lnas.callbacks.Warmup", "--trainer.callbacks.epochs=3"]
    assert main(["search", *SMALL, *options, "--print_config"]) == 0
    callbacks = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    assert callbacks[-1] == {"class_path": "lnas.callbacks.Warmup", "init_args": {"epochs": 3}}
    assert callbacks[-2]["class_path"] == "lnas.callbacks.DeriveGenotype"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_offline_run_of_a_search_is_its_metrics_with_pictures_tables_and_files(offline_runs):
    options = [option for option in SMALL if option != "--trainer.logger=false"]
    options += ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--run.folder=run"]
    assert main(["search", *options]) == 0
    (run,) = offline_runs(Path("run"))
    expected = read_rows("run/metrics.csv")
    names = {name for row in expected for name in row}
    assert [{k: v for k, v in row.items() if k in names} for row in run.rows] == expected
    media = {
        (name.removesuffix("/_type"), kind): row
        for row in run.rows
        for name, kind in row.items()
        if name.endswith("/_type")
    }
    kinds = {"gates": "image-file", "glance": "image-file", "genotype": "image-file"}
    kinds |= {"genotypes": "table-file", "arch/cell/gates": "histogram"}
    kinds |= {f"arch/cell/gates/{edge.name}": "histogram" for edge in NasBench201Space().edges}
    assert media.keys() == set(kinds.items())
    for (name, kind), row in media.items():
        assert kind == "histogram" or (run.folder / "files" / row[f"{name}/path"]).is_file()
    assert [sum(f"{name}/_type" in row for row in run.rows) for name in kinds][3:] == [2] * 8
    assert run.artifacts["genotype"] == ["genotype.json"]
    assert run.config == yaml.safe_load(Path("run/config.yaml").read_text())


def test_tensorboard_takes_the_place_of_wandb_in_the_run_folder():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = ["--trainer.logger=lightning.pytorch.loggers.TensorBoardLogger"]
    options = [*SMALL, "--run.folder=run", *logger, "--trainer.logger.init_args.save_dir=run"]
    options += ["--trainer.log_every_n_steps=1"]
    for again in ([], ["--run.overwrite"]):
        assert main(["search", *options, *again]) == 0
        (events,) = Path("run").rglob("events.out.tfevents.*")
        reader = EventAccumulator(str(events.parent))
        reader.Reload()
        logged = [scalar.value for scalar in reader.Scalars("search/loss_weights")]
        rows = read_rows(Path("run/metrics.csv"))
        expected = [row["search/loss_weights"] for row in rows if "search/loss_weights" in row]
        assert logged == pytest.approx(expected, rel=1e-6)
        assert len(logged) > 1
        assert not Path("run/wandb").exists()


def test_a_full_disk_is_one_line_and_keeps_nothing_half_written(monkeypatch, capsys):
    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    line = refused(capsys, "search", *SMALL, "--run.folder=run")
    assert "No space left on device" in line
    assert not list(Path("run").rglob("*.tmp*"))
    assert not list(Path("run").rglob("*.ckpt"))


def test_a_loss_that_is_not_finite_is_code_3_and_keeps_the_last_good_checkpoint(capsys):
    options = ["--trainer.max_epochs=2", "--run.folder=run", "--model.gradient_clip=0"]
    options += ["--model.weight_schedule=lnas.schedules.Linear"]
    options += ["--model.weight_schedule.start=0.0", "--model.weight_schedule.end=6e38"]
    code = main(["search", *SMALL, *options])
    said = capsys.readouterr().err
    assert code == 3, said
    assert "epoch 1" in said
    assert "run/checkpoints/last.ckpt" in said
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert json.loads(Path("run/run_card.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trainer.max_epochs=0", "give a number of epochs from 1 on"),
        ("--trainer.limit_train_batches=0", "trains nothing"),
        ("--model.optimizer.lr=-1", "optimizer cannot be built: Invalid learning rate"),
        (
            "--model.learning_rate={class_path: lnas.schedules.Constant, "
            "init_args: {constant: -1}}",
            "rate -1 at progress 0",
        ),
        ("--trainer.max_epochs=null", "trainer.max_epochs is missing"),
        ("--model.network=lnas.networks.NasBench201Network", "not of darts"),
        ("--model.network.auxiliary=true", "auxiliary=False"),
        ("--model.drop_path=1.0", "drop_path is 1.0"),
        ("--data.batch_size=5000", "batch_size=5000 exceeds the split"),
    ],
)
def test_a_wrong_option_of_an_evaluation_is_one_line_and_leaves_no_folder(option, said, capsys):
    assert said in refused(capsys, *EVALUATE, "--genotype=darts_v2", option)
    assert not list(Path().iterdir())


def test_weights_that_a_step_left_not_finite_are_not_kept(capsys):
    options = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=1", "--run.folder=run"]
    options += ["--model.learning_rate=lnas.schedules.Linear", "--model.gradient_clip=0"]
    options += ["--model.learning_rate.start=0.0", "--model.learning_rate.end=6e38"]
    assert main([*EVALUATE, "--genotype=darts_v2", *options]) == 3
    said = capsys.readouterr().err
    assert "epoch 1, batch 0, has left network." in said
    for name in ("last", "best"):
        kept = torch.load(f"run/checkpoints/{name}.ckpt", weights_only=True)
        assert kept["epoch"] == 0
        assert all(torch.isfinite(value).all() for value in kept["state_dict"].values())


def test_two_ranks_search_from_the_command_line_and_fail_as_one(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lnas", "search", *SMALL, "--trainer.strategy=ddp"]
    command += ["--trainer.devices=2", "--run.folder=run"]

    def run(*options):
        found = subprocess.run(
            [*command, *options], env=environment, capture_output=True, text=True, timeout=300
        )
        return found.returncode, found.stderr

    code, said = run()
    assert (code, said) == (0, "")
    assert json.loads(Path("run/run_card.json").read_text())["devices"] == 2
    assert Path("run/genotype.json").is_file()
    code, said = run("--run.overwrite", "--data.batch_size=63")
    assert code == 2, said
    assert said.startswith("lnas: batch_size=63")
    assert said.count("\n") == 1
