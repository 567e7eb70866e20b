"""`lnas speed`: times every way through a supernet, interleaved, and says ratios."""

import re
import time
from io import StringIO

import pytest
import torch
from rich.console import Console

from lnas import kernels
from lnas.callbacks import ArchitecturePictures, FisherSchedule, GracefulStop, Proximity
from lnas.cli.main import main
from lnas.errors import InputError
from lnas.runs.training import named_errors, prepare
from lnas.search import FirstOrder, SearchStrategy, SecondOrder
from lnas.speed import Timing, measured, speed_command
from lnas.speed.clock import Clock, Work
from lnas.speed.command import table
from lnas.speed.overhead import Overhead, bare_step, in_steps
from lnas.supernet.base import plain

TINY = [
    "--config", "darts", "--model.supernet.init_args.channels=4",
    "--model.supernet.init_args.layers=3",
    "--data=lnas.data.FakeImages", "--data.init_args.shape=[3,8,8]", "--data.init_args.images=64",
]  # fmt: skip


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return measured(TINY, 2, 4, tmp_path_factory.mktemp("speed") / "run")


def test_every_kind_of_pass_is_timed_every_way_in_each_round(clock):
    ways = ["oracle", "fused", *(["compiled"] if kernels.available() else [])]
    assert list(clock.timings) == [
        "forward", "weight step", "architecture step", "second order", "both steps",
    ]  # fmt: skip
    for timing in clock.timings.values():
        assert list(timing.seconds) == ways
        assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in timing.seconds.values())


def test_the_fused_ways_keep_less_and_launch_less(clock):
    for kind in ("weight step", "architecture step"):
        work = clock.work[kind]
        assert work["fused"].kept < 0.7 * work["oracle"].kept
        if kernels.available():
            assert work["compiled"].kept < 0.5 * work["oracle"].kept
            assert work["compiled"].launches < 0.8 * work["fused"].launches
    assert clock.work["forward"]["oracle"].kept == 0


def test_what_a_gpu_would_launch_is_counted_and_not_timed(clock):
    for kind, timing in clock.timings.items():
        assert "as on a GPU" not in timing.seconds
        if kind != "both steps":
            work = clock.work[kind]
            assert work["as on a GPU"].launches < 0.45 * work["oracle"].launches
    # Gradients, averages and momenta of hundreds of tensors move by a few calls.
    assert clock.work["weight step"]["as on a GPU"].launches < 1700


def test_compiled_cells_are_timed_in_both_steps_on_demand(tmp_path, monkeypatch):
    called = []

    class Compiled:
        def __call__(self, cell, given, gates, path):
            assert not kernels.available()
            called.append(cell)
            return plain(cell, given, gates, path)

    monkeypatch.setattr("lnas.speed.clock.CompiledCells", Compiled)
    found = measured(TINY, 2, 4, tmp_path / "run", cells=True)
    timed = [kind for kind, timing in found.timings.items() if "torch.compile" in timing.seconds]
    assert timed == ["weight step", "architecture step", "both steps"]
    assert len(called) == 3 * 2 * 3  # cells, steps, batches
    assert all("torch.compile" not in work for work in found.work.values())


def test_compiled_cells_need_a_stack_of_cells(tmp_path):
    options = ["--config", "darts_rnn", "--config", "topics"]
    with pytest.raises(InputError, match="RecurrentSupernet is none; leave it out"):
        measured(options, 1, 4, tmp_path / "run", cells=True)


def test_many_steps_on_one_batch_lead_nowhere(tmp_path):
    options = [*TINY, "--model.weight_optimizer.init_args.lr=1e30"]
    assert measured(options, 1, 4, tmp_path / "run").timings


@pytest.mark.parametrize(("markdown", "width"), [(False, 80), (True, 120)])
def test_a_table_of_large_numbers_fits_into_a_terminal(markdown, width):
    clock = Clock()
    for kind in (*clock.kinds, "both steps"):
        for way in ("oracle", "compiled", "as on a GPU"):
            clock.timings.setdefault(kind, Timing()).seconds[way] = [111.5, 111.5]
            clock.work.setdefault(kind, {})[way] = Work(111_286, 1276 * 2**20)
    console = Console(width=width, record=True, file=StringIO())
    console.print(table(clock, markdown))
    lines = console.export_text().splitlines()
    assert not any("…" in line for line in lines)
    assert sum("1,276" in line and "111,286" in line for line in lines) == 15


def test_launches_do_not_depend_on_the_number_of_images(clock, tmp_path):
    more = measured(TINY, 1, 6, tmp_path / "run")
    for kind, works in clock.work.items():
        for way, work in works.items():
            assert more.work[kind][way].launches == work.launches, (kind, way)


