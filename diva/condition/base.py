"""What every condition is: a module between the tower's tokens and the denoiser's context."""

import torch
from torch import Tensor, nn

from diva.denoisers.base import Context
from diva.errors import Mismatch
from diva.towers.tower import TowerTokens


class Condition(nn.Module):
    """Turns what a tower says about images into what a denoiser reads.

    Attributes:
        reads_tower: whether anything of the tower reaches the denoiser.
    """

    empty_tokens: Tensor | None
    empty_vector: Tensor | None
    reads_tower = True

    @property
    def empty(self) -> Context:
        """What the denoiser reads where nothing of the tower is known, of batch 1."""
        return Context(self.empty_tokens, self.empty_vector)

    def keep_empty(self, empty: Context) -> None:
        """Keep what the denoiser reads where nothing of the tower is known."""
        # out of the state dict: the denoiser's own constants, not something that was trained
        self.register_buffer("empty_tokens", empty.tokens, persistent=False)
        self.register_buffer("empty_vector", empty.vector, persistent=False)

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Draw what is random for each noise sample of one image: [samples, K]; K is 0 where nothing is."""
        return torch.empty(samples, 0)

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample.

        Args:
            tokens: of B images.
            drawn: [S, B, K], what `draw` gave for each image.

        Returns:
            Of batch S * B, sample-major.
        """
        raise NotImplementedError


class NoCondition(Condition):
    """What stands in a condition's place where no denoiser is asked: the objective reads the tower itself."""

    def __init__(self) -> None:
        """Have no weights."""
        super().__init__()
        self.keep_empty(Context(None, None))

    def forward(self, _tokens: TowerTokens, _drawn: Tensor) -> Context:
        """Return nothing."""
        return Context(None, None)


def require_width(width: int | None, part: str) -> int:
    """Return the width of a part of the denoiser's context.

    Raises:
        InputError: the denoiser reads no such part.
    """
    if width is None:
        raise Mismatch("condition.type", f"gives the denoiser {part}, which its type does not read; choose another")
    return width
