"""The part of the model that is trained around a denoiser: the tower and the condition's projection."""

from torch import Tensor, nn

from diva.condition import Condition
from diva.errors import Mismatch
from diva.feedback import StudentOutput
from diva.towers.tower import Tower


class Student(nn.Module):
    """Pixels → context: everything that carries gradients to the tower."""

    def __init__(self, tower: Tower, condition: Condition, *, shuffle: bool = False) -> None:
        """Bring tower and condition together.

        Args:
            tower, condition: what is trained.
            shuffle: give every image the context of another one of its batch (a control).

        Raises:
            InputError: the condition carries nothing of the tower, so nothing could be trained.
        """
        super().__init__()
        if not condition.reads_tower:
            raise Mismatch("condition.tokens", "kind none carries nothing of the tower, so nothing can be trained")
        self.tower = tower
        self.condition = condition
        self.shuffle = shuffle

    def forward(self, pixels: Tensor, drawn: Tensor) -> StudentOutput:
        """Encode `pixels` [B, 3, H, W] once and build the contexts of `drawn` [S, B, K]."""
        tokens = self.tower(pixels)
        context = self.condition(tokens, drawn)
        return StudentOutput(context.shuffled(len(drawn)) if self.shuffle else context, tokens.pooled)
