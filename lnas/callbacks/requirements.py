"""What a penalty on the gates needs of the relaxation, said before the search starts."""

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule


def require_soft_gates(part: SearchCallback, module: SearchModule) -> None:
    """Refuse a pull on gates without a gradient: they are discrete already, or drawn.

    Raises:
        InputError: The noise-free gates have none.
    """
    gates = module.architecture.probabilities().values()
    if not any(gate.requires_grad for gate in gates):
        raise InputError(
            f"{type(part).__name__} pulls gates towards the space's discrete cells, and those of "
            f"{_relaxation(module)} cannot be pulled; leave the callback out."
        )


def require_openings(part: SearchCallback, module: SearchModule, sampled: bool) -> None:
    """Refuse a penalty on the probability that gates are open when they are not open by chance.

    Args:
        part: Who asks.
        module: Whose relaxation is meant.
        sampled: The penalty looks at the operations that a sample runs.

    Raises:
        InputError: The relaxation has no such probability, or its samples run everything.
    """
    name = _relaxation(module)
    if not module.architecture.relaxation.opens_at_random:
        raise InputError(
            f"{type(part).__name__} is about the probability that a gate is not 0, and the gates "
            f"of {name} are not 0 by chance; use HardConcrete, Concrete or OneHot."
        )
    if sampled and module.sample("check").active is None:
        raise InputError(
            f"{type(part).__name__}(sampled=True) looks at the operations that a sample runs, and "
            f"{name} runs them all; use HardConcrete(sampler='top2'), or sampled=False."
        )


def require_closing(part: SearchCallback, module: SearchModule) -> None:
    """Refuse to close gates for good that never fall to 0, or come back from it.

    Raises:
        InputError: The relaxation has such gates.
    """
    if not module.architecture.relaxation.closes:
        raise InputError(
            f"{type(part).__name__} closes gates that have fallen to 0 for good, and those of "
            f"{_relaxation(module)} stay above 0 or come back; use ClippedReLU."
        )


def _relaxation(module: SearchModule) -> str:
    return type(module.architecture.relaxation).__name__
