"""The part of the model that is trained: the tower and the condition's projection."""

from collections.abc import Sequence

from torch import Tensor, nn

from diva.condition import DenseRecapCondition
from diva.errors import InputError
from diva.recipes.schema import NoTokens
from diva.towers.tower import Tower


class Student(nn.Module):
    """Pixels → context: everything that carries gradients, and nothing that is frozen for the whole run."""

    def __init__(self, tower: Tower, condition: DenseRecapCondition, *, shuffle: bool = False) -> None:
        """Bring tower and condition together.

        Args:
            tower, condition: what is trained.
            shuffle: give every image the context of another one of its batch (a control).

        Raises:
            InputError: the condition carries nothing of the tower, so nothing could be trained.
        """
        super().__init__()
        if isinstance(condition.tokens, NoTokens):
            raise InputError("condition.tokens: kind none carries nothing of the tower, so nothing can be trained")
        self.tower = tower
        self.condition = condition
        self.shuffle = shuffle

    def forward(self, pixels: Tensor, choice: Tensor) -> Tensor:
        """Encode `pixels` [B, 3, H, W] once and build the context [S * B, M, C] of `choice` [S, B, K]."""
        context = self.condition(self.tower(pixels), choice)
        return shuffled(context, len(choice)) if self.shuffle else context

    def select(self, parts: Sequence[str]) -> None:
        """Let gradients reach the named parts ("tower", "projection") alone.

        Raises:
            InputError: the condition carries nothing of the tower, so nothing could be trained.
        """
        if isinstance(self.condition.tokens, NoTokens):
            raise InputError("condition.tokens: kind none carries nothing of the tower, so nothing can be trained")
        for name, part in self.parts().items():
            part.requires_grad_(name in parts)
            part.train(name in parts)

    def parts(self) -> dict[str, nn.Module]:
        """Return what a stage can train, by its name in the recipe."""
        return {"tower": self.tower, "projection": self.condition}


def shuffled(context: Tensor, samples: int) -> Tensor:
    """Give each image of a batch the context of its neighbour: [S * B, M, C], sample-major, in and out."""
    return context.unflatten(0, (samples, -1)).roll(1, dims=1).flatten(0, 1)
