"""Language modelling: losses of each role, states, perplexity, and made-up texts."""

import pytest
import torch
from torchmetrics.text import Perplexity

from lnas.errors import InputError
from lnas.networks import RecurrentNetwork, build_small
from lnas.spaces import zoo
from lnas.tasks import LanguageModeling, Output, TextBatch, TextExamples


def batch(starts=False, share=1.0, time=5):
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(7, (time + 1, 3), generator=draw)
    return TextBatch(words[:-1], words[1:], starts, share)


def call(seen=None):
    """A network that remembers the states it was given."""

    def network(inputs, state):
        if seen is not None:
            seen.append(state)
        draw = torch.Generator().manual_seed(1)
        time, streams = inputs.shape
        logits = torch.randn(time, streams, 7, generator=draw, requires_grad=True)
        hidden, dropped = torch.randn(2, time, streams, 4, generator=draw)
        return Output(logits, None, logits[-1:], (hidden, dropped))

    return network


def entropy(data):
    logits = call()(data.inputs, None).logits
    return -logits.log_softmax(-1).gather(-1, data.targets[..., None]).mean()


@pytest.mark.parametrize("role", ["architecture", "held_out"])
def test_the_loss_of_the_architecture_and_of_measurements_is_plain(role):
    loss, _, _ = LanguageModeling(7, 2.0, 1.0).loss(call(), batch(), None, role)
    torch.testing.assert_close(loss, entropy(batch()))


@pytest.mark.parametrize("role", ["weights", "joint", "evaluation"])
def test_the_loss_of_the_weights_is_regularised(role):
    hidden, dropped = call()(batch().inputs, None).activations
    steps = sum((hidden[t] - hidden[t - 1]).square().sum() for t in range(1, 5)) / (4 * 3 * 4)
    expected = entropy(batch()) + 2 * dropped.square().sum() / (5 * 3 * 4) + 0.5 * steps
    loss, _, _ = LanguageModeling(7, 2.0, 0.5).loss(call(), batch(), None, role)
    torch.testing.assert_close(loss, expected)


def test_a_single_step_has_no_difference():
    loss, _, _ = LanguageModeling(7).loss(call(), batch(time=1), None, "weights")
    torch.testing.assert_close(loss, entropy(batch(time=1)))


def test_states_are_carried_without_gradient_and_dropped_where_texts_start():
    seen, task = [], LanguageModeling(7)
    _, _, state = task.loss(call(seen), batch(), None, "weights")
    assert not state.requires_grad
    task.loss(call(seen), batch(), state, "weights")
    task.loss(call(seen), batch(starts=True), state, "weights")
    assert seen[0] is None
    assert seen[1] is state
    assert seen[2] is None


def test_short_windows_step_less_far():
    assert LanguageModeling(7).learning_rate_factor(batch(share=17 / 35)) == pytest.approx(17 / 35)


def test_perplexity_is_that_of_torchmetrics_over_all_words():
    task, expected = LanguageModeling(7, 2.0, 0.5), Perplexity()
    metrics, parts = task.metrics(), [batch(), batch(time=2)]
    for part in parts:
        loss, output, _ = task.loss(call(), part, None, "weights")
        metrics.update(loss, output, part)
        expected.update(output.logits.detach(), part.targets)
        found = task.batch_metrics(output, part)["cross_entropy"]
        torch.testing.assert_close(found, entropy(part).detach())
    measured = metrics.compute()
    assert measured["perplexity"] == pytest.approx(expected.compute().item(), rel=1e-6)
    assert measured["loss"] > torch.tensor(measured["perplexity"]).log()  # regularised
    again = task.metrics()
    again.load_state_dict(metrics.state_dict())
    assert again.compute() == measured


def test_networks_are_built_to_the_description_and_take_its_examples():
    examples = TextExamples(23)
    network = build_small(zoo.load("darts_rnn_v1"), **examples.network_options()).eval()
    assert isinstance(network, RecurrentNetwork)
    made = examples.batch(2, torch.empty(0))
    loss, output, _ = LanguageModeling(examples.classes).loss(network, made, None, "weights")
    assert output.logits.shape == (2, 2, 23)
    assert torch.isfinite(loss)
    assert examples.inputs(3).is_meta
    assert examples.inputs(3).shape == (1, 3)


@pytest.mark.parametrize("wrong", [{"vocabulary_size": 1}, {"activation": -1}, {"temporal": -1}])
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LanguageModeling(**{"vocabulary_size": 9, **wrong})
