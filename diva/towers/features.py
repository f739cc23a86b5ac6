"""Patch features of chosen blocks of an image tower, for pictures of any size."""

from collections.abc import Sequence

from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import pad

from diva.errors import Invalid
from diva.towers import Tower
from diva.towers.tower import project


class TowerFeatures(nn.Module):
    """Reads feature maps off a tower that itself stays as it is.

    Every level has passed the tower's own final layer norm: then the last block's map, projected to the joint
    space, is the tower's patch tokens. Position embeddings are interpolated to the grid of the picture, bicubic
    with antialias, by timm's routine, which does what open_clip's does and lets gradients through; rotary positions
    are computed anew by timm.

    Attributes:
        blocks: indices of the blocks that are read, from 0.
        width: channels of every level.
        patch: (height, width) of a patch in pixels.
    """

    def __init__(self, tower: Tower, blocks: Sequence[int], *, joint: bool) -> None:
        """Read `blocks` of `tower`, negative ones counted from the last.

        Args:
            joint: project the features to the joint image-text space.

        Raises:
            InputError: there is no such block, or the tower cannot read pictures of other sizes.
        """
        super().__init__()
        tower.require_patches("--tower")
        self._reader = _Reader(tower)
        depth = self._reader.depth
        if not blocks or any(not -depth <= block < depth for block in blocks):
            raise Invalid(
                "out_blocks", f"{list(blocks)} are no blocks of this tower; give some of 0 to {depth - 1}"
            )
        self.blocks = [block % depth for block in blocks]
        if self.blocks != sorted(set(self.blocks)):
            raise Invalid("out_blocks", f"{list(blocks)} must rise, each block once")
        self._joint = joint
        self._grid = tower.grid
        self.patch = self._reader.patch
        self.width = tower.width if joint else self._reader.width
        self.depth = depth

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode `pixels` [B, 3, H, W], normalised, to one map [B, C, ⌈H / patch⌉, ⌈W / patch⌉] a block.

        Sides that the patch does not divide are filled up with zeros at the bottom and on the right.
        """
        height, width = pixels.shape[-2:]
        pixels = pad(pixels, (0, -width % self.patch[1], 0, -height % self.patch[0]))
        grid = (pixels.shape[-2] // self.patch[0], pixels.shape[-1] // self.patch[1])
        self._reader.turn(grid, strict=False)
        try:
            positions = self._reader.positions_on(grid, self._grid)
            return functional_call(self._reader, positions, (pixels, self.blocks, self._joint))
        finally:
            self._reader.turn(self._grid, strict=self._reader.strict)


class _Reader(nn.Module):
    """What differs between open_clip's own ViT and a timm trunk."""

    visual: VisionTransformer | TimmModel

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        visual = tower.visual
        assert isinstance(visual, VisionTransformer | TimmModel)  # no other has patch tokens
        self.visual = visual
        self.patch = tuple(side // count for side, count in zip(visual.image_size, tower.grid, strict=True))
        if isinstance(visual, TimmModel):
            trunk = visual.trunk
            learned, self._rope = getattr(trunk, "pos_embed", None), getattr(trunk, "rope", None)
            if learned is None and not hasattr(self._rope, "update_feat_shape"):
                raise Invalid(
                    "--tower",
                    "its positions are relative, which are read at the tower's own size alone; use a ViT"
                    " with learned or rotary positions",
                )
            self.strict = trunk.patch_embed.strict_img_size
            self.depth, self.width = len(trunk.blocks), trunk.embed_dim
            # some of timm's resample by themselves
            own = learned is None or getattr(trunk, "dynamic_img_size", False)
            self._position = "" if own else "visual.trunk.pos_embed"
            self._prefix = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        else:
            self.depth, self.width = len(visual.transformer.resblocks), visual.ln_post.normalized_shape[0]
            self._position, self._prefix, self._rope = "visual.positional_embedding", 1, None
            self.strict = False  # it reads any size

    def turn(self, grid: tuple[int, int], *, strict: bool) -> None:
        """Compute rotary positions for `grid`; `strict` is whether a trunk reads pictures of its own size alone."""
        if isinstance(self.visual, TimmModel):
            self.visual.trunk.patch_embed.strict_img_size = strict
        if self._rope is not None:
            self._rope.update_feat_shape(grid)

    def positions_on(self, grid: tuple[int, int], native: tuple[int, int]) -> dict[str, Tensor]:
        """Return the learned positions on `grid` by their name, unless it is the `native` one."""
        if grid == native or not self._position:
            return {}
        embedding = self.get_parameter(self._position)
        batched = embedding.reshape(1, *embedding.shape[-2:])
        resampled = resample_abs_pos_embed(batched, list(grid), list(native), num_prefix_tokens=self._prefix)
        return {self._position: resampled.reshape(*embedding.shape[:-2], *resampled.shape[1:])}

    def forward(self, pixels: Tensor, blocks: list[int], joint: bool) -> list[Tensor]:
        levels = self.visual.forward_intermediates(
            pixels, indices=blocks, stop_early=True, normalize_intermediates=True, intermediates_only=True
        )["image_intermediates"]
        return [self._project(level) for level in levels] if joint else levels

    def _project(self, level: Tensor) -> Tensor:
        return project(self.visual, level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
