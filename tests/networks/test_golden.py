"""Derived networks compute what the released codes compute, in float64."""

import pytest
import torch
from torch.testing import assert_close

from lnas.genotype import Genotype
from lnas.networks import CifarNetwork, ImageNetNetwork, NasBench201Network
from lnas.tasks import ImageClassification

TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}


def darts_genotype(setting):
    cells, concat = setting["genotype"], setting["genotype"]["concat"]
    types = ("normal", "reduce")
    nodes = {t: [[tuple(p) for p in cells[t][i : i + 2]] for i in (0, 2, 4, 6)] for t in types}
    return Genotype("darts", nodes, {t: tuple(concat) for t in types})


def build(name, setting):
    if name == "nasbench201_network":
        genotype = Genotype.from_text(setting["architecture"])
        cells = setting["cells_per_stage"]
        return NasBench201Network(genotype, setting["channels"], cells, setting["classes"])
    kind = CifarNetwork if name == "cifar_network" else ImageNetNetwork
    sizes = (setting["channels"], setting["layers"], setting["classes"])
    return kind(darts_genotype(setting), *sizes, auxiliary=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["cifar_network", "imagenet_network", "nasbench201_network"])
def test_network_computes_what_the_released_code_computes(golden, name, layout):
    stored = golden(name)
    network = build(name, stored.setting).double()
    # Strict: every stored name exists and no other.
    network.load_state_dict(stored.part("param/") | stored.part("buffer/"))
    network.to(memory_format=layout)
    images = stored.data["input"].to(memory_format=layout)
    labels = stored.data["labels"]

    network.eval()
    with torch.no_grad():
        output = network(images)
    assert output.auxiliary is None
    assert_close(output.logits, stored.data["logits_eval"], **TOLERANCE)

    network.train()
    auxiliary_weight = stored.setting.get("auxiliary_weight", 0.0)
    task = ImageClassification(stored.setting["classes"], auxiliary_weight=auxiliary_weight)
    loss, output, _ = task.loss(network, (images, labels), None, "evaluation")
    expected = stored.data["loss"]
    assert_close(output.logits, stored.data["logits_train"], **TOLERANCE)
    if "loss_auxiliary" in stored.data:
        assert_close(output.auxiliary, stored.data["logits_auxiliary_train"], **TOLERANCE)
        expected = expected + auxiliary_weight * stored.data["loss_auxiliary"]
    assert_close(loss, expected, **TOLERANCE)

    loss.backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    for key, gradient in stored.part("grad/").items():
        assert_close(gradients[key], gradient, **TOLERANCE)
    norm = sum(gradient.square().sum() for gradient in gradients.values())
    assert_close(norm, stored.data["grad_norm_squared_all_weights"], **TOLERANCE)
    buffers = dict(network.named_buffers())
    for key, value in stored.part("after/").items():
        assert_close(buffers[key], value, **TOLERANCE)
