"""What the stages of a run train: tower, projection and, where some stage names it, the denoiser."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from diva.denoisers import Denoiser
from diva.errors import Mismatch
from diva.training.optimisation import gradient_norm
from diva.training.sharding import shard
from diva.training.student import Student


class Modules(NamedTuple):
    """What accelerate prepares in every stage, because its checkpoints hold it, or what it has made of it.

    Attributes:
        student: tower and condition.
        denoiser: its network, where some stage trains it.
        average: the moving average of the tower, where there is one.
    """

    student: nn.Module
    denoiser: nn.Module | None
    average: nn.Module | None

    @property
    def present(self) -> list[nn.Module]:
        """Those that there are, in this order."""
        return [module for module in self if module is not None]

    def replaced(self, modules: Iterable[nn.Module]) -> Self:
        """Return what has been made of those that there are, given in their order."""
        made = iter(modules)
        return type(self)(next(made), self.denoiser and next(made), self.average and next(made))


class TrainableModules:
    """The modules of a run that change, by their names in the recipe.

    Attributes:
        modules: these, and the average.
    """

    def __init__(
        self, accelerator: Accelerator, student: Student, denoiser: Denoiser | None, average: AveragedModel | None
    ) -> None:
        """Collect the parts; a parameter that has no gradients now is none that a stage may train.

        Args:
            accelerator: shards them, where its launcher asks for that.
            student: tower and condition.
            denoiser: where some stage trains it.
            average: of the tower, which no stage trains.
        """
        self._named: dict[str, nn.Module] = {"tower": student.tower, "projection": student.condition}
        self._denoiser = denoiser
        if denoiser is not None:
            self._named["denoiser"] = denoiser.network.requires_grad_(True)
        self.modules = Modules(student, self._named.get("denoiser"), average)
        shard(accelerator, self.modules.present)
        self._trainable = {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in self._named.items()
        }

    def select(self, names: Sequence[str]) -> list[nn.Parameter]:
        """Let gradients reach the named parts alone, and return their parameters.

        Raises:
            InputError: these parts have nothing that can be trained.
        """
        for name, module in self._named.items():
            module.train(name in names)
            for parameter in self._trainable[name]:
                parameter.requires_grad_(name in names)
                parameter.grad = None  # what an earlier stage left would count when gradients are clipped
        trained = [parameter for name in self._named if name in names for parameter in self._trainable[name]]
        if not trained:
            raise Mismatch("stages.train", f"{', '.join(names)} has nothing to train here; name another part")
        return trained

    def use(self, modules: Modules) -> None:
        """Let the denoiser predict through what accelerate has made of `self.modules`, or through these again."""
        if self._denoiser is not None and modules.denoiser is not None:
            self._denoiser.network = modules.denoiser

    def gradient_norms(self) -> dict[str, Tensor]:
        """Return the L2 norm of each part's gradients, under its name in the metrics."""
        return {f"grad_norm_{name}": gradient_norm(module) for name, module in self._named.items()}
