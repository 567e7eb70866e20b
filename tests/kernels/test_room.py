"""Memory that one pass leaves to the next."""

import pytest
import torch

from lnas import kernels
from lnas.kernels import Room

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def test_a_closed_room_serves_the_next_one():
    like, first = torch.zeros(1, dtype=torch.float64), Room()
    one, two = first.empty(like, 30, 20), first.empty(like, 1001)
    assert (one.shape, one.dtype, one.is_contiguous()) == ((30, 20), torch.float64, True)
    assert one.data_ptr() != two.data_ptr()
    first.close()
    second = Room()
    again = second.empty(like, 20, 25)  # smaller, and not by far
    assert again.data_ptr() == one.data_ptr()
    assert second.empty(like, 20, 25).data_ptr() not in (one.data_ptr(), two.data_ptr())
    assert second.empty(like, 10).data_ptr() != two.data_ptr()  # too small for so much memory


def test_an_open_room_shares_nothing():
    like, first, second = torch.zeros(1), Room(), Room()
    assert first.empty(like, 64).data_ptr() != second.empty(like, 64).data_ptr()


def test_what_is_left_lives_on():
    like, first = torch.zeros(1), Room()
    kept, given = first.empty(like, 640), first.empty(like, 640)
    first.leave(kept)
    first.close()
    second = Room()
    assert second.empty(like, 640).data_ptr() == given.data_ptr()
    assert second.empty(like, 640).data_ptr() != kept.data_ptr()


def test_only_the_last_pass_is_remembered():
    like, rooms = torch.zeros(1), [Room(), Room()]
    first, last = (room.empty(like, 4096) for room in rooms)
    rooms[0].close()
    rooms[1].close()
    third = Room()
    found = {third.empty(like, 4096).data_ptr() for _ in range(2)}
    assert last.data_ptr() in found
    assert first.data_ptr() not in found


def test_memory_of_a_validation_serves_training():
    like, first = torch.zeros(1), Room()
    with torch.inference_mode():
        used = first.empty(like, 640)
        used.fill_(2.0)
        first.close()
    again = Room().empty(like, 640)
    assert again.data_ptr() == used.data_ptr()
    assert not again.is_inference()
    factor = torch.ones(640, requires_grad=True)
    (factor * again.fill_(3.0)).sum().backward()
    assert (factor.grad == 3).all()


def test_other_tensors_come_from_torch():
    room = Room()
    assert room.empty(torch.zeros(1, device="meta"), 3, 2).device.type == "meta"
    assert room.empty(torch.zeros(1, dtype=torch.bfloat16), 3).dtype == torch.bfloat16
    assert room.empty(torch.zeros(1), 0, 3).shape == (0, 3)
    assert not room.blocks