def test_ratios_are_of_medians_with_the_spread_of_rounds():
    timing = Timing({"oracle": [4.0, 6.0, 5.0], "fused": [2.0, 2.0, 1.0]})
    assert timing.median("fused") == 2.0
    assert timing.ratios("fused") == (2.5, 2.0, 5.0)


def test_a_search_without_an_architecture_stream_times_its_weights(tmp_path):
    options = [*TINY, "--model.strategy=lnas.search.Joint"]
    assert list(measured(options, 1, 4, tmp_path / "run").timings)[:2] == ["forward", "weight step"]


def test_the_command_prints_a_table_and_leaves_the_threads_alone(capsys):
    before = torch.get_num_threads()
    assert (
        main(["speed", "--rounds", "1", "--batch-size", "4", "--threads", "1", "--markdown", *TINY])
        == 0
    )
    printed = capsys.readouterr().out
    assert "| both steps" in printed
    assert "1 threads" in printed
    assert "as on a GPU" in printed
    assert torch.get_num_threads() == before


def test_wrong_numbers_are_refused():
    with pytest.raises(InputError, match="--rounds 0 is too small"):
        speed_command(["--rounds", "0"])
    with pytest.raises(InputError, match="invalid int value"):
        speed_command(["--rounds", "many"])


def test_overhead_is_what_whole_steps_take_longer_than_bare_ones(capsys, monkeypatch):
    monkeypatch.setattr(Proximity, "on_train_batch_end", lambda *_: time.sleep(0.3), raising=False)
    options = [*TINY, "--trainer.callbacks=[lnas.callbacks.Proximity]"]
    code = main(["speed", "--overhead", "--rounds", "3", "--batch-size", "4", *options])
    assert code == 0
    printed = " ".join(capsys.readouterr().out.split())
    pattern = r"search ([\d.]+) s, bare ([\d.]+) s: overhead (-?[\d.]+)%"
    whole, bare, share = map(float, re.search(pattern, printed).groups())
    assert whole - bare > 0.2  # on a machine that has other work
    assert bare > 0
    rounded = 5e-4  # both, to milliseconds
    low, high = (whole - rounded) / (bare + rounded) - 1, (whole + rounded) / (bare - rounded) - 1
    assert 100 * low - 0.1 <= share <= 100 * high + 0.1


@pytest.mark.parametrize("more", [(), ("--overhead",)])
def test_data_that_end_too_early_are_refused(more):
    options = [*TINY, "--data.init_args.images=24", "--rounds", "30", "--batch-size", "4"]
    with pytest.raises(InputError, match="of 30 rounds; give more images"):
        speed_command([*more, *options])


class Taken(SearchStrategy):
    """Steps bare or as the search does, both passes on the same batch."""

    def __init__(self, bare):
        self.bare = bare

    def step(self, module, batch, step):
        if self.bare:
            bare_step(module, batch, step.architecture_stepped)
            return
        module.architecture_batch = lambda: batch
        FirstOrder().step(module, batch, step)


def test_a_bare_step_moves_weights_and_architecture_as_the_search_does(tmp_path):
    options = [*TINY, "--data.init_args.batch_size=4", "--trainer.limit_train_batches=2"]
    options += ["--trainer.max_epochs=1", "--trainer.logger=false", "--trainer.precision=64-true"]
    options += ["--trainer.callbacks=[]", "--trainer.limit_val_batches=0"]
    found = []
    for bare in (False, True):
        cli = prepare("search", [*options, f"--run.folder={tmp_path / str(bare)}"])
        cli.model.strategy = Taken(bare)
        with named_errors(tmp_path):
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        found.append(cli.model.state_dict())
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


def test_overhead_is_of_first_order_steps():
    found = Overhead(FirstOrder())
    found.whole, found.bare = [2.2, 4.4, 3.0], [2.0, 4.0, 3.0]
    assert found.share() == pytest.approx((0.0, 0.0, 0.1))
    with pytest.raises(InputError, match="not that of SecondOrder"):
        Overhead(SecondOrder())


def test_callbacks_that_take_part_in_steps_are_known():
    assert all(in_steps(kind.__new__(kind)) for kind in (FisherSchedule, Proximity, GracefulStop))
    assert not in_steps(ArchitecturePictures())


def test_a_gpu_is_not_said_to_run_compiled_functions(tmp_path):
    options = ["--config=darts_rnn", "--model.supernet.init_args.units=4"]
    options += ["--data=lnas.data.FakeText", "--data.bptt=6", "--data.held_out=0.3"]
    clock = measured(options, 1, 4, tmp_path / "run")
    for kind, work in clock.work.items():
        assert work["as on a GPU"].launches == work["fused"].launches, kind
        if kernels.available():
            assert work["compiled"].launches < 0.8 * work["fused"].launches, kind
