"""The architecture's Hessian against the whole matrix, and the stop that it leads to."""

import math
from itertools import islice

import pytest
import torch
from torch import nn
from torch.nn import functional

from lnas.callbacks import (
    DeriveGenotype,
    EigenvalueStop,
    GenotypeTrail,
    HessianEigenvalue,
)
from lnas.callbacks.eigenvalue_stop import stop_index
from lnas.errors import InputError
from lnas.loggers import read_rows
from lnas.search import Joint, SearchCallback
from lnas.search.hessian import architecture_hessian


@pytest.fixture
def fitted(small_trainer, small_module, small_data):
    """Return a search in float64 behind its first epoch, its logits spread out."""
    module = small_module()
    trainer = small_trainer(precision="64-true")
    trainer.fit(module, datamodule=small_data)
    draw = torch.Generator().manual_seed(2)
    for values in module.architecture.logits.values():
        values.data.copy_(torch.randn(values.shape, generator=draw))
    return module


def batches_of(module, epoch, count):
    """Return the first batches of a pass over the architecture stream."""
    loader = module.trainer.datamodule.architecture_loader()
    loader.set_position(epoch, 0)
    return [(images.double(), labels) for images, labels in islice(loader, count)]


def whole_matrix(module, batches):
    """Build the matrix by differentiating twice a loss of one's own."""
    kinds = list(module.architecture.logits)
    shape = module.architecture.logits[kinds[0]].shape
    start = torch.cat([v.detach().flatten() for v in module.architecture.logits.values()])

    def loss(flat):
        tables = flat.view(len(kinds), *shape).softmax(-1)
        gates = dict(zip(kinds, tables, strict=True))
        losses = [
            functional.cross_entropy(module.supernet(images, gates).logits, labels)
            for images, labels in batches
        ]
        return sum(losses) / len(losses)

    with module.supernet.using("reference"):
        matrix = torch.autograd.functional.hessian(loss, start)
    return matrix + 1e-3 * torch.eye(len(matrix))  # the optimizer's weight decay


def test_products_and_eigenvalue_equal_those_of_the_whole_matrix(fitted):
    batches = batches_of(fitted, 3, 2)
    product, matrix = architecture_hessian(fitted, batches), whole_matrix(fitted, batches)
    for _ in range(3):
        vector = torch.randn(len(matrix), dtype=torch.float64)
        torch.testing.assert_close(product(vector), matrix @ vector, rtol=1e-9, atol=1e-9)
    expected = torch.linalg.eigvalsh(matrix)[-1].item()
    assert expected > 10e-3
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    measured = HessianEigenvalue(batches=2, tolerance=1e-9).measure(fitted, 3)
    assert measured == pytest.approx(expected, rel=1e-8)
    rough = HessianEigenvalue(batches=2).measure(fitted, 3)
    assert rough == pytest.approx(expected, rel=1e-2)
    assert HessianEigenvalue().measure(fitted, 3) != pytest.approx(expected, rel=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in fitted.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in fitted.parameters())


def test_products_equal_differences_of_the_gradient_without_kinks(fitted, monkeypatch):
    monkeypatch.setattr(nn.functional, "relu", nn.functional.softplus)
    fitted.supernet.path = "reference"
    parameters, (batch,) = fitted.architecture_parameters(), batches_of(fitted, 0, 1)
    product = architecture_hessian(fitted, [batch])

    def gradient():
        loss = fitted.run(batch, "architecture", fitted.sample("architecture"))[0]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    def shift(vector, length):
        for values, part in zip(parameters, vector.split(20), strict=True):
            values.data += length * part.view_as(values)

    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        vector = torch.randn(40, generator=draw, dtype=torch.float64)
        ends = []
        for length in (1e-4, -2e-4):
            shift(vector, length)
            ends.append(gradient())
        shift(vector, 1e-4)
        difference = (ends[0] - ends[1]) / 2e-4
        expected = difference + 1e-3 * vector
        torch.testing.assert_close(product(vector), expected, rtol=1e-5, atol=1e-8)


def searched(make_trainer, module, data, *callbacks, epochs=3, ckpt_path=None, **options):
    trainer = make_trainer(*callbacks, epochs=epochs, **options)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return trainer


def test_a_measurement_changes_nothing_and_comes_in_its_epochs(
    small_trainer, small_module, small_data, tmp_path
):
    plain, watched, part = small_module(), small_module(), HessianEigenvalue(every=2)
    searched(small_trainer, plain, small_data, epochs=4, folder=tmp_path / "a")
    searched(small_trainer, watched, small_data, part, epochs=4, folder=tmp_path / "b")
    assert all(
        torch.equal(value, watched.state_dict()[name]) for name, value in plain.state_dict().items()
    )
    assert plain.stream.batches_read == watched.stream.batches_read
    assert [epoch for epoch, _ in part.history] == [0, 2, 3]  # every second, and the last
    rows = [r for r in read_rows(tmp_path / "b/metrics.csv") if "search/hessian_eigenvalue" in r]
    assert [(r["search/epoch"], r["search/hessian_eigenvalue"]) for r in rows] == part.history
    assert len({value for _, value in part.history}) == 3


def test_what_was_measured_resumes(small_trainer, small_module, small_data, tmp_path):
    whole, first, second = (HessianEigenvalue(every=1) for _ in range(3))
    searched(small_trainer, small_module(), small_data, whole, epochs=3, folder=tmp_path / "a")
    folder = tmp_path / "b"
    searched(
        small_trainer, small_module(), small_data, first, epochs=3, limit_train_batches=None,
        folder=folder, max_steps=4,
    )  # fmt: skip
    last = folder / "checkpoints/last.ckpt"
    searched(small_trainer, small_module(), small_data, second, folder=folder, ckpt_path=last)
    assert first.history == whole.history[:2]
    assert second.history == whole.history


