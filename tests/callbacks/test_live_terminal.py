"""What a terminal shows of a run: read from its screen, as a terminal emulator draws it."""

import io
import re

import pyte
import pytest
import rich
import torch
from lightning.pytorch import Callback, Trainer
from rich.console import Console

from lnas.callbacks import CollapseWarning, LiveTerminal, live_terminal
from lnas.data import TensorData
from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.evaluation import EvaluationModule
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv
from lnas.networks import CifarNetwork
from lnas.runs import parts
from lnas.tasks import ImageExamples
from lnas.visualize.palette import short_label

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-8]")


def terminal(width=80, **options):
    environment = {"TERM": "xterm-256color", **options.pop("environment", {})}
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=30, color_system="256",
        _environ=environment, **options,
    )  # fmt: skip


def screen(console):
    """Return the lines that stand on the screen in the end, without empty ones."""
    emulated = pyte.Screen(console.width, 60)
    pyte.Stream(emulated).feed(console.file.getvalue().replace("\n", "\r\n"))
    return [line.rstrip() for line in emulated.display if line.strip()]


@pytest.fixture
def shown(small_trainer, small_module, small_data):
    """Fit with a living terminal of some width; return the lines of the screen and the module."""

    def fit(width=80, every=0.0, callbacks=(), console=None, nodes=2, fails=None, **options):
        console = console or terminal(width)
        module = small_module(nodes=nodes)
        live = LiveTerminal(every, console)
        trainer = small_trainer(live, *callbacks, enable_progress_bar=True, epochs=2, **options)
        if fails is None:
            trainer.fit(module, datamodule=small_data)
        else:
            with pytest.raises(fails):
                trainer.fit(module, datamodule=small_data)
        return console, module

    return fit


@pytest.mark.parametrize("width", [60, 80])
def test_the_screen_ends_with_the_cells_that_are_derived_from_the_gates(shown, width):
    console, module = shown(width, nodes=4)
    lines = screen(console)
    assert re.match(r"epoch 2/2 ━+ +100%", lines[0])
    text = " ".join(" ".join(lines).split())
    derived = module.space.derive(magnitudes(module.architecture))
    for kind, entropy in module.architecture.entropy().items():
        nodes = [
            f"{short_label(name)}←{source}" for node in derived.cells[kind] for name, source in node
        ]
        share = r"\d+%"
        assert re.search(rf"{kind} +{entropy:.2f} +{share} +{' '.join(nodes)}", text), text
    assert "held out: loss" in text
    assert max(map(len, lines)) <= width
    if width == 80:
        assert len(lines) == 7  # one line for each cell type


def test_time_is_left_while_the_run_goes_on(shown, monkeypatch):
    monkeypatch.setattr(live_terminal, "PAUSE", 0)
    console, _ = shown()
    text = console.file.getvalue()
    assert re.search(r"\d:\d\d:\d\d left", text)
    assert "step 2/2" in text
    assert "held-out batch 1/1" in text
    assert "left" not in screen(console)[0]


@pytest.mark.parametrize(("every", "pause"), [(3600.0, 0), (0.0, 1e9)])
def test_batches_between_two_drawings_read_and_draw_nothing(shown, monkeypatch, every, pause):
    read = []
    found = live_terminal.cell_lines
    monkeypatch.setattr(live_terminal, "PAUSE", pause)
    monkeypatch.setattr(
        live_terminal, "cell_lines", lambda module: read.append(module.steps) or found(module)
    )
    shown(every=every)
    assert read == [0, 4]


