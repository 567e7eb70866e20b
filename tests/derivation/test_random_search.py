"""RandomSearch chooses the cell of the least held-out loss, on all ranks the same."""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from threading import Barrier

import pytest
import torch
from torch.nn import functional

from lnas.data import FakeImages
from lnas.derivation import RandomSearch, SelectionContext
from lnas.errors import InputError
from lnas.operations.normalization import statistics
from lnas.relaxations import GateSample, RandomCell
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture, ConvolutionalSupernet, NasBench201Supernet


def context_of(space, net, batches, average=lambda tensor: tensor, ranks=1):
    def loss(sample, batch):
        with statistics(net, "batch"):
            return functional.cross_entropy(net(batch[0], sample).logits, batch[1])

    def measures(samples, batch):
        count = torch.tensor(len(batch[1]))
        return [{"loss": loss(sample, batch), "examples": count} for sample in samples]

    architecture = Architecture(space, RandomCell())
    given = architecture, net, lambda: iter(batches), loss, 3, average, measures, ranks
    return SelectionContext(*given)


@pytest.fixture(params=["nasbench201", "darts"])
def context(request):
    torch.manual_seed(0)
    if request.param == "darts":
        space = DartsSpace(nodes=2)
        net = ConvolutionalSupernet(space, channels=4, layers=3, num_classes=4)
    else:
        space = NasBench201Space()
        net = NasBench201Supernet(space, channels=4, cells=1, num_classes=4)
    batches = [(torch.randn(6, 3, 8, 8), torch.arange(6) % 4) for _ in range(3)]
    return context_of(space, net, batches)


def test_the_derived_cell_has_the_least_loss_of_all_that_were_drawn(context):
    criterion, space = RandomSearch(architectures=12, seed=2), context.architecture.space
    drawn = [criterion.draw(context, index) for index in range(12)]
    genotypes = [space.derive(cell) for cell in drawn]
    assert len(set(genotypes)) == 12
    losses = []
    for genotype in genotypes:
        # The supernet as the derived child would compute it, on the reference path.
        with context.supernet.using("reference"), torch.no_grad():
            sample = GateSample.child(space.one_hot(genotype))
            found = [context.loss(sample, batch).item() for batch in context.batches()]
        losses.append(sum(found) / len(found))
    assert len(set(losses)) == 12
    found = criterion.losses(context, drawn)
    torch.testing.assert_close(found, torch.tensor(losses).double(), rtol=1e-5, atol=1e-6)
    best = min(range(12), key=losses.__getitem__)
    assert best > 0
    assert space.derive(criterion.scores(context)) == genotypes[best]


def test_each_image_counts_the_same_in_the_last_small_batch(context):
    criterion, whole = RandomSearch(architectures=3), list(context.batches())
    small = [(images[:2], labels[:2]) for images, labels in whole[-1:]]
    context = replace(context, batches=lambda: iter([*whole[:1], *small]))
    drawn = [criterion.draw(context, index) for index in range(3)]
    first, last = (
        [context.loss(GateSample.child(c), b).item() for c in drawn] for b in (whole[0], small[0])
    )
    expected = [(6 * one + 2 * other) / 8 for one, other in zip(first, last, strict=True)]
    expected = torch.tensor(expected).double()
    torch.testing.assert_close(criterion.losses(context, drawn), expected, rtol=1e-5, atol=1e-6)


def test_fewer_batches_can_be_asked_for(context):
    criterion = RandomSearch(architectures=3, batches=2)
    drawn = [criterion.draw(context, index) for index in range(3)]
    with torch.no_grad():
        expected = torch.stack(
            [
                torch.stack([context.loss(GateSample.child(cell), batch) for cell in drawn])
                for batch in islice(context.batches(), 2)
            ]
        ).mean(0)
    torch.testing.assert_close(criterion.losses(context, drawn), expected.double())


def test_ranks_that_see_other_images_choose_the_same_cell():
    torch.manual_seed(1)
    space = NasBench201Space()
    net = NasBench201Supernet(space, channels=4, cells=1, num_classes=4)
    shares = [[(torch.randn(6, 3, 8, 8), torch.arange(6) % 4)] for _ in range(2)]
    criterion = RandomSearch(architectures=30)
    alone = [context_of(space, net, share) for share in shares]
    drawn = [criterion.draw(alone[0], index) for index in range(30)]
    mean = sum(criterion.losses(context, drawn) for context in alone) / 2

    met, given = Barrier(2), [None, None]

    def on_rank(rank):
        def average(tensor):
            given[rank] = tensor
            met.wait()
            result = (given[0] + given[1]) / 2
            met.wait()
            return result

        context = context_of(space, copy.deepcopy(net), shares[rank], average, ranks=2)
        return space.derive(criterion.scores(context))

    with ThreadPoolExecutor(2) as ranks:
        chosen = list(ranks.map(on_rank, range(2)))
    assert chosen[0] == chosen[1] == space.derive(drawn[int(mean.argmin())])
    apart = [space.derive(criterion.scores(context)) for context in alone]
    assert apart[0] != apart[1]


def test_it_changes_nothing_and_depends_on_both_seeds(context):
    before = {name: value.clone() for name, value in context.supernet.state_dict().items()}
    state, space = torch.get_rng_state(), context.architecture.space
    first = space.derive(RandomSearch(5).scores(context))
    assert space.derive(RandomSearch(5).scores(context)) == first
    assert torch.equal(state, torch.get_rng_state())
    after = context.supernet.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert space.derive(RandomSearch(5, seed=1).draw(context, 0)) != space.derive(
        RandomSearch(5).draw(context, 0)
    )


def test_fixed_edges_and_closed_operations_are_honoured(context):
    architecture, space = context.architecture, context.architecture.space
    kind, row = space.cell_types[0], len(space.edges) - 1
    architecture.fix(kind, row, "skip_connect")
    architecture.close(kind, 0, space.operations[2])
    for seed in range(5):
        scores = RandomSearch(2, seed=seed).scores(context)
        assert scores[kind][0, 2] == -torch.inf
        edge = space.edges[row]
        found = space.derive(scores).edges(kind)
        assert (edge.target, edge.source, "skip_connect") in found


@pytest.mark.parametrize("options", [{"architectures": 0}, {"batches": 0}])
def test_comparing_nothing_is_refused(options):
    with pytest.raises(InputError, match="compares nothing"):
        RandomSearch(**options)


def test_a_search_without_held_out_images_is_refused_at_its_start(tmp_path):
    from lightning.pytorch import Trainer

    from lnas.callbacks import DeriveGenotype
    from lnas.search import SearchModule, WeightsOnly

    supernet = partial(NasBench201Supernet, channels=4, cells=1)
    module = SearchModule(NasBench201Space(), supernet, RandomCell(), WeightsOnly())
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, default_root_dir=tmp_path,
        callbacks=[DeriveGenotype(RandomSearch())], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = FakeImages(images=32, shape=(3, 8, 8), batch_size=8, held_out=0, architecture_fraction=0)
    with pytest.raises(InputError, match="Nothing is held out"):
        trainer.fit(module, datamodule=data)
    assert module.steps == 0
