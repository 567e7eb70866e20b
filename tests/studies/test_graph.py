"""A study becomes trials, and trials become runs that wait for each other."""

import json

import torch

from lnas.derivation import save_scores
from lnas.spaces import DartsSpace
from lnas.studies.graph import runs_of, trials
from lnas.studies.plan import RANDOM, Options, Stage, Study, Variant

SPACE = DartsSpace(("none", "skip_connect", "sep_conv_3x3"), nodes=2)


def study(folder, *variants, **changes):
    settings = {"evaluation": Options(["digits"]), "seeds": [3, 5], "random": 0}
    return Study("s", list(variants), folder=str(folder), **settings | changes)


def plan(*given, **changes):
    return list(trials(study(*given, **changes)))


def test_every_variant_meets_every_seed_and_random_cells_follow(tmp_path):
    variants = [Variant("DARTS", Options()), Variant("DARTS, 2nd", Options())]
    planned = plan(tmp_path, *variants, random=3)
    assert [(trial.method, trial.seed) for trial in planned] == [
        ("DARTS", 3), ("DARTS, 2nd", 3), ("DARTS", 5), ("DARTS, 2nd", 5),
        (RANDOM, 3), (RANDOM, 4), (RANDOM, 5),
    ]  # fmt: skip
    folders = [run.folder for run in runs_of(planned)]
    assert len(set(folders)) == len(folders) == 4 * 2 + 3
    assert planned[0].genotype == tmp_path / "darts-3/search/genotype.json"
    assert planned[-1].genotype == tmp_path / "random-cells-5/genotype.json"
    assert [run.kind for run in planned[-1].runs] == ["evaluate"]
    search, evaluate = planned[0].runs
    assert search.arguments() == ["--seed=3"]
    assert evaluate.after == search
    assert evaluate.arguments() == [
        "--config", "digits", f"--genotype={planned[0].genotype}", "--seed=3",
    ]  # fmt: skip


def test_each_training_of_a_cell_has_its_own_seed_and_folder(tmp_path):
    (trial,) = plan(tmp_path, Variant("a", Options()), seeds=[3], retrainings=3)
    assert [run.folder.name for run in trial.evaluations] == [
        "evaluate", "evaluate.2", "evaluate.3",
    ]  # fmt: skip
    assert [run.seed for run in trial.evaluations] == [3, 1003, 2003]
    assert {run.after for run in trial.evaluations} == set(trial.searches)


def test_a_stage_waits_for_the_one_before_and_keeps_its_best_operations(tmp_path):
    stages = [Stage(options={"x": 1}), Stage(options={"x": 2}, keep=2), Stage(keep=1)]
    (trial,) = plan(tmp_path, Variant("chain", Options(["darts"]), stages), seeds=[0])
    first, second, _ = trial.searches
    assert [run.after for run in trial.searches] == [None, first, second]
    assert trial.genotype == tmp_path / "chain-0/search-3/genotype.json"
    assert first.arguments() == ["--config", "darts", "--x=1", "--seed=0"]
    # Softmax tables of five edges each; the second operation is out of question on one edge.
    scores = {name: torch.tensor([[0.2, 0.5, 0.3]] * 5) for name in ("normal", "reduce")}
    scores["normal"][1] = torch.tensor([0.5, -torch.inf, 0.1])
    scores["reduce"][4] = torch.tensor([0.1, 0.1, 0.1])
    save_scores(first.folder / "scores.json", SPACE, scores)
    options = dict(word.split("=", 1) for word in second.arguments() if "=" in word)
    kept = json.loads(options["--model.space.init_args.edge_operations"])
    assert kept["normal"]["2_0"] == ["skip_connect", "sep_conv_3x3"]
    assert kept["normal"]["2_1"] == ["none", "sep_conv_3x3"]
    assert kept["reduce"]["3_2"] == ["none", "skip_connect"]  # of equal ones the first
    narrowed = DartsSpace(SPACE.operations, nodes=2, edge_operations=kept)
    assert narrowed.candidates("normal").sum(-1).tolist() == [2] * 5
    assert options["--x"] == "2"


def test_criteria_share_the_search_and_derive_in_folders_of_their_own(tmp_path):
    criteria = {"Magnitude": "lnas.derivation.Magnitude", "random": {"class_path": "a.B"}}
    variant = Variant("DARTS", Options(["darts"]), criteria=criteria)
    first, second = plan(tmp_path, variant, seeds=[7])
    assert [run.kind for run in first.runs] == ["search", "derive", "evaluate"]
    assert first.searches[0] == second.searches[0]
    assert len(runs_of([first, second])) == 5
    derive = second.searches[1]
    assert derive.after == first.searches[0]
    assert second.genotype == tmp_path / "darts-7/derive-random/genotype.json"
    assert derive.arguments()[:2] == ["--config", str(tmp_path / "darts-7/search/config.yaml")]
    nothing, callbacks = (w.removeprefix("--trainer.callbacks=") for w in derive.arguments()[2:4])
    assert nothing == "null"
    (callback,) = json.loads(callbacks)
    assert callback["init_args"] == {"criterion": {"class_path": "a.B"}}


def test_with_a_truth_nothing_is_trained(tmp_path):
    variant = Variant("DARTS", Options())
    planned = plan(tmp_path, variant, truth="nasbench201", evaluation=None, random=5)
    assert [trial.method for trial in planned] == ["DARTS", "DARTS"]
    assert {run.kind for run in runs_of(planned)} == {"search"}
