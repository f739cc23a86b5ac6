"""un²CLIP's condition: the tower's embedding as the image embedding of an unCLIP decoder (arXiv 2505.24517)."""

import torch
from torch import Tensor

from diva.condition.base import Condition
from diva.denoisers.base import Context, Denoiser, ReadsImageEmbeddings
from diva.errors import Mismatch
from diva.recipes.conditions import ImageEmbedding
from diva.towers.tower import TowerTokens


class ImageEmbeddingCondition(Condition):
    """The pooled token itself, noised as the decoder asks; nothing is trained between tower and decoder."""

    def __init__(self, section: ImageEmbedding, *, tower_width: int, denoiser: Denoiser) -> None:
        """Prepare the condition of one tower and the decoder that was trained for it.

        Raises:
            InputError: the denoiser decodes no image embeddings, or those of another width.
        """
        super().__init__()
        if not isinstance(denoiser, ReadsImageEmbeddings):
            raise Mismatch("condition.type", "image_embedding needs a denoiser that decodes them, such as unclip")
        if denoiser.embedding_width != tower_width:
            raise Mismatch(
                "denoiser.path",
                f"decodes embeddings of width {denoiser.embedding_width}, but the tower's have"
                f" {tower_width}; give a decoder that was trained for this tower",
            )
        self.width = tower_width
        self.levels = denoiser.noise_levels
        self.noised = denoiser.noise_embedding
        self.keep_empty(denoiser.encode_prompt(section.prompt))

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw noise level (uniform) and noise (standard normal) of each noise sample: [samples, 1 + D] float32."""
        level = torch.randint(self.levels, (samples, 1), generator=generator)
        return torch.cat([level, torch.randn(samples, self.width, generator=generator)], dim=1)

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample; the vector is [S * B, V]."""
        samples, batch = drawn.shape[:2]
        level, noise = drawn.flatten(0, 1).split([1, self.width], dim=1)
        vector = self.noised(tokens.pooled.repeat(samples, 1), level.squeeze(1).long(), noise)
        return self.empty.repeat(samples * batch)._replace(vector=vector)
