import threading
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import pytest
from matplotlib.patches import FancyBboxPatch

from lnas.errors import InputError
from lnas.spaces import zoo
from lnas.visualize import cell_figure, draw_genotype


@pytest.mark.parametrize("name", zoo.names())
def test_rendered_texts_stay_in_their_boxes_and_in_the_picture(name):
    figure = cell_figure(zoo.load(name))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    (axes,) = figure.axes
    page = figure.bbox
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    texts = [text.get_window_extent(renderer) for text in axes.texts]
    boxed = [text.get_gid() not in ("title", "legend") for text in axes.texts]
    assert sum(boxed) == len(boxes)
    for text, in_box in zip(texts, boxed, strict=True):
        assert page.x0 < text.x0 < text.x1 < page.x1
        assert page.y0 < text.y0 < text.y1 < page.y1
        around = [b for b in boxes if b.x0 <= text.x0 and text.x1 <= b.x1 and b.y0 <= text.y0]
        assert any(text.y1 <= b.y1 for b in around) == in_box
    for i, text in enumerate(texts):
        assert not any(text.overlaps(other) for other in texts[:i])


def test_operations_are_named_for_people_and_families_are_in_the_legend():
    figure = cell_figure(zoo.load("darts_v2"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("sep conv 3×3") == 5
    assert texts.count("max pool 3×3") == 5
    assert texts.count("skip") == 5
    legend = [text.get_text() for text in figure.axes[0].texts if text.get_gid() == "legend"]
    assert set(legend) == {
        "separable convolution", "dilated convolution", "pooling", "skip connection"
    }  # fmt: skip


def test_png_and_svg_are_written_whole_and_alike_each_time(tmp_path):
    genotype = zoo.load("darts_v2")
    for suffix in (".png", ".svg"):
        first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        draw_genotype(genotype, first)
        draw_genotype(genotype, second)
        assert first.read_bytes() == second.read_bytes()
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.svg", "b.png", "b.svg"}


def test_threads_draw_what_one_thread_draws(tmp_path):
    names = ["darts_v1", "darts_v2", "snas_mild", "darts_rnn_v2"]
    for name in names:
        draw_genotype(zoo.load(name), tmp_path / f"{name}.svg")
    threads = [
        threading.Thread(target=draw_genotype, args=(zoo.load(n), tmp_path / f"{n}_thread.svg"))
        for n in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        alone, together = tmp_path / f"{name}.svg", tmp_path / f"{name}_thread.svg"
        assert alone.read_bytes() == together.read_bytes()


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"Cannot draw 'cell.gif': pictures are \.png or \.svg"):
        draw_genotype(zoo.load("darts_v2"), tmp_path / "cell.gif")
