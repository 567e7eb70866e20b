"""The compiled kernels against the operations themselves, in float64."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lnas import kernels
from lnas.kernels import Block, calls, mixed_convolutions, supports
from lnas.operations.convolutional import DilatedConv, SeparableConv
from lnas.operations.normalization import statistics

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here")


def blocks(operation):
    """Say an operation in blocks."""
    dilation = 2 if isinstance(operation, DilatedConv) else 1
    halves = [(operation.dw1, operation.pw1, operation.bn1, operation.stride, dilation)]
    if dilation == 1:
        halves.append((operation.dw2, operation.pw2, operation.bn2, 1, 1))
    return [
        Block(dw.weight, pw.weight, bn.eps, stride, dilation, bn.weight, bn.bias)
        for dw, pw, bn, stride, dilation in halves
    ]


def edge(channels, stride, kernels_and_kinds, dtype=torch.float64, affine=False):
    torch.manual_seed(channels)
    make = {"sep": SeparableConv, "dil": DilatedConv}
    made = [make[kind](channels, k, stride, affine) for kind, k in kernels_and_kinds]
    for parameter in (p for operation in made for p in operation.parameters() if p.ndim == 1):
        parameter.data.normal_()  # scales and shifts
    return [operation.to(dtype) for operation in made]


FOUR = [("sep", 3), ("sep", 5), ("dil", 3), ("dil", 5)]


def images(channels, sides, dtype=torch.float64, count=3):
    x = torch.randn(count, channels, *sides, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def plain(x, operations, gates, factors=None):
    """The sum as the papers write it."""
    total = 0
    for k, operation in enumerate(operations):
        term = gates[k] * operation(x)
        total = total + (term if factors is None else factors[k].view(-1, 1, 1, 1) * term)
    return total


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("channels", "stride", "sides"),
    [
        (4, 1, (6, 7)),  # vectors of one width, of another, and both with a rest
        (16, 2, (8, 8)),
        (6, 2, (7, 5)),
        (20, 1, (16, 12)),
        (32, 1, (3, 2)),  # kernels larger than the image
    ],
)
def test_sum_and_all_gradients_are_those_of_the_operations(
    channels, stride, sides, affine, dropped, threads
):
    operations, x = edge(channels, stride, FOUR, affine=affine), images(channels, sides)
    gates = torch.tensor([0.3, -0.2, 0.0, 1.7], dtype=x.dtype, requires_grad=True)
    factors = torch.rand(4, 3, dtype=x.dtype) if dropped else None
    leaves = [x, gates, *(p for operation in operations for p in operation.parameters())]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, _ = mixed_convolutions(x, [blocks(o) for o in operations], gates.unbind(), factors)
        expected = plain(x, operations, gates, factors)
        cotangent = torch.randn_like(expected)
        mine = torch.autograd.grad((found * cotangent).sum(), leaves)
    finally:
        torch.set_num_threads(before)
    oracle = torch.autograd.grad((expected * cotangent).sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mine, oracle, rtol=1e-10, atol=1e-11)


def test_moments_are_those_of_the_batch():
    operations, x = edge(8, 1, FOUR), images(8, (6, 6))
    _, moments = mixed_convolutions(
        x, [blocks(o) for o in operations], [torch.ones((), dtype=x.dtype)] * 4
    )
    with statistics(torch.nn.ModuleList(operations), "update"):
        for operation in operations:
            operation(x)
    for operation, found in zip(operations, moments, strict=True):
        norms = [m for name, m in operation.named_modules() if name.startswith("bn")]
        for norm, (mean, inverse, variance, *_) in zip(norms, found, strict=True):
            torch.testing.assert_close(mean * 0.1, norm.running_mean)
            unbiased = variance * 108 / 107
            torch.testing.assert_close(0.9 + 0.1 * unbiased, norm.running_var)
            torch.testing.assert_close(inverse, (variance + norm.eps).rsqrt())


def test_moments_keep_their_digits_far_from_zero():
    torch.manual_seed(0)
    (operation,) = edge(8, 1, [("dil", 3)], torch.float32)
    x = images(8, (8, 8), torch.float32).detach() * 1e-3 + 100.0
    _, ((found,),) = mixed_convolutions(x, [blocks(operation)], [torch.ones(())])
    y = operation.double().pw1(operation.dw1(x.double().relu()))
    variance, mean = torch.var_mean(y, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(found[0], mean, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found[2], variance, rtol=1e-3, atol=0)


def test_float32_agrees_to_rounding_and_does_not_depend_on_threads():
    operations, x = edge(16, 1, FOUR, torch.float32), images(16, (8, 8), torch.float32, count=5)
    gates = torch.rand(4).unbind()
    found, before = {}, torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[threads], _ = mixed_convolutions(x, [blocks(o) for o in operations], gates)
    torch.set_num_threads(before)
    assert torch.equal(found[1], found[2])
    torch.testing.assert_close(found[1], plain(x, operations, gates), rtol=1e-4, atol=1e-5)


def test_only_the_gradients_that_are_asked_for_are_there():
    operations, x = edge(4, 1, FOUR), images(4, (4, 4))
    gates = torch.rand(4, dtype=x.dtype, requires_grad=True)
    for operation in operations:
        operation.requires_grad_(False)
    operations[0].pw1.weight.requires_grad_()  # one half of a pair
    found, _ = mixed_convolutions(x.detach(), [blocks(o) for o in operations], gates.unbind())
    found.sum().backward()
    assert gates.grad is not None
    graded = [p for o in operations for p in o.parameters() if p.grad is not None]
    assert len(graded) == 1
    assert graded[0] is operations[0].pw1.weight


@pytest.mark.parametrize(("wanted", "expected"), [("gates", 1), ("x", 3), ("weight", 3)])
def test_of_the_backward_pass_is_run_what_somebody_waits_for(wanted, expected):
    operations, x = edge(4, 1, FOUR), images(4, (4, 4)).detach()
    gates = torch.rand(4, dtype=x.dtype)
    for operation in operations:
        operation.requires_grad_(False)
    {"gates": gates, "x": x, "weight": operations[0].pw1.weight}[wanted].requires_grad_()
    found, _ = mixed_convolutions(x, [blocks(o) for o in operations], gates.unbind())
    before = calls()
    found.sum().backward()
    assert calls() - before == expected


def test_a_gate_of_zero_gives_its_weights_zero_gradients():
    operations, x = edge(4, 1, FOUR), images(4, (4, 4))
    gates = torch.zeros(4, dtype=x.dtype).requires_grad_()
    found, _ = mixed_convolutions(x, [blocks(o) for o in operations], gates.unbind())
    (found * torch.randn_like(found)).sum().backward()
    assert not x.grad.any()
    assert all(not p.grad.any() for o in operations for p in o.parameters())
    assert gates.grad.all()


def test_what_is_not_a_number_stays_so():
    (operation,) = edge(4, 1, [("sep", 3)])
    x = images(4, (4, 4)).detach()
    x[0, 0, 0, 0] = torch.nan
    found, _ = mixed_convolutions(x, [blocks(operation)], [torch.ones((), dtype=x.dtype)])
    assert found.isnan().any()


def test_there_are_no_second_derivatives():
    (operation,) = edge(4, 1, [("sep", 3)])
    x = images(4, (4, 4))
    found, _ = mixed_convolutions(x, [blocks(operation)], [torch.ones((), dtype=x.dtype)])
    with pytest.raises(RuntimeError, match="use the reference path"):
        torch.autograd.grad(found.sum(), x, create_graph=True)


def test_what_the_kernels_cannot_read_is_left_to_torch():
    assert supports(torch.zeros(1, 4, 3, 2), 4)
    assert not supports(torch.zeros(1, 4, 2, 2), 3)
    assert not supports(torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16), 4)
    assert not supports(torch.zeros(1, 4, 2, 2, device="meta"), 4)
    assert not supports(torch.zeros(0, 4, 2, 2), 4)
    assert not supports(torch.zeros(2, 4, 0, 2), 4)
    assert supports(torch.zeros(2, 4, 1, 1), 4)
    assert not supports(torch.zeros(1, 4, 1, 2), 4)  # one value per channel behind a stride
    with FakeTensorMode():
        assert not supports(torch.zeros(1, 4, 2, 2), 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert not supports(torch.zeros(1, 4, 2, 2), 4)