def test_a_search_without_an_architecture_stream_is_refused(
    small_trainer, small_module, small_data
):
    module = small_module()
    module.strategy = Joint()
    with pytest.raises(InputError, match=r"which Joint does not have; use FirstOrder"):
        small_trainer(HessianEigenvalue()).fit(module, datamodule=small_data)


def released_rule(values, window=5, factor=1.3, delta=4):
    """Follow the released bookkeeping: a list of averages and the measurement each belongs to."""
    averages, belongs = [], []
    for count in range(1, len(values) + 1):
        if count >= math.ceil(window / 2):
            averages.append(sum(values[max(0, count - window) : count]) / min(window, count))
            belongs.append(count - 1 - window // 2)
    if len(averages) <= delta or averages[-1] / averages[-1 - delta] <= factor:
        return None
    return belongs[-1] - delta


def test_the_rule_is_the_released_one():
    draw = torch.Generator().manual_seed(0)
    stops = 0
    for _ in range(300):
        walk = (0.15 * torch.randn(20, generator=draw)).cumsum(0).exp().tolist()
        for count in range(1, 21):
            expected = released_rule(walk[:count])
            assert stop_index(walk[:count], 5, 1.3, 4) == expected
            stops += expected is not None
    assert 500 < stops < 5000


def test_growth_is_found_at_its_measurement_by_hand():
    values = [1.0] * 10 + [1.4, 1.8]
    # Averages of the last five: 1.24 against 1; of one fewer: 1.08.
    assert stop_index(values[:-1], 5, 1.2, 4) is None
    assert stop_index(values, 5, 1.2, 4) == 12 - 1 - 2 - 4
    assert stop_index(values, 5, 1.3, 4) is None
    assert stop_index([-1.0] * 12, 5, 0.1, 4) is None


VALUES = [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(HessianEigenvalue, "measure", lambda part, m, epoch: VALUES[epoch])


def stopping():
    # Averages of three: 1, 1, 1, 4/3, 7/3 in the middle of measurement 4: 7/3 against 1 at 2.
    return [HessianEigenvalue(every=1), EigenvalueStop(window=3, factor=2.0, delta=2, earliest=2)]


def test_the_search_goes_back_to_where_the_growth_began(
    small_trainer, small_module, small_data, tmp_path, scripted, capsys
):
    seen = {}

    class Look(SearchCallback):
        def on_train_epoch_end(self, trainer, module):
            logits = module.architecture.logits
            seen[trainer.current_epoch] = {n: v.detach().clone() for n, v in logits.items()}

    module, derive = small_module(), DeriveGenotype()
    callbacks = [Look(), *stopping(), GenotypeTrail(0), derive]
    searched(small_trainer, module, small_data, *callbacks, epochs=8)
    assert max(seen) == 5
    for name, values in module.architecture.logits.items():
        assert torch.equal(values, seen[2][name])
        assert not torch.equal(values, seen[5][name])
    assert derive.genotype == module.space.derive({n: v.softmax(-1) for n, v in seen[2].items()})
    assert "Stopped behind epoch 5: the largest eigenvalue" in capsys.readouterr().out
    # Killed before it derived, it does not go on to train.
    resumed, again = small_module(), DeriveGenotype()
    last = tmp_path / "checkpoints/last.ckpt"
    callbacks = [*stopping(), GenotypeTrail(0), again]
    searched(small_trainer, resumed, small_data, *callbacks, epochs=8, ckpt_path=last)
    assert resumed.steps == module.steps
    assert again.genotype == derive.genotype


def test_a_search_that_resumes_before_its_stop_stops_the_same(
    small_trainer, small_module, small_data, tmp_path, scripted
):
    whole, part = small_module(), small_module()
    searched(small_trainer, whole, small_data, *stopping(), epochs=8, folder=tmp_path / "a")
    folder = tmp_path / "b"
    # Four epochs of two batches, and the fifth half.
    searched(small_trainer, part, small_data, *stopping(), epochs=8, folder=folder, max_steps=8)
    resumed = small_module()
    last = folder / "checkpoints/last.ckpt"
    searched(
        small_trainer, resumed, small_data, *stopping(), epochs=8, folder=folder, ckpt_path=last
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed.steps == whole.steps == 12


def test_it_does_not_go_back_before_the_earliest_epoch(
    small_trainer, small_module, small_data, scripted
):
    late = [HessianEigenvalue(every=1), EigenvalueStop(3, 2.0, 2, earliest=3)]
    module = small_module()
    searched(small_trainer, module, small_data, *late, epochs=8)
    assert module.steps == 2 * 7  # one epoch later
    assert "epoch 3" in late[1].reason


def test_a_stop_without_measurements_in_front_is_refused(small_trainer, small_module, small_data):
    for callbacks in ([EigenvalueStop()], [EigenvalueStop(), HessianEigenvalue()]):
        with pytest.raises(InputError, match="put HessianEigenvalue in front"):
            small_trainer(*callbacks).fit(small_module(), datamodule=small_data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: EigenvalueStop(window=4),
        lambda: EigenvalueStop(factor=0),
        lambda: EigenvalueStop(delta=0),
        lambda: EigenvalueStop(earliest=-1),
        lambda: HessianEigenvalue(every=0),
        lambda: HessianEigenvalue(batches=0),
        lambda: HessianEigenvalue(tolerance=0),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(InputError, match="needs"):
        make()
