"""What the stages of a run train: tower, projection and, where some stage names it, the denoiser."""

from collections.abc import Sequence

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from diva.denoisers import Denoiser
from diva.errors import InputError
from diva.training.optimisation import gradient_norm
from diva.training.sharding import shard
from diva.training.student import Student


class TrainableModules:
    """The modules of a run that change, by their names in the recipe.

    Attributes:
        modules: what accelerate prepares, in every stage, because its checkpoints hold them: the student, the
            denoiser's network where some stage trains it, and the average of the tower where there is one.
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
        self.modules: list[nn.Module] = [student]
        self._denoiser = denoiser
        if denoiser is not None:
            denoiser.network.requires_grad_(True)
            self._named["denoiser"] = denoiser.network
            self.modules.append(denoiser.network)
        if average is not None:
            self.modules.append(average)
        shard(accelerator, self.modules)
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
            raise InputError(f"stages.train: {', '.join(names)} has nothing to train here; name another part")
        return trained

    def use(self, modules: Sequence[nn.Module]) -> None:
        """Let the denoiser predict through what accelerate has made of `self.modules`, or through these again."""
        if self._denoiser is not None:
            self._denoiser.network = modules[1]

    def gradient_norms(self) -> dict[str, Tensor]:
        """Return the L2 norm of each part's gradients, under its name in the metrics."""
        return {f"grad_norm_{name}": gradient_norm(module) for name, module in self._named.items()}
