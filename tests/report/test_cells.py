"""Cells as SVG and gates as bytes: what stands in them is what was found."""

import base64
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lnas.report.cell_svg import cell_svg, description
from lnas.report.heat import heat_of, plain
from lnas.report.run_files import read_run
from lnas.spaces import zoo
from lnas.visualize.palette import family, label


@pytest.mark.parametrize("name", ["darts_v2", "darts_rnn_v2", "pc_darts_cifar"])
def test_a_drawing_names_every_operation_in_its_colour(name):
    genotype = zoo.find(name)
    for kind in genotype.cells:
        text = cell_svg(genotype, kind)
        root = ET.fromstring(text)
        assert root.get("role") == "img"
        words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
        for _, _, operation in genotype.edges(kind):
            assert label(operation) in words
            assert family(operation).colour in text
        _, _, width, height = map(float, root.get("viewBox").split())
        corners = [
            (float(box.get("x")), float(box.get("y")), float(box.get("width")))
            for box in root.iter("rect")
        ]
        assert all(x >= 0 and 0 <= y <= height and x + wide <= width for x, y, wide in corners)


def test_a_drawing_says_itself_in_words():
    said = description(zoo.find("darts_v1"), "normal")
    assert said.startswith("Normal cell. node 0: sep conv 3×3 of c(k−2), sep conv 3×3 of c(k−1)")
    assert plain("$x_t,\\,h_{t-1}$") == "x(t), h(t−1)"


def test_strips_hold_the_gates_to_one_step_of_255(made):
    run = read_run(made.images, "run")
    heat = heat_of(run, 100)
    assert heat["epochs"] == [1, 2, 3, 4]
    assert heat["operations"] == list(run.space.operations)
    step = (heat["high"] - heat["low"]) / 255
    for cell, kind in zip(heat["cells"], ("normal", "reduce"), strict=True):
        assert cell["edges"][:3] == ["c(k−2) → 0", "c(k−1) → 0", "c(k−2) → 1"]
        found = np.frombuffer(base64.b64decode(cell["gates"]), dtype=np.uint8)
        gates = np.stack([one[kind] for _, one in run.gates])
        decoded = heat["low"] + step * found.reshape(gates.shape).astype(float)
        np.testing.assert_allclose(decoded, gates, atol=step / 2 + 1e-12)


def test_of_many_epochs_some_strips_remain_and_none_of_no_gates(made):
    run = read_run(made.images, "run")
    assert heat_of(run, 2)["epochs"] == [1, 4]
    assert heat_of(run, 0) is None
    assert heat_of(read_run(made.trained, "trained"), 9) is None
