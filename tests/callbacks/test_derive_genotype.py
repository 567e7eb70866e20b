"""DeriveGenotype writes what the space derives from the averaged scores, also after a kill."""

from types import SimpleNamespace

import torch

from lnas.callbacks import DeriveGenotype
from lnas.callbacks.derive_genotype import average_scores
from lnas.derivation import RandomChoice, SelectionContext
from lnas.genotype import Genotype
from lnas.spaces import EveryEdge


def test_the_end_of_a_fit_writes_genotype_and_pictures(
    small_trainer, small_module, small_data, tmp_path, capsys
):
    derive, module = DeriveGenotype(RandomChoice(5)), small_module()
    small_trainer(derive).fit(module, datamodule=small_data)
    scores = RandomChoice(5).scores(SelectionContext(module.architecture, seed=3))
    expected = module.space.derive(scores)
    assert derive.genotype == expected == Genotype.load(tmp_path / "genotype.json")
    assert (tmp_path / "genotype.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "genotype.svg").read_text()
    assert str(tmp_path / "genotype.json") in capsys.readouterr().out


def test_a_run_whose_fit_was_complete_derives_when_resumed(
    small_trainer, small_module, small_data, tmp_path
):
    module = small_module()
    small_trainer().fit(module, datamodule=small_data)  # killed before it derived
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    derive, resumed = DeriveGenotype(), small_module()
    last = tmp_path / "checkpoints/last.ckpt"
    small_trainer(derive).fit(resumed, datamodule=small_data, ckpt_path=last)
    assert derive.genotype == module.space.derive(module.architecture.probabilities())
    assert all(torch.equal(weights[k], v) for k, v in resumed.state_dict().items())


def test_cells_without_a_way_for_the_image_are_said_to_be_blind(
    small_trainer, small_module, small_data, capsys
):
    module = small_module()
    module.space.rule = EveryEdge()
    with torch.no_grad():
        for logits in module.architecture.logits.values():
            logits[:, module.space.operations.index("none")] = 9.0
    derive = DeriveGenotype()
    small_trainer(derive).fit(module, datamodule=small_data)
    assert derive.genotype.edges("normal") == derive.genotype.edges("reduce") == []
    assert "does not see its images" in capsys.readouterr().out


def test_scores_are_averaged_over_ranks():
    strategy = SimpleNamespace(reduce=lambda value, reduce_op: {"mean": value / 2}[reduce_op])
    scores = {"normal": torch.tensor([[2.0, 4.0]])}
    means = average_scores(SimpleNamespace(strategy=strategy), scores)
    torch.testing.assert_close(means["normal"], torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(scores["normal"], torch.tensor([[2.0, 4.0]]))
