"""The shipped studies: every option of theirs is one, and the papers' numbers are in them."""

from pathlib import Path

import pytest

from lnas.callbacks import Anneal
from lnas.runs.training import prepare
from lnas.studies.command import read_study
from lnas.studies.graph import EDGE_OPERATIONS, runs_of, trials
from lnas.studies.state import check_plan

STUDIES = sorted((Path(__file__).parents[2] / "configs" / "study").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_can_begin(path):
    study = read_study(["--config", str(path)])
    assert study.name == path.stem
    check_plan(study, runs_of(list(trials(study))))


def test_p_darts_has_the_papers_stages(tmp_path):
    study = read_study(["--config", "p_darts"])
    trial = next(trials(study))
    assert [run.keep for run in trial.searches] == [None, 5, 3, None]
    assert trial.searches[-1].kind == "derive"
    rates = []
    for number, run in enumerate(trial.searches[:3]):
        small = ["--data=lnas.data.FakeImages", "--data.batch_size=96", "--trainer.logger=false"]
        kept = [f"--{EDGE_OPERATIONS}=null"] if run.keep else []
        small += ["--model.supernet.init_args.channels=1", f"--run.folder={tmp_path / str(number)}"]
        cli = prepare("search", [*run.options, *kept, *small])
        assert len(cli.model.supernet.cell_types_of_cells) == (5, 11, 17)[number]
        assert cli.trainer.max_epochs == 25
        assert cli.model.schedules[0](1.0) == 0.0
        warmup = next(c for c in cli.trainer.callbacks if type(c).__name__ == "Warmup")
        assert warmup.epochs == 10
        anneals = [c for c in cli.trainer.callbacks if isinstance(c, Anneal)]
        assert len(anneals) == (number > 0)
        assert all((c.attribute, c.reach) == ("skip_dropout", "start") for c in anneals)
        rates += [[c.schedule(epoch / 25) for epoch in (0, 5, 9, 10, 15, 24)] for c in anneals]
    for rate, found in zip((0.4, 0.7), rates, strict=True):
        golden = [0.96, 0.76, 0.6, 1.0, 0.3679, 0.0608]  # (24 - e) / 25, then exp(-0.2 (e - 10))
        assert found == pytest.approx([rate * value for value in golden], rel=1e-3)
