"""Gate samples hand each cell its gates."""

import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import GateSample

ACTIVE = torch.tensor([[True, False]] * 3)


def test_cells_of_a_type_share_a_sample_without_an_axis_of_cells():
    gates = torch.rand(3, 2, requires_grad=True)
    sample = GateSample({"normal": gates}, {"normal": ACTIVE}, {"normal": torch.ones(3)})
    for index in (0, 1, 7):
        cell = sample.cell("normal", index)
        assert cell.gates is gates
        assert cell.active is ACTIVE
        assert torch.equal(cell.edges, torch.ones(3))


def test_each_cell_gets_its_own_row_of_a_sample_with_an_axis_of_cells():
    gates, edges = torch.rand(4, 3, 2), torch.rand(4, 3)
    active = gates > 0.5
    sample = GateSample({"normal": gates}, {"normal": active}, {"normal": edges})
    for index in range(4):
        cell = sample.cell("normal", index)
        assert torch.equal(cell.gates, gates[index])
        assert torch.equal(cell.active, active[index])
        assert torch.equal(cell.edges, edges[index])


def test_masks_may_name_some_cell_types_only():
    sample = GateSample(
        {"normal": torch.ones(3, 2), "reduce": torch.ones(3, 2)}, {"normal": ACTIVE}
    )
    assert sample.cell("reduce").active is None
    assert sample.cell("normal").edges is None


def test_a_plain_mapping_is_a_sample_and_a_sample_stays_itself():
    gates = torch.ones(3, 2)
    sample = GateSample.of({"cell": gates})
    assert sample.cell("cell").gates is gates
    assert sample.active is None
    assert GateSample.of(sample) is sample


def test_a_cell_type_or_a_cell_that_the_sample_lacks_is_bad_input():
    sample = GateSample({"normal": torch.ones(2, 3, 2)})
    with pytest.raises(InputError, match="no cell type 'reduce'"):
        sample.cell("reduce")
    with pytest.raises(InputError, match="2 cells"):
        sample.cell("normal", 2)


def test_log_probabilities_are_handed_on():
    stored = {"cell": torch.rand(6)}
    assert GateSample({"cell": torch.ones(6, 5)}, log_probability=stored).log_prob() == stored


def test_a_child_computes_what_was_chosen_and_nothing_else():
    chosen = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    sample = GateSample.child({"cell": chosen})
    assert torch.equal(sample.gates["cell"], chosen)
    assert sample.active["cell"].tolist() == [[False, True], [False, False], [True, False]]
