"""SAN, mmseg's side adapter network (arXiv 2302.12242), around a tower: open-vocabulary segmentation."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmseg
from mmengine.config import ConfigDict
from mmseg.models.segmentors import MultimodalEncoderDecoder
from mmseg.registry import MODELS
from open_clip.transformer import VisionTransformer

from diva.errors import InputError, RunError
from diva.towers import Clip, load_clip
from diva.towers.family import activation_of
from diva.towers.misfit import misfit
from downstream.segmentation.class_text import ClassText

CONVERTER = ".mim/tools/model_converters/clip2mmseg.py"
ACTIVATIONS = {"gelu": "GELU", "quickgelu": "QuickGELU"}
LEARNED = ("decode_head.side_adapter_network.", "text_encoder.")


@MODELS.register_module()
class SideAdapterTower(MultimodalEncoderDecoder):
    """SAN with a tower's image encoder as its CLIP and the tower's text encoder for the class names.

    The first three quarters of the blocks encode the image, the others recognise the masks that the side network
    proposes, as in the published configurations (9 of 12 blocks, 18 of 24). The tower stays frozen except for its
    position embeddings.
    """

    def __init__(
        self,
        tower: str,
        classes: Sequence[str],
        checkpoint: str | None = None,
        templates: str = "vild",
        encoder_resolution: float = 0.5,
        queries: int = 100,
        adapter: Mapping[str, int] | None = None,
        points: int = 12544,
        **options: Any,
    ) -> None:
        """Build the network and fill the tower in.

        Args:
            tower, checkpoint: as `diva.towers.load_clip` takes them.
            classes: names, in the order of the labels.
            templates: as for `class_embeddings`.
            encoder_resolution: by how much the picture is scaled for the tower.
            queries: number of mask proposals.
            adapter: `patch_size`, `embed_dims`, `depth` (4 or more) and `heads` of the side network; those of the
                paper where not given.
            points: pixels at which a proposal is held against a mask.
            options: those of mmseg's `MultimodalEncoderDecoder`.

        Raises:
            InputError: the tower cannot be loaded, has no class token, text encoder or activation that mmseg knows,
                or has too few blocks.
        """
        clip = load_clip(tower, Path(checkpoint) if checkpoint else None)
        shape = _Shape(clip)
        chosen = {"patch_size": 16, "embed_dims": 240, "depth": 8, "heads": 6, **(adapter or {})}
        text = ClassText(clip, classes, templates)
        super().__init__(
            image_encoder=shape.image_encoder(),
            text_encoder={"type": "SideAdapterText", "text": text},
            decode_head=shape.decode_head(len(classes), queries, chosen, points),
            asymetric_input=encoder_resolution != 1,
            encoder_resolution=encoder_resolution,
            **options,
        )
        _fill_in(self, clip, shape.split)

    def init_weights(self) -> None:
        """Draw the weights of the side network; the tower's own stay."""
        self.decode_head.side_adapter_network.init_weights()


@MODELS.register_module()
def SideAdapterText(text: ClassText) -> ClassText:  # noqa: N802 - mmseg builds by the name of a class
    """Return `text`, which is built already: mmseg wants to build what it uses."""
    return text


