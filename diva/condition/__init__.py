"""What the denoiser reads: one class for each kind of condition, chosen by the type of the recipe's section."""

from diva.condition.base import Condition, NoCondition
from diva.condition.dense_recap import DenseRecapCondition
from diva.condition.image_embedding import ImageEmbeddingCondition
from diva.condition.pooled import ClassVectorCondition, PooledBroadcastCondition, PooledPairCondition
from diva.denoisers.base import Denoiser
from diva.recipes.conditions import (
    AnyCondition,
    ClassVector,
    DenseRecap,
    ImageEmbedding,
    NoTokens,
    PooledBroadcast,
    PooledPair,
    PooledToken,
)
from diva.towers import Tower

__all__ = ["Condition", "build_condition"]


def build_condition(section: AnyCondition | None, tower: Tower, denoiser: Denoiser) -> Condition:
    """Build the condition that stands between `tower` and `denoiser`; its projection is random.

    Raises:
        InputError: tower, condition and denoiser do not fit together.
    """
    match section:
        case None:
            return NoCondition()
        case DenseRecap():
            if not isinstance(section.tokens, NoTokens | PooledToken):
                tower.require_patches("condition.tokens")
            return DenseRecapCondition(section, tower_width=tower.width, patches=tower.patches, denoiser=denoiser)
        case PooledBroadcast():
            return PooledBroadcastCondition(section, tower_width=tower.width, denoiser=denoiser)
        case PooledPair():
            return PooledPairCondition(section, tower_width=tower.width, denoiser=denoiser)
        case ImageEmbedding():
            return ImageEmbeddingCondition(section, tower_width=tower.width, denoiser=denoiser)
        case ClassVector():
            return ClassVectorCondition(section, tower_width=tower.width, denoiser=denoiser)
