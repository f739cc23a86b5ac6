"""DIVA's condition: the prompt's text embedding and the tower's own tokens (DIVA, section 3.3)."""

import torch
from torch import Tensor, nn

from diva.condition.base import Condition, require_width
from diva.denoisers.base import Context, Denoiser
from diva.errors import Invalid, Mismatch
from diva.recipes.conditions import (
    AllTokens,
    DenseRecap,
    NoTokens,
    PooledToken,
    RandomTokens,
    Tokens,
    WindowTokens,
)
from diva.towers.tower import TowerTokens


class DenseRecapCondition(Condition):
    """Text embedding plus linearly projected visual tokens ("visual dense recap")."""

    empty_tokens: Tensor

    def __init__(self, section: DenseRecap, *, tower_width: int, patches: int, denoiser: Denoiser) -> None:
        """Prepare the condition of one tower and one denoiser, whose text has L positions.

        Raises:
            InputError: the tokens cannot be chosen from N, or cannot be added to L text tokens one by one.
        """
        super().__init__()
        self.patches = patches
        self.tokens = section.tokens
        self.reads_tower = not isinstance(section.tokens, NoTokens)
        self.drawn = _patches_drawn(section.tokens, patches)
        self.projection = nn.Linear(tower_width, require_width(denoiser.token_width, "tokens"))
        text, vector = denoiser.encode_prompt(section.prompt)
        if text is None:
            raise Mismatch("condition.type", "dense_recap needs a denoiser that reads text; choose another")
        one_by_one = section.combine == "token_by_token"
        visual = visual_token_count(section.tokens, patches)
        if one_by_one and visual not in (0, text.shape[1]):
            raise Mismatch(
                "condition.combine",
                "token_by_token needs as many visual tokens as the prompt has positions"
                f" ({text.shape[1]}), but condition.tokens gives {visual}; use combine: mean_text",
            )
        self.keep_empty(Context(text if one_by_one or visual == 0 else text.mean(dim=1, keepdim=True), vector))

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw one image's patches for each noise sample: [samples, K] int64; K is 0 where nothing is random."""
        if self.drawn == 0:
            return torch.empty(samples, 0, dtype=torch.int64)
        assert isinstance(self.tokens, RandomTokens)
        if self.tokens.replacement:
            return torch.randint(self.patches, (samples, self.drawn), generator=generator)
        shuffled = [torch.randperm(self.patches, generator=generator)[: self.drawn] for _ in range(samples)]
        return torch.stack(shuffled)

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample from the patches `drawn` [S, B, K]; tokens are [S * B, M, C]."""
        samples, batch = drawn.shape[:2]
        empty = self.empty.repeat(samples * batch)
        if not self.reads_tower:
            return empty
        return empty._replace(tokens=self.empty_tokens + self._visual(tokens, drawn))

    def _visual(self, tokens: TowerTokens, drawn: Tensor) -> Tensor:
        samples = len(drawn)
        if self.drawn:
            index = drawn.flatten(0, 1).unsqueeze(-1).expand(-1, -1, tokens.patches.shape[-1])
            patches = tokens.patches.repeat(samples, 1, 1).gather(1, index)
            return self.projection(torch.cat([tokens.pooled.repeat(samples, 1).unsqueeze(1), patches], dim=1))
        visual = torch.cat([tokens.pooled.unsqueeze(1), _pool(self.tokens, tokens.patches)], dim=1)
        return self.projection(visual).repeat(samples, 1, 1)


def visual_token_count(tokens: Tokens, patches: int) -> int:
    """Number of visual tokens M in the context of a tower with `patches` patch tokens; 0 for text alone."""
    match tokens:
        case NoTokens():
            return 0
        case PooledToken():
            return 1
        case AllTokens():
            return 1 + patches
        case WindowTokens(window=window):
            return 1 + patches // window
        case RandomTokens():
            return 1 + _patches_drawn(tokens, patches)


def _patches_drawn(tokens: Tokens, patches: int) -> int:
    if isinstance(tokens, WindowTokens) and tokens.window > patches:
        raise Mismatch("condition.tokens.window", f"{tokens.window} is more than the tower's {patches} patches")
    if not isinstance(tokens, RandomTokens):
        return 0
    drawn = tokens.count if tokens.count is not None else int((tokens.share or 0) * patches)
    if drawn > patches and not tokens.replacement:
        raise Invalid(
            "condition.tokens.count",
            f"{drawn} of {patches} patches cannot be drawn without replacement;"
            " take fewer or set replacement: true",
        )
    return drawn


def _pool(tokens: Tokens, patches: Tensor) -> Tensor:
    """Reduce patch tokens [B, N, D] to those that the context keeps."""
    match tokens:
        case PooledToken():
            return patches[:, :0]
        case WindowTokens(window=window):
            return nn.functional.avg_pool1d(patches.transpose(1, 2), window).transpose(1, 2)
        case _:
            return patches
