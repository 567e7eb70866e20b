"""Every relaxation, strategy, penalty and schedule together: it runs, or setup says why not.

`python tests/test_composition.py` prints the table that stands in the README.
"""

import importlib.util
import math
import re
import tempfile
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from lnas.callbacks import ADMM, ConstantSchedule, FisherSchedule, GroupPenalty, Proximity
from lnas.errors import InputError
from lnas.operations.skeleton import Head
from lnas.relaxations import (
    ClippedReLU,
    Concrete,
    HardConcrete,
    OneHot,
    Proximal,
    RandomCell,
    Sigmoid,
    Softmax,
    Uniform,
)
from lnas.search import FirstOrder, Joint, SecondOrder, WeightsOnly
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("tiny", HERE / "search" / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
tiny = _module.TinySearch()


class OneCell(NasBench201Supernet):
    """The smallest network: one searched cell of two channels."""

    halvings = 0

    def __init__(self, space, num_classes, **options):
        super().__init__(space, channels=2, cells=1, num_classes=num_classes, **options)
        del self.cells[1:]
        self.cell_types_of_cells = self.cell_types_of_cells[:1]
        self.head, self.classifier = Head(2), nn.Linear(2, num_classes)


RELAXATIONS = {
    "Softmax": Softmax,
    "Sigmoid": Sigmoid,
    "Concrete": Concrete,
    "HardConcrete": HardConcrete,
    "HardConcrete, top2": partial(HardConcrete, sampler="top2"),
    "HardConcrete, no clip": partial(HardConcrete, clip=False),
    "ClippedReLU": ClippedReLU,
    "OneHot": OneHot,
    "OneHot, dsnas": partial(OneHot, estimator="dsnas"),
    "OneHot, proxyless": partial(OneHot, estimator="proxyless"),
    "Proximal": Proximal,
    "RandomCell": RandomCell,
    "Uniform": Uniform,
}
STRATEGIES = {
    "FirstOrder": FirstOrder,
    "SecondOrder": SecondOrder,
    "Joint": Joint,
    "WeightsOnly": WeightsOnly,
}
PENALTIES = {"none": None, "Proximity": Proximity, "ADMM": ADMM, "GroupPenalty": GroupPenalty}
SCHEDULES = {
    "none": None,
    "ConstantSchedule": partial(ConstantSchedule, 2),
    "FisherSchedule": partial(FisherSchedule, ratio=2, threshold=1e6),
}
PAIRS = list(product(PENALTIES, SCHEDULES))
# What makes no sense, in the order in which setup looks: a pattern of its reason, and a footnote.
CLOSED_BY_CHANCE = "the gates of .* are not 0 by chance; use HardConcrete"
DISCRETE = "cannot be pulled; leave the callback out"
NOTHING_TO_LEARN = "do not depend on the logits.*use WeightsOnly"
NO_STEPS = "acts on architecture steps and WeightsOnly takes none"
FOOTNOTES = {
    CLOSED_BY_CHANCE: "Not with GroupPenalty: no gate is 0 by chance.",
    DISCRETE: "Not with Proximity or ADMM: the gates are discrete cells already.",
    NOTHING_TO_LEARN: "Not at all: the gates do not follow the logits.",
    NO_STEPS: "Without schedules and penalties, which are about architecture steps.",
}
NEVER_CLOSED = {"Softmax", "Sigmoid", "ClippedReLU", "HardConcrete, no clip", "Proximal"}


NEVER_LEARNED = {"RandomCell", "Uniform"}


def expected(relaxation, strategy, penalty, schedule):
    """Return the pattern of the reason to refuse a combination, None if it runs."""
    if penalty == "GroupPenalty" and relaxation in NEVER_CLOSED | NEVER_LEARNED:
        return CLOSED_BY_CHANCE
    if penalty in ("Proximity", "ADMM") and relaxation in NEVER_LEARNED | {"Proximal"}:
        return DISCRETE
    if strategy == "WeightsOnly":
        return None if (penalty, schedule) == ("none", "none") else NO_STEPS
    return NOTHING_TO_LEARN if relaxation in NEVER_LEARNED else None


def outcome(relaxation, strategy, penalty, schedule):
    """Search for some batches; return the reason of a refusal, or "" if all signals moved."""
    norm = relaxation == "ClippedReLU"
    module = tiny.module(
        space=NasBench201Space(("skip_connect", "nor_conv_1x1", "avg_pool_3x3")),
        supernet=partial(OneCell, node_norm=norm),
        relaxation=RELAXATIONS[relaxation](),
        strategy=STRATEGIES[strategy](),
        architecture_optimizer=partial(torch.optim.Adam, lr=0.05),
    )
    parts = [make() for make in (SCHEDULES[schedule], PENALTIES[penalty]) if make is not None]
    start = {name: value.clone() for name, value in module.state_dict().items()}
    batches = 4 if schedule == "ConstantSchedule" else 3  # two architecture steps
    options = {"max_epochs": 1, "limit_train_batches": batches, "limit_val_batches": 0}
    with tempfile.TemporaryDirectory() as folder:
        trainer = tiny.trainer(folder, parts, log_every_n_steps=1, **options)
        data = tiny.data(images=20, batch_size=2, held_out=0)
        try:
            trainer.fit(module, datamodule=data)
        except InputError as refused:
            assert module.steps == 0
            return str(refused)
    check_signals(trainer.logger.rows, parts, strategy)
    moved = {n for n, value in module.state_dict().items() if not torch.equal(value, start[n])}
    assert ("architecture.logits.cell" in moved) == (strategy != "WeightsOnly")
    assert "supernet.stem.conv.weight" in moved
    return ""


def check_signals(rows, parts, strategy):
    names = ["loss_weights", *(part.term for part in parts if type(part) in PENALTIES.values())]
    names += [name for part in parts for name in part.signals()]
    if strategy in ("FirstOrder", "SecondOrder"):
        names.append("loss_architecture")
    for name in names:
        values = [row[f"search/{name}"] for row in rows if f"search/{name}" in row]
        assert len(set(values)) > 1, f"{name} stays {values}"
        assert all(map(math.isfinite, values)), name


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_a_combination_runs_or_is_refused_for_its_reason(relaxation, strategy):
    for pair in PAIRS:
        found = outcome(relaxation, strategy, *pair)
        reason = expected(relaxation, strategy, *pair)
        assert re.search(reason, found) if reason else found == "", (pair, found)


def table():
    """Return the README's table, made of the reasons that the tests have found."""
    marks = dict(zip(FOOTNOTES, "¹²³⁴", strict=True))
    lines = [["relaxation", *STRATEGIES], ["---"] * (1 + len(STRATEGIES))]
    for relaxation in RELAXATIONS:
        cells = []
        for strategy in STRATEGIES:
            alone = expected(relaxation, strategy, "none", "none")
            together = {expected(relaxation, strategy, *pair) for pair in PAIRS}
            if strategy == "WeightsOnly":
                together = {NO_STEPS}
            notes = {alone} if alone else together
            cells.append(("–" if alone else "●") + "".join(marks[n] for n in marks if n in notes))
        lines.append([relaxation, *cells])
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return rows + "\n" + " ".join(f"{marks[p]} {text}" for p, text in FOOTNOTES.items()) + "\n"


def test_the_readme_shows_what_goes_together():
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    rows, notes = table().split("\n\n")
    assert rows in readme
    assert notes.strip() in " ".join(readme.split())


if __name__ == "__main__":
    print(table())
