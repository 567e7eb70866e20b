"""Second order: the architecture looks one step of the weights ahead.

Equations 5 to 8 of Liu et al., "DARTS", ICLR 2019, arXiv:1806.09055, in the released form:

    w' = w - xi (momentum * buffer + d L_train(w, a) / dw + decay * w)      the virtual step
    v  = d L_arch(w', a) / dw'
    gradient = d L_arch(w', a) / da - xi * d^2 L_train(w, a) / (da dw) v

xi is the current learning rate. The product in the last term is a central difference along v with
step epsilon / |v| around w, or exact by differentiating twice. The weights never move: all passes
take other weights as arguments.

The released search of convolutional cells does not clip its virtual step. That of recurrent cells
(`clipped`) clips the gradient in it and v to the largest norm of the weight step, and multiplies
the last term by the coefficient that the gradient was clipped with.

Deviations from the released code: the running averages of batch normalisation stand still; the
coefficient is at most 1 (released: above 1 where nothing was clipped, which overstates the last
term); the weights' loss is the one that the weight step minimises, with its regularisation.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, final, get_args

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.search.asking import penalty
from lnas.search.gradients import gradients
from lnas.search.step import SearchStep
from lnas.search.strategies import SearchStrategy, weight_step
from lnas.tasks import Batch

if TYPE_CHECKING:
    from lnas.search.module import SearchModule

Product = Literal["finite_difference", "exact"]
Weights = dict[str, Tensor]


@final
class SecondOrder(SearchStrategy):
    """An architecture step that knows how the weights will answer, then a weight step.

    Args:
        product: How the product of the mixed second derivative with v is computed. "exact" uses
            the supernet's reference path, which takes more time and memory.
        epsilon: Length of the step of the finite difference in weight space.
        clipped: Clip the virtual step and v as the weight step is clipped.

    Raises:
        InputError: The product is unknown, or epsilon is not positive.
    """

    def __init__(
        self,
        product: Product = "finite_difference",
        epsilon: float = 0.01,
        clipped: bool = False,
    ) -> None:
        if product not in get_args(Product):
            raise InputError(f"product={product!r} is unknown; choose one of {get_args(Product)}.")
        if not epsilon > 0:
            raise InputError(f"epsilon={epsilon} is no length of a step; give a number above 0.")
        self.product, self.epsilon, self.clipped = product, epsilon, clipped

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse what the virtual step does not mirror: anything but plain SGD in one group."""
        settings = optimizer.param_groups[0]
        special = [name for name in ("dampening", "nesterov", "maximize") if settings.get(name)]
        if type(optimizer) is not torch.optim.SGD or special or len(optimizer.param_groups) > 1:
            found = ", ".join([type(optimizer).__name__, *special])
            raise InputError(
                f"SecondOrder cannot mirror the weight optimizer ({found}); give torch.optim.SGD "
                "with lr, momentum and weight_decay in one parameter group, or use FirstOrder."
            )

    def step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Run the architecture step, if there is one, and the weight step."""
        if step.architecture_stepped:
            self.architecture_step(module, batch, step)
        weight_step(module, batch, step)

    def architecture_step(self, module: "SearchModule", batch: Batch, step: SearchStep) -> None:
        """Move the architecture with a look at where the weights would go on `batch`."""
        step.role = "architecture"
        parameters = module.architecture_parameters()
        weights = dict(module.supernet.named_parameters())
        rate = float(module.trainer.optimizers[0].param_groups[0]["lr"])

        limit = module.gradient_clip if self.clipped else 0.0
        virtual, coefficient = virtual_weights(module, batch, limit)
        step.sample = module.sample("architecture")
        loss = module.loss(module.architecture_batch(), step, weights=virtual)
        wanted = [*parameters, *virtual.values()]
        found = filled(gradients(module, loss + penalty(module, step), wanted), wanted)
        direct, vector = found[: len(parameters)], found[len(parameters) :]
        clip(vector, limit)
        v = dict(zip(weights, vector, strict=True))
        if self.product == "exact":
            product = exact_product(module, batch, v)
        else:
            product = finite_difference(module, batch, v, self.epsilon)

        for parameter, first, second in zip(parameters, direct, product, strict=True):
            parameter.grad = first - rate * coefficient * second
        module.step_architecture()


def virtual_weights(
    module: "SearchModule", batch: Batch, limit: float = 0.0
) -> tuple[Weights, Tensor | float]:
    """Return the weights after a step of SGD on `batch`, and what its gradient was multiplied by.

    The weights are leaves that require a gradient. A weight without a gradient (of an operation
    that the gates leave out) stays, as in SGD.

    Args:
        module: The search.
        batch: A batch of the weights stream.
        limit: Largest norm of the gradient; 0 does not clip.
    """
    optimizer = module.trainer.optimizers[0]
    settings = optimizer.param_groups[0]
    weights = dict(module.supernet.named_parameters())
    with torch.no_grad():
        sample = module.sample("virtual")
    loss, _, _ = module.run(batch, "weights", sample, state=module.step.states.get("weights"))
    found = gradients(module, loss, list(weights.values()))
    steps = [gradient for gradient in found if gradient is not None]
    coefficient = clip(steps, limit)
    pairs = list(zip(weights.values(), found, strict=True))
    used: list[Tensor] = [weight for weight, gradient in pairs if gradient is not None]
    momenta = [optimizer.state.get(weight, {}).get("momentum_buffer") for weight in used]
    steps = added(steps, used, settings["weight_decay"])
    if any(momentum is not None for momentum in momenta):
        steps = added(steps, filled(momenta, used), settings["momentum"])
    after = iter(added(used, steps, -settings["lr"]))
    moved = {}
    for name, (weight, gradient) in zip(weights, pairs, strict=True):
        value = weight.detach().clone() if gradient is None else next(after)
        moved[name] = value.requires_grad_()
    torch.clear_autocast_cache()
    return moved, coefficient


def clip(tensors: Sequence[Tensor], limit: float) -> Tensor | float:
    """Scale gradients in place to a norm of at most `limit`; return the factor, at most 1.

    Args:
        tensors: Any shapes; the norm is that of all together.
        limit: Largest norm; 0 does not clip.
    """
    if not limit or not tensors:
        return 1.0
    norm = nn.utils.get_total_norm(tensors)
    coefficient = (limit / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(list(tensors), coefficient)
    return coefficient


def finite_difference(
    module: "SearchModule", batch: Batch, v: Weights, epsilon: float
) -> list[Tensor]:
    """Return the product by a central difference of the architecture's gradient on `batch`."""
    norm = nn.utils.get_total_norm(v.values())
    length = epsilon / norm.clamp(min=torch.finfo(norm.dtype).tiny ** 0.5)
    weights = dict(module.supernet.named_parameters())
    parameters: list[Tensor] = [*module.architecture_parameters()]
    state = module.step.states.get("weights")
    along, ends = torch._foreach_mul([v[name] for name in weights], length), []
    for sign in (1, -1):
        moved = dict(zip(weights, added(list(weights.values()), along, sign), strict=True))
        sample = module.sample("virtual")
        loss, _, _ = module.run(batch, "weights", sample, weights=moved, state=state)
        ends.append(filled(gradients(module, loss, parameters), parameters))
        torch.clear_autocast_cache()
    return [(plus - minus) / (2 * length) for plus, minus in zip(*ends, strict=True)]


def exact_product(module: "SearchModule", batch: Batch, v: Weights) -> list[Tensor]:
    """Return the product by differentiating twice, on the supernet's reference path."""
    weights = dict(module.supernet.named_parameters())
    parameters: list[Tensor] = [*module.architecture_parameters()]
    with module.supernet.using("reference"):
        sample = module.sample("virtual")
        loss, _, _ = module.run(batch, "weights", sample, state=module.step.states.get("weights"))
        found = torch.autograd.grad(
            loss, list(weights.values()), create_graph=True, materialize_grads=True
        )
    along = sum((g * part).sum() for g, part in zip(found, v.values(), strict=True))
    assert isinstance(along, Tensor)
    return filled(gradients(module, along, parameters), parameters)


@torch.no_grad()
def added(tensors: list[Tensor], others: Sequence[Tensor], factor: float) -> list[Tensor]:
    """Return tensor + factor * other for all pairs at once."""
    if not tensors:
        return []
    return list(torch._foreach_add(tensors, list(others), alpha=factor))


def filled(found: list[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients with zeros where there is none."""
    pairs = zip(found, tensors, strict=True)
    return [torch.zeros_like(t) if gradient is None else gradient for gradient, t in pairs]
