"""ADMM: hold the gates to the space's set of architectures by the method of multipliers.

Section S1.2, equations S1 to S5, of Maile et al., "DARTS-PRIME", arXiv:2106.11655: the architecture
loss gets weight/2 * ||A - z + u||, and every `every` architecture steps z = Pi(A + u) and
u = discount * u + A - z, with A the gates and Pi the projection onto the space's set.

`variant="code"` is what was released, which mixes gates with raw logits a: z = Pi(A(a + u)),
u = discount * u + a - z. Its own counter updates after 9 steps (`every=9`), the paper says 10, and
it never used its discount (`discount=1`), whose value in the paper is lost; 0.2 was its default.
"""

from typing import Any, Literal, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.requirements import require_soft_gates
from lnas.errors import InputError
from lnas.relaxations import ClippedReLU, Softmax
from lnas.search import SearchCallback, SearchModule, SearchStep


@final
class ADMM(SearchCallback):
    """Adds the augmented Lagrangian's distance to the architecture loss and updates its duals.

    Args:
        weight: Penalty factor rho; 0.1 in the paper.
        every: Architecture steps between two updates of z and u.
        discount: Factor of the old u, in (0, 1].
        variant: "activated" works on gates throughout; "code" as released.

    Raises:
        InputError: A value is out of its range.
    """

    def __init__(
        self,
        weight: float = 0.1,
        every: int = 10,
        discount: float = 0.2,
        variant: Literal["activated", "code"] = "activated",
    ) -> None:
        if every < 1 or not 0 < discount <= 1:
            raise InputError(
                f"ADMM(every={every}, discount={discount}) needs every >= 1 and discount in (0, 1]."
            )
        self.weight, self.every, self.discount, self.variant = weight, every, discount, variant
        self.steps = 0
        self.targets: dict[str, Tensor] = {}
        self.duals: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse gates that are discrete already, and the released variant on other gates."""
        assert isinstance(pl_module, SearchModule)
        require_soft_gates(self, pl_module)
        relaxation = pl_module.architecture.relaxation
        if self.variant == "code" and not isinstance(relaxation, Softmax | ClippedReLU):
            raise InputError(
                "ADMM(variant='code') takes logits for gates, as was released for Softmax and "
                f"ClippedReLU, and has no meaning for {type(relaxation).__name__}; use "
                "variant='activated'."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with z at the present point and u = 0, unless a checkpoint brought them."""
        assert isinstance(pl_module, SearchModule)
        if not self.targets:
            self.targets = {name: a.clone() for name, a in self._points(pl_module).items()}
            self.duals = {name: torch.zeros_like(a) for name, a in self.targets.items()}
        for store in (self.targets, self.duals):
            store.update({name: value.to(pl_module.device) for name, value in store.items()})

    def architecture_loss(self, module: SearchModule, step: SearchStep) -> Tensor:
        """Return weight/2 times the sum over cell types of ||A - z + u||."""
        mask = module.architecture.mask()
        distances = [
            torch.linalg.vector_norm((gates - self.targets[name] + self.duals[name]) * mask[name])
            for name, gates in module.architecture.probabilities().items()
        ]
        return self.weight / 2 * torch.stack(distances).sum()

    def on_architecture_step(self, module: SearchModule, step: SearchStep) -> None:
        """Update z and u after every `every` architecture steps."""
        self.steps += 1
        if self.steps % self.every:
            return
        points, mask = self._points(module), module.architecture.mask()
        sums = {name: point + self.duals[name] for name, point in points.items()}
        if self.variant == "code":
            sums = module.architecture.relaxation.probabilities(sums, mask)
        # What is closed is no candidate of the projection, though its sum may be the largest.
        sums = {name: values.masked_fill(~mask[name], -torch.inf) for name, values in sums.items()}
        self.targets = {name: z.to(sums[name]) for name, z in module.space.project(sums).items()}
        self.duals = {
            name: (self.discount * self.duals[name] + point - self.targets[name]) * mask[name]
            for name, point in points.items()
        }

    def _points(self, module: SearchModule) -> dict[str, Tensor]:
        """Return what the duals are about: the gates, or in the released code the raw logits."""
        architecture = module.architecture
        if self.variant == "code":
            return {name: values.detach() for name, values in architecture.logits.items()}
        return {name: values.detach() for name, values in architecture.probabilities().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return z, u and the step counter."""
        return {"steps": self.steps, "targets": self.targets, "duals": self.duals}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the stored z and u."""
        self.steps = state_dict["steps"]
        self.targets, self.duals = dict(state_dict["targets"]), dict(state_dict["duals"])
