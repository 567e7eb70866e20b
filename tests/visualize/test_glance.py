import pandas as pd

from lnas.tasks import PERPLEXITY
from lnas.visualize import draw_glance, glance_figure


def _rows():
    for epoch in range(3):
        for batch in range(2):
            step = 2 * epoch + batch + 1
            yield {
                "search/step": step,
                "search/epoch": epoch,
                "search/accuracy_weights": 0.1 * step,
            }
        yield {
            "search/step": step, "search/epoch": epoch, "search/held_out_accuracy": 0.2 * epoch,
            "search/child_accuracy": 0.2 * epoch - 0.05, "arch/normal/entropy": 2.0 - epoch,
            "arch/reduce/entropy": 2.0, "arch/normal/skips": epoch, "arch/reduce/skips": 1,
        }  # fmt: skip


def _curves(axes):
    return {line.get_label(): [round(float(y), 6) for y in line.get_ydata()] for line in axes.lines}


def test_curves_are_the_logged_values_by_epoch():
    accuracy, entropy, skips = glance_figure(pd.DataFrame(_rows())).axes
    assert _curves(accuracy) == {
        "weights' stream": [0.15, 0.35, 0.55],
        "supernet, held out": [0.0, 0.2, 0.4],
        "derived child, held out": [-0.05, 0.15, 0.35],
    }
    assert _curves(entropy) == {"normal cell": [2, 1, 0], "reduction cell": [2, 2, 2]}
    assert _curves(skips) == {"normal cell": [0, 1, 2], "reduction cell": [1, 1, 1]}


def test_the_measure_is_that_of_the_task():
    rows = pd.DataFrame(_rows()).rename(columns=lambda c: c.replace("accuracy", "perplexity"))
    axes = glance_figure(rows, PERPLEXITY).axes[0]
    assert len(_curves(axes)) == 3
    assert axes.get_title(loc="left") == "perplexity"


def test_what_was_not_logged_is_said_not_drawn(tmp_path):
    rows = pd.DataFrame(_rows())[["search/step", "search/epoch", "search/held_out_accuracy"]]
    accuracy, entropy, skips = glance_figure(rows).axes
    assert list(_curves(accuracy)) == ["supernet, held out"]
    for axes in (entropy, skips):
        assert not axes.lines
        assert axes.texts[0].get_text() == "not logged"
    draw_glance(pd.DataFrame(), tmp_path / "glance.svg")
    assert (tmp_path / "glance.svg").is_file()
