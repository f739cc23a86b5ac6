"""Conditions that read the pooled token alone, through a projection of their own."""

import torch
from torch import Tensor, nn

from diva.condition.base import Condition, require_width
from diva.denoisers.base import Context, Denoiser
from diva.errors import Mismatch
from diva.recipes.conditions import ClassVector, PooledBroadcast, PooledPair
from diva.towers.tower import TowerTokens


class PooledBroadcastCondition(Condition):
    """The pooled token through an MLP, added to the prompt's embedding at every position (DCR, section 3)."""

    empty_tokens: Tensor

    def __init__(self, section: PooledBroadcast, *, tower_width: int, denoiser: Denoiser) -> None:
        """Prepare the condition of one tower and one denoiser that reads text."""
        super().__init__()
        self.projection = _mlp(tower_width, require_width(denoiser.token_width, "tokens"))
        empty = denoiser.encode_prompt(section.prompt)
        if empty.tokens is None:
            raise Mismatch("condition.type", "pooled_broadcast needs a denoiser that reads text; choose another")
        self.keep_empty(empty)

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample; tokens are [S * B, L, C] for a prompt of L positions."""
        samples, batch = drawn.shape[:2]
        visual = self.projection(tokens.pooled).repeat(samples, 1).unsqueeze(1)
        return self.empty.repeat(samples * batch)._replace(tokens=self.empty_tokens + visual)


class PooledPairCondition(Condition):
    """The pooled token through two MLPs, to one token in place of text and to a vector (GenHancer, section 3)."""

    def __init__(self, section: PooledPair, *, tower_width: int, denoiser: Denoiser) -> None:
        """Prepare the condition of one tower and one denoiser that reads a vector beside its tokens.

        Raises:
            InputError: the denoiser reads no such thing, or there is a prompt.
        """
        super().__init__()
        if section.prompt:
            raise Mismatch("condition.prompt", "pooled_pair has no place for text; leave the prompt empty")
        token_width = require_width(denoiser.token_width, "tokens")
        vector_width = require_width(denoiser.vector_width, "a vector")
        self.token = _mlp(tower_width, token_width)
        self.vector = _mlp(tower_width, vector_width)
        self.keep_empty(Context(torch.zeros(1, 1, token_width), torch.zeros(1, vector_width)))

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample: one token and a vector."""
        context = Context(self.token(tokens.pooled).unsqueeze(1), self.vector(tokens.pooled))
        return context.repeat(len(drawn))


class ClassVectorCondition(Condition):
    """The pooled token, linearly projected, in place of the class embedding (DIVA, section 4.4: DiT as teacher)."""

    def __init__(self, section: ClassVector, *, tower_width: int, denoiser: Denoiser) -> None:
        """Prepare the condition of one tower and one denoiser that reads a vector."""
        super().__init__()
        self.projection = nn.Linear(tower_width, require_width(denoiser.vector_width, "a vector"))
        self.keep_empty(denoiser.encode_prompt(section.prompt))

    def forward(self, tokens: TowerTokens, drawn: Tensor) -> Context:
        """Build the context of every noise sample; the vector is [S * B, V]."""
        samples, batch = drawn.shape[:2]
        vector = self.projection(tokens.pooled).repeat(samples, 1)
        return self.empty.repeat(samples * batch)._replace(vector=vector)


def _mlp(width: int, to: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, to), nn.GELU(), nn.Linear(to, to))