class _Shape:
    """A tower's measurements in mmseg's words."""

    def __init__(self, clip: Clip) -> None:
        visual = clip.tower.visual
        activation = ACTIVATIONS.get(activation_of(clip.model))
        if not isinstance(visual, VisionTransformer) or activation is None:
            raise InputError(
                f"{clip.source}: SAN needs a ViT with a class token and GELU or QuickGELU; use another tower, or"
                " another head"
            )
        blocks = visual.transformer.resblocks
        self.split = round(len(blocks) * 3 / 4)
        if self.split < 3:
            raise InputError(f"{clip.source}: SAN needs 4 blocks or more, but the tower has {len(blocks)}")
        self._visual, self._blocks, self._activation = visual, blocks, {"type": activation}
        self._layer: dict[str, Any] = {
            "embed_dims": visual.ln_post.normalized_shape[0],
            "num_heads": blocks[0].attn.num_heads,
            "mlp_ratio": blocks[0].mlp.c_fc.out_features // visual.ln_post.normalized_shape[0],
            "act_cfg": self._activation,
            "norm_cfg": {"type": "LN", "eps": visual.ln_post.eps},
            "qkv_bias": True,
        }

    def image_encoder(self) -> ConfigDict:
        return ConfigDict(
            type="VisionTransformer",
            img_size=self._visual.image_size,
            patch_size=self._visual.patch_size[0],
            patch_pad=0,
            patch_bias=False,
            pre_norm=True,
            num_layers=self.split,
            out_origin=True,
            out_indices=[self.split * third // 3 - 1 for third in (1, 2, 3)],
            with_cls_token=True,
            output_cls_token=True,
            interpolate_mode="bicubic",
            frozen_exclude=["pos_embed"],
            **self._layer,
        )

    def decode_head(self, classes: int, queries: int, adapter: Mapping[str, int], points: int) -> ConfigDict:
        weights = {"loss_cls_ce": 2.0, "loss_mask_ce": 5.0, "loss_mask_dice": 5.0}
        return ConfigDict(
            type="SideAdapterCLIPHead",
            num_classes=classes,
            deep_supervision_idxs=[adapter["depth"] - 1],
            align_corners=False,
            san_cfg={
                "in_channels": 3,
                "clip_channels": self._layer["embed_dims"],
                "embed_dims": adapter["embed_dims"],
                "patch_size": adapter["patch_size"],
                "num_queries": queries,
                "fusion_index": [0, 1, 2, 3],
                "cfg_encoder": {
                    "num_encode_layer": adapter["depth"],
                    "num_heads": adapter["heads"],
                    "mlp_ratio": 4,
                },
                "cfg_decoder": {
                    "num_heads": self._layer["num_heads"],
                    "num_layers": 1,
                    "embed_channels": 256,
                    "mlp_channels": 256,
                    "num_mlp": 3,
                    "rescale": True,
                },
                "norm_cfg": {"type": "LN", "eps": 1e-6},
            },
            maskgen_cfg={
                "sos_token_format": "cls_token",
                "sos_token_num": queries,
                "num_layers": len(self._blocks) - self.split,
                "out_dims": self._visual.proj.shape[1],
                "final_norm": True,
                "frozen_exclude": [],
                **self._layer,
            },
            train_cfg={
                "num_points": points,
                "oversample_ratio": 3.0,
                "importance_sample_ratio": 0.75,
                "assigner": {
                    "type": "HungarianAssigner",
                    "match_costs": [
                        {"type": "ClassificationCost", "weight": weights["loss_cls_ce"]},
                        {"type": "CrossEntropyLossCost", "weight": weights["loss_mask_ce"], "use_sigmoid": True},
                        {"type": "DiceCost", "weight": weights["loss_mask_dice"], "pred_act": True, "eps": 1.0},
                    ],
                },
            },
            loss_decode=[
                {
                    "type": "CrossEntropyLoss",
                    "loss_name": "loss_cls_ce",
                    "loss_weight": weights["loss_cls_ce"],
                    "class_weight": [1.0] * classes + [0.1],
                },
                {
                    "type": "CrossEntropyLoss",
                    "use_sigmoid": True,
                    "loss_name": "loss_mask_ce",
                    "loss_weight": weights["loss_mask_ce"],
                },
                {
                    "type": "DiceLoss",
                    "ignore_index": None,
                    "naive_dice": True,
                    "eps": 1,
                    "loss_name": "loss_mask_dice",
                    "loss_weight": weights["loss_mask_dice"],
                },
            ],
        )


def _fill_in(model: SideAdapterTower, clip: Clip, split: int) -> None:
    """Load the tower's image side in mmseg's names, by mmseg's own converter."""
    spec = importlib.util.spec_from_file_location("clip2mmseg", Path(mmseg.__file__).parent / CONVERTER)
    assert spec is not None
    assert spec.loader is not None
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    state = {f"visual.{key}": value for key, value in clip.tower.visual.state_dict().items()}
    converted = converter.convert_tensor(converter.convert_key_name(state, split))
    missing, unexpected = model.load_state_dict(converted, strict=False)
    problem = misfit([key for key in missing if not key.startswith(LEARNED)], unexpected)
    if problem:
        raise RunError(f"{clip.source}: SAN cannot take this tower: {problem}")
