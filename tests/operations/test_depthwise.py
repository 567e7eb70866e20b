"""The oracle is torch's convolution and its own derivatives."""

import pytest
import torch
from torch.nn import functional

from lnas.operations.depthwise import DepthwiseConv2d, depthwise, phases, unphases


def images(*shape, layout=torch.channels_last):
    x = torch.randn(*shape, dtype=torch.float64).contiguous(memory_format=layout)
    return x.requires_grad_()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 3)])
def test_fast_backward_has_the_gradients_of_the_convolution(kernel, size, layout):
    x, weight = images(2, 4, *size, layout=layout), images(4, 1, kernel, kernel)
    out = images(2, 4, *size).detach()
    fast = depthwise(x, weight)
    plain = functional.conv2d(x, weight, padding=kernel // 2, groups=4)
    torch.testing.assert_close(fast, plain)
    found = torch.autograd.grad((fast * out).sum(), [x, weight])
    expected = torch.autograd.grad((plain * out).sum(), [x, weight])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def test_gradients_that_nobody_asks_for_keep_nothing_alive():
    x, weight = images(2, 4, 8, 8), images(4, 1, 3, 3)
    # The outputs have names: what is saved may be freed together with them.
    for_weight, for_input = depthwise(x.detach(), weight), depthwise(x, weight.detach())
    assert for_weight.grad_fn.saved_tensors[1] is None
    assert for_input.grad_fn.saved_tensors[0] is None
    assert depthwise(x.detach(), weight.detach()).grad_fn is None


def test_second_derivatives_are_refused():
    x, weight = images(2, 4, 8, 8), images(4, 1, 3, 3)
    with pytest.raises(RuntimeError, match="reference"):
        torch.autograd.grad(depthwise(x, weight).pow(2).sum(), weight, create_graph=True)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_layer_is_the_same_convolution_fast_or_not(fast, stride, dilation):
    layer = DepthwiseConv2d(4, 5, stride, dilation, fast).double()
    x = images(2, 4, 8, 8)
    expected = functional.conv2d(
        x, layer.weight, None, stride, 2 * dilation, dilation=dilation, groups=4
    )
    torch.testing.assert_close(layer(x), expected)


def test_phases_turn_dilation_two_into_one():
    x, weight = images(2, 4, 6, 8), images(4, 1, 5, 5)
    expected = functional.conv2d(x, weight, padding=4, dilation=2, groups=4)
    found = unphases(functional.conv2d(phases(x), weight, padding=2, groups=4))
    torch.testing.assert_close(found, expected)
    assert phases(x).shape == (8, 4, 3, 4)


def test_even_pixels_turn_a_strided_dilated_convolution_into_a_plain_one():
    x, weight = images(2, 4, 6, 8), images(4, 1, 3, 3)
    expected = functional.conv2d(x, weight, stride=2, padding=2, dilation=2, groups=4)
    torch.testing.assert_close(
        functional.conv2d(x[:, :, ::2, ::2], weight, padding=1, groups=4), expected
    )
