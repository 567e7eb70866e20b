"""Each operation against the chain of torch functions that the papers describe."""

import pytest
import torch
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations import build
from lnas.operations.convolutional import Noise
from lnas.operations.reduction import FactorizedReduce, HalvingPreprocess, Preprocess
from lnas.operations.skeleton import ResidualReduction
from lnas.seeds import generator


@pytest.fixture
def x():
    torch.set_default_dtype(torch.float64)
    return torch.randn(3, 4, 8, 8)


def normalized(y):
    return functional.batch_norm(y, None, None, training=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "kernel"), [("sep_conv_3x3", 3), ("sep_conv_7x7", 7)])
def test_separable_convolution_is_applied_twice_with_the_stride_first(x, name, kernel, stride):
    op = build(name, 4, stride, affine=False, search=True)
    y = functional.conv2d(x.relu(), op.dw1.weight, None, stride, kernel // 2, groups=4)
    y = normalized(functional.conv2d(y, op.pw1.weight)).relu()
    y = functional.conv2d(y, op.dw2.weight, None, 1, kernel // 2, groups=4)
    torch.testing.assert_close(op(x), normalized(functional.conv2d(y, op.pw2.weight)))


@pytest.mark.parametrize("stride", [1, 2])
def test_dilated_convolution_is_applied_once(x, stride):
    op = build("dil_conv_5x5", 4, stride, affine=False, search=True)
    y = functional.conv2d(x.relu(), op.dw1.weight, None, stride, 4, 2, groups=4)
    torch.testing.assert_close(op(x), normalized(functional.conv2d(y, op.pw1.weight)))


@pytest.mark.parametrize("kind", [FactorizedReduce, HalvingPreprocess])
def test_factorised_reduction_is_two_strided_convolutions_one_shifted(x, kind):
    op = kind(4, affine=False) if kind is FactorizedReduce else kind(4, 4, affine=False)
    r = x.relu()
    y = torch.cat(
        [
            functional.conv2d(r, op.conv1.weight, stride=2),
            functional.conv2d(r[:, :, 1:, 1:], op.conv2.weight, stride=2),
        ],
        1,
    )
    torch.testing.assert_close(op(x), normalized(y))


def test_factorised_reduction_needs_even_channels():
    with pytest.raises(InputError, match="even"):
        FactorizedReduce(5, affine=False)


def test_preprocess_is_relu_convolution_normalisation(x):
    op = Preprocess(4, 6, affine=False)
    torch.testing.assert_close(op(x), normalized(functional.conv2d(x.relu(), op.conv.weight)))


def test_seven_by_one_follows_one_by_seven(x):
    op = build("conv_7x1_1x7", 4, 2, affine=False, search=True)
    y = functional.conv2d(x.relu(), op.conv1.weight, None, (1, 2), (0, 3))
    y = functional.conv2d(y, op.conv2.weight, None, (2, 1), (3, 0))
    assert op.conv1.weight.shape[2:] == (1, 7)
    torch.testing.assert_close(op(x), normalized(y))


def test_average_pool_does_not_count_the_padding():
    op = build("avg_pool_3x3", 4, 1, affine=True, search=False)
    ones = torch.ones(1, 4, 4, 4)
    torch.testing.assert_close(op(ones), ones)


def test_none_is_zero_with_zero_gradient(x):
    x.requires_grad_()
    y = build("none", 4, 2, affine=False, search=True)(x)
    y.sum().backward()
    assert not y.any()
    assert not x.grad.any()


def test_noise_follows_its_generator_and_not_its_input(x):
    op = Noise(2)
    op.generator = generator(1)
    first = op(x)
    op.generator = generator(1)
    assert torch.equal(op(x + 1), first)
    assert not torch.equal(op(x), first)
    assert first.shape == (3, 4, 4, 4)


def test_residual_reduction_adds_a_pooled_shortcut(x):
    op = ResidualReduction(4, 8)
    deep = normalized(functional.conv2d(x.relu(), op.conv1.weight, None, 2, 1)).relu()
    deep = normalized(functional.conv2d(deep, op.conv2.weight, None, 1, 1))
    pooled = functional.avg_pool2d(x, 2, 2)
    torch.testing.assert_close(op(x), deep + functional.conv2d(pooled, op.shortcut.weight))
