"""A recurrent search that takes less than a second, for one process and for two."""

from functools import partial

import torch

from lnas.data import FakeText
from lnas.schedules import Constant
from lnas.search import SearchModule
from lnas.spaces import RecurrentSpace
from lnas.supernet import Dropouts, RecurrentSupernet
from lnas.tasks import LanguageModeling

NOTHING = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)
ALL = Dropouts(0.1, 0.2, 0.3, 0.2, 0.3)


def data(**options):
    """4 streams of 60 words (12 held out): a few windows of about 10 steps an epoch."""
    made = {"words": 8, "train": 320, "other": 90, "held_out": 80, "bptt": 10, "deviation": 2.0}
    return FakeText(**made | options)


def module(kind=SearchModule, dropouts=NOTHING, **options):
    supernet = partial(RecurrentSupernet, units=5, dropouts=dropouts)
    made = {"space": RecurrentSpace(nodes=3), "supernet": supernet, "examples": data().examples}
    made |= {"weight_optimizer": partial(torch.optim.SGD, lr=2.0, weight_decay=1e-3)}
    made |= {"weight_schedule": Constant(2.0), "gradient_clip": 0.25}
    made |= {"architecture_optimizer": partial(torch.optim.Adam, lr=0.05, weight_decay=1e-3)}
    made |= {"task": partial(LanguageModeling, activation=0.1, temporal=0.2)}
    return kind(**made | options)
