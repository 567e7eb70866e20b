"""Draws are pure functions of their names."""

from dataclasses import replace

import pytest
import torch

from lnas.relaxations import Draw


def numbers(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 1}, {"purpose": "architecture"}])
def test_every_part_changes_both_kinds_of_numbers(change):
    draw, other = Draw(), replace(Draw(), **change)
    assert numbers(draw.generator("x")) == numbers(Draw().generator("x"))
    assert numbers(draw.generator("x")) != numbers(other.generator("x"))
    assert numbers(draw.shared("x")) != numbers(other.shared("x"))
    assert numbers(draw.shared("x")) != numbers(draw.shared("y"))


def test_ranks_share_what_is_shared_and_nothing_else():
    assert numbers(Draw(rank=0).shared("gates")) == numbers(Draw(rank=1).shared("gates"))
    assert numbers(Draw(rank=0).generator("path")) != numbers(Draw(rank=1).generator("path"))
