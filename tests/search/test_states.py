"""The state of a recurrent network: one for each stream, moved on by real steps alone."""

import pytest

from lnas.search import FirstOrder, Joint, SearchCallback, SecondOrder
from lnas.tasks import ImageClassification


class Remember(ImageClassification):
    """The state counts the batches of its stream; each pass notes what it began with."""

    def __init__(self, classes):
        super().__init__(classes)
        self.passes = []

    def loss(self, network_call, batch, state, role):
        loss, output, _ = super().loss(network_call, batch, None, role)
        self.passes.append((role, state))
        return loss, output, (state or 0) + 1


class EverySecond(SearchCallback):
    def should_step_architecture(self, module, step):
        return step.batch_index % 2 == 0


def passes(tiny, folder, strategy, callbacks=()):
    options = {"trainer": {"max_epochs": 1, "limit_val_batches": 0}}
    module = tiny.fit(folder, callbacks, task=Remember, strategy=strategy, **options)
    assert module.task.passes.pop(0) == ("held_out", None)  # the check of the setup
    return module.task.passes, module.states


def test_each_stream_has_its_own_state(tiny, tmp_path):
    found, states = passes(tiny, tmp_path, FirstOrder("weights_first"), [EverySecond()])
    assert found == [
        ("weights", None), ("architecture", None), ("weights", 1), ("weights", 2),
        ("architecture", 1), ("weights", 3),
    ]  # fmt: skip
    assert states == {"weights": 4, "architecture": 2}


@pytest.mark.parametrize("product", ["finite_difference", "exact"])
def test_all_passes_of_a_second_order_step_start_from_the_same_state(tiny, tmp_path, product):
    found, states = passes(tiny, tmp_path, SecondOrder(product))
    between = 2 if product == "finite_difference" else 1
    for step, before in enumerate((None, 1, 2, 3)):
        own = found[step * (between + 3) : (step + 1) * (between + 3)]
        expected = [("weights", before), ("architecture", before)]
        assert own == expected + [("weights", before)] * (between + 1)
    assert states == {"weights": 4, "architecture": 4}


def test_a_withheld_joint_step_stays_on_the_stream_of_the_weights(tiny, tmp_path):
    found, states = passes(tiny, tmp_path, Joint(), [EverySecond()])
    assert found == [("joint", None), ("weights", 1), ("joint", 2), ("weights", 3)]
    assert states == {"weights": 4}


def test_validation_reads_its_batches_in_a_row_and_leaves_the_others_alone(tiny, tmp_path):
    module = tiny.fit(tmp_path, task=Remember, strategy=Joint())
    held_out = [state for role, state in module.task.passes[1:] if role == "held_out"]
    assert held_out == [None, 1] * 2
    assert module.states == {"weights": 8}


def test_a_resumed_search_goes_on_with_its_states(tiny, tmp_path):
    save = tiny.Save(tmp_path / "a.ckpt", 3)
    whole = tiny.fit(tmp_path, [save], task=Remember)
    resumed = tiny.fit(tmp_path, task=Remember, ckpt_path=save.path)
    tail = [entry for entry in resumed.task.passes if entry[0] != "held_out"]
    assert tail[0] == ("architecture", 3)
    assert resumed.states == whole.states == {"weights": 8, "architecture": 8}
