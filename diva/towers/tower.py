"""An image tower that gives its pooled token and its patch tokens, both in the joint image-text space."""

from typing import NamedTuple

from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from diva.errors import InputError


class TowerTokens(NamedTuple):
    """What a tower says about a batch of images, in the joint space of width D.

    Attributes:
        pooled: [B, D], the image embedding before L2 normalisation.
        patches: [B, N, D], one token a patch in raster order.
    """

    pooled: Tensor
    patches: Tensor


class Tower(nn.Module):
    """Reads tokens off an open_clip image tower through its public methods; the module itself is untouched.

    A CLIP ViT's tokens all pass the final layer norm and the visual projection (DIVA, section 3.2), and so do those
    of a timm trunk that pools a class token or a mean. One with attention pooling and no projection (SigLIP) has
    normalised tokens that already are as wide as the joint space.
    """

    def __init__(self, visual: nn.Module) -> None:
        """Wrap `visual`, the image side of an open_clip model.

        Raises:
            InputError: its kind has no patch tokens in the joint space.
        """
        super().__init__()
        if isinstance(visual, VisionTransformer):
            if visual.attn_pool is not None or visual.pool_type != "tok" or visual.proj is None:
                raise InputError("tower: only ViTs with a class token and a visual projection are supported")
            self._read = _read_vit
            self.width = visual.proj.shape[1]
            grid = visual.grid_size
        elif isinstance(visual, TimmModel) and hasattr(visual.trunk, "num_prefix_tokens"):
            trunk = visual.trunk
            if trunk.attn_pool is not None and not isinstance(trunk.head, nn.Identity):
                raise InputError(
                    "tower: its patch tokens are not in the joint space, which only what attention has pooled is"
                    " projected to (PE-Core); use a CLIP ViT or a SigLIP"
                )
            self._read = _read_timm
            self.width = _project_timm(visual, next(visual.parameters()).new_zeros(1, trunk.num_features)).shape[1]
            grid = trunk.patch_embed.grid_size
        else:
            raise InputError(f"tower: {type(visual).__name__} has no patch tokens; use a ViT tower")
        self.visual = visual
        self.grid: tuple[int, int] = (int(grid[0]), int(grid[1]))

    @property
    def patches(self) -> int:
        """Number of patch tokens N at the tower's input size."""
        return self.grid[0] * self.grid[1]

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute block activations in the backward pass instead of storing them."""
        self.visual.set_grad_checkpointing(enable)

    def forward(self, pixels: Tensor) -> TowerTokens:
        """Encode `pixels` [B, 3, H, W], normalised as the tower's `TowerInput` says."""
        return self._read(self.visual, pixels)


def _read_vit(visual: VisionTransformer, pixels: Tensor) -> TowerTokens:
    out = visual.forward_intermediates(pixels, indices=1, output_fmt="NLC")
    return TowerTokens(out["image_features"], visual.ln_post(out["image_intermediates"][-1]) @ visual.proj)


def _read_timm(visual: TimmModel, pixels: Tensor) -> TowerTokens:
    tokens = visual.trunk.forward_features(pixels)
    pooled = visual.head(visual.trunk.forward_head(tokens))
    return TowerTokens(pooled, _project_timm(visual, tokens[:, visual.trunk.num_prefix_tokens :]))


def _project_timm(visual: TimmModel, tokens: Tensor) -> Tensor:
    return visual.head(visual.trunk.head(visual.trunk.fc_norm(tokens)))


def parameter_count(module: nn.Module) -> int:
    """Number of parameters of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