def test_what_others_print_stands_whole_above_the_living_lines(shown, monkeypatch):
    console = terminal()
    monkeypatch.setattr(rich, "_console", console)

    class Collapse(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            column = module.space.operation_column("skip_connect")
            for logits in module.architecture.logits.values():
                logits.data[:, column] = 9.0
            print("said by a user's callback")

    monkeypatch.setattr(live_terminal, "PAUSE", 0)
    shown(console=console, callbacks=[Collapse(), CollapseWarning()], nodes=4)
    lines = screen(console)
    assert [line for line in lines if "user's callback" in line] == [
        "said by a user's callback"
    ] * 4
    (frame,) = (number for number, line in enumerate(lines) if "COLLAPSE" in line)
    (bar,) = (number for number, line in enumerate(lines) if line.startswith("epoch"))
    assert frame < bar == len(lines) - 7


class Stumble(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        raise ZeroDivisionError


def test_an_error_gives_the_terminal_back(shown):
    console, _ = shown(callbacks=[Stumble()], fails=ZeroDivisionError)
    text = console.file.getvalue()
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    console.print("free")
    assert screen(console)[-1] == "free"


def test_the_cursor_is_never_hidden_while_a_run_could_be_killed(shown):
    text = shown()[0].file.getvalue()
    hidden = text.index("\x1b[?25l")
    assert text[hidden:].startswith("\x1b[?25l\x1b[?25h")


def test_no_color_is_heard(shown):
    assert COLOUR.search(shown()[0].file.getvalue())
    plain = terminal(environment={"NO_COLOR": "1"})
    assert not COLOUR.search(shown(console=plain)[0].file.getvalue())


def test_ranks_but_the_first_draw_nothing(small_trainer, small_module, small_data):
    console = terminal()
    live = LiveTerminal(console=console)
    trainer = small_trainer(live, enable_progress_bar=True)
    live.disable()
    trainer.fit(small_module(), datamodule=small_data)
    assert console.file.getvalue() == ""


def test_a_search_that_goes_on_counts_the_steps_before_it(
    small_trainer, small_module, small_data, tmp_path, monkeypatch
):
    small_trainer(epochs=2).fit(small_module(), datamodule=small_data)
    console = terminal()
    monkeypatch.setattr(live_terminal, "PAUSE", 0)
    trainer = small_trainer(LiveTerminal(0.0, console), enable_progress_bar=True, epochs=4)
    last = str(tmp_path / "checkpoints/last.ckpt")
    trainer.fit(small_module(), datamodule=small_data, ckpt_path=last, weights_only=True)
    (bar,) = (line for line in screen(console) if line.startswith("epoch"))
    assert bar.startswith("epoch 4/4")
    assert bar.endswith("100%")
    assert "epoch 3/4" in console.file.getvalue()
    assert "epoch 1/4" not in console.file.getvalue()


def test_a_training_and_its_test_are_shown_without_cells(small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(live_terminal, "PAUSE", 0)
    cell = [[("skip_connect", 0), ("skip_connect", 1)]]
    genotype = Genotype("darts", {"normal": cell, "reduce": cell})
    module = EvaluationModule(
        genotype,
        lambda found, num_classes: CifarNetwork(found, 4, 3, num_classes, auxiliary=False),
        examples=ImageExamples(4, (3, 8, 8)),
    )
    draw = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8)
    data = TensorData(
        draw, torch.arange(24) % 4, draw, torch.arange(24) % 4, num_classes=4, batch_size=8,
        held_out=8, evaluation=True,
    )  # fmt: skip
    console = terminal()
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=2, logger=[MetricsCsv()],
        callbacks=[LiveTerminal(0.0, console)], enable_checkpointing=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    lines = screen(console)
    assert re.match(r"epoch 2/2 ━+ +100%", lines[0])
    assert re.search(r"^loss \d\.\d+.*held out: loss \d\.\d+, accuracy \d+\.\d+%", lines[2])
    assert re.match(r"test ━+ +100%", lines[3])
    assert "batch 3/3" in lines[4]
    assert len(lines) == 5


def test_only_a_terminal_that_is_wanted_gets_it(monkeypatch):
    def has_it(is_terminal, **trainer):
        monkeypatch.setattr(parts.sys.stdout, "isatty", lambda: is_terminal, raising=False)
        made = parts.add_parts(trainer, {})
        assert made["enable_progress_bar"] == any(
            isinstance(one, LiveTerminal) for one in made["callbacks"]
        )
        return made["enable_progress_bar"]

    assert has_it(True)
    assert not has_it(False)
    assert not has_it(True, enable_progress_bar=False)


def test_a_negative_pause_is_refused():
    with pytest.raises(InputError, match=r"every=-1 is no number of seconds; give 0 or more\."):
        LiveTerminal(every=-1)
