"""An image tower that gives its pooled token and, where it has them, its patch tokens in the same space."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

from diva.errors import Invalid, Mismatch


class TowerTokens(NamedTuple):
    """What a tower says about a batch of images, in the joint space of width D.

    Attributes:
        pooled: [B, D], the image embedding before L2 normalisation.
        patches: [B, N, D], one token a patch in raster order; N is 0 where the tower is pooled only.
    """

    pooled: Tensor
    patches: Tensor


class Tower(nn.Module):
    """Reads tokens off an open_clip image tower through its public methods; the module itself is untouched.

    Patch tokens take the way into the joint space that the pooled token takes, the pooling itself left out: the
    last norm and every projection after it (DIVA, section 3.2), inside a timm trunk or around it. Class and
    register tokens are not among them. Convolutional towers, those that merge patches, and attention pooling that
    changes the tokens' width leave no such way: these towers are pooled only.

    Attributes:
        visual: the image side of an open_clip model.
        width: D, of the joint space.
        grid: rows and columns of the patch tokens; (0, 0) where the tower is pooled only.
    """

    def __init__(self, visual: nn.Module) -> None:
        """Wrap `visual`.

        Raises:
            InputError: it is not an image tower of open_clip's, or does not fit its own input size.
        """
        super().__init__()
        self.visual: Any = visual
        self._read, self.grid = _reader(visual)
        self.width = _width(visual)

    @property
    def patches(self) -> int:
        """Number of patch tokens N at the tower's input size; 0 where it is pooled only."""
        return self.grid[0] * self.grid[1]

    def require_patches(self, field: str) -> None:
        """Check that the tower has patch tokens, which `field` asks for.

        Raises:
            InputError: it is pooled only.
        """
        if not self.patches:
            raise Mismatch(
                field,
                "needs patch tokens, and this tower has a pooled token alone; choose what reads the"
                " pooled token, or a ViT",
            )

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute block activations in the backward pass instead of storing them."""
        self.visual.set_grad_checkpointing(enable)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of every part; batch norms stay as they are in use.

        A micro-batch is no sample of the data, and statistics over it would mix the images of a batch.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> TowerTokens:
        """Encode `pixels` [B, 3, H, W], normalised as the tower's `TowerInput` says."""
        return self._read(self.visual, pixels)


def project(visual: VisionTransformer | TimmModel, tokens: Tensor) -> Tensor:
    """Take `tokens` [..., C], after a trunk's last norm, to the joint space [..., D] as pooled tokens go."""
    if isinstance(visual, TimmModel):
        return visual.head(visual.trunk.head(visual.trunk.fc_norm(tokens)))
    return tokens @ visual.proj


Grid = tuple[int, int]
Reader = Callable[[nn.Module, Tensor], TowerTokens]
POOLED_ONLY: Grid = (0, 0)


def _reader(visual: nn.Module) -> tuple[Reader, Grid]:
    """Return how the tokens of `visual` are read, and their grid."""
    match visual:
        case VisionTransformer(pool_type="tok" | "avg", attn_pool=None):
            return _read_vit, visual.grid_size
        case VisionTransformer(attn_pool=nn.Module()):
            return _read_pooled_vit, POOLED_ONLY
        case TimmModel() if _keeps_patches(visual):
            return _read_trunk, _grid_of(visual)
        case TimmModel() | ModifiedResNet():
            return _read_pooled, POOLED_ONLY
    raise Invalid("tower", f"{type(visual).__name__} is not an image tower of open_clip's; give one of its models")


def _keeps_patches(visual: TimmModel) -> bool:
    """Tell whether the trunk has a token a patch to its end, and what follows its pooling reads such tokens."""
    trunk, parts = visual.trunk, ("num_prefix_tokens", "patch_embed", "fc_norm", "head")
    if hasattr(visual.head, "pool") or not all(hasattr(trunk, part) for part in parts):
        return False
    return hasattr(trunk.patch_embed, "grid_size") and isinstance(trunk.head, nn.Linear | nn.Identity)


def _grid_of(visual: TimmModel) -> Grid:
    embed = visual.trunk.patch_embed
    if tuple(embed.img_size) != tuple(visual.image_size):
        described = [" × ".join(map(str, size)) for size in (visual.image_size, embed.img_size)]
        raise Invalid(
            "tower",
            f"image_size is {described[0]} pixels, but its trunk reads {described[1]}; correct its configuration",
        )
    return embed.grid_size


def _read_vit(visual: nn.Module, pixels: Tensor) -> TowerTokens:
    assert isinstance(visual, VisionTransformer)
    out = visual.forward_intermediates(pixels, indices=1, output_fmt="NLC")
    return TowerTokens(out["image_features"], project(visual, visual.ln_post(out["image_intermediates"][-1])))


def _read_pooled_vit(visual: nn.Module, pixels: Tensor) -> TowerTokens:
    # a captioner's own forward also gives what its text decoder reads
    assert isinstance(visual, VisionTransformer)
    return _pooled_alone(visual.forward_intermediates(pixels, indices=1)["image_features"])


def _read_trunk(visual: nn.Module, pixels: Tensor) -> TowerTokens:
    assert isinstance(visual, TimmModel)
    tokens = visual.trunk.forward_features(pixels)
    pooled = visual.head(visual.trunk.forward_head(tokens))
    return TowerTokens(pooled, project(visual, tokens[:, visual.trunk.num_prefix_tokens :]))


def _read_pooled(visual: nn.Module, pixels: Tensor) -> TowerTokens:
    return _pooled_alone(visual(pixels))


def _pooled_alone(pooled: Tensor) -> TowerTokens:
    return TowerTokens(pooled, pooled.new_empty(len(pooled), 0, pooled.shape[1]))


def _width(visual: nn.Module) -> int:
    """Return the width of the joint space."""
    match visual:
        case VisionTransformer():
            return int(visual.proj.shape[1])
        case ModifiedResNet():
            return int(visual.output_dim)
    assert isinstance(visual, TimmModel)
    if _keeps_patches(visual):
        return int(project(visual, next(visual.parameters()).new_zeros(1, visual.trunk.num_features)).shape[1])
    # trunks of many kinds: a picture of shapes alone passes the tower
    tensors = {**dict(visual.named_parameters()), **dict(visual.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    with torch.device("meta"), torch.no_grad():
        return int(functional_call(visual, shapes, torch.empty(1, 3, *visual.image_size)).shape[1])


def parameter_count(module: nn.Module) -> int:
    """Number of parameters of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
