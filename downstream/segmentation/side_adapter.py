"""SAN, mmseg's side adapter network (arXiv 2302.12242), around a tower: open-vocabulary segmentation."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmseg
from mmengine.config import Config, ConfigDict
from mmseg.models.segmentors import MultimodalEncoderDecoder
from mmseg.registry import MODELS
from open_clip.transformer import VisionTransformer

from diva.errors import Failed, Mismatch
from diva.towers import Clip
from diva.towers.activation import activation_of
from diva.towers.state_dict_diff import state_dict_diff
from diva_downstream.segmentation.backbone import loaded_clip
from diva_downstream.segmentation.class_text import ClassText

MIM = Path(mmseg.__file__).parent / ".mim"  # the configs and tools that mmseg's wheel brings
BASE = "configs/_base_/models/san_vit-b16.py"
CONVERTER = "tools/model_converters/clip2mmseg.py"
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
        tower: str | Clip,
        classes: Sequence[str],
        *,
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
            tower, checkpoint: as for `DivaTower`.
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
        clip = loaded_clip(tower, checkpoint)
        split = _split(clip)
        chosen = {"patch_size": 16, "embed_dims": 240, "depth": 8, "heads": 6, **(adapter or {})}
        text = ClassText(clip, classes, templates)
        network = _network(clip, split, len(classes), queries=queries, adapter=chosen, points=points)
        super().__init__(
            image_encoder=network.image_encoder,
            text_encoder={"type": "SideAdapterText", "text": text},
            decode_head=network.decode_head,
            asymetric_input=encoder_resolution != 1,
            encoder_resolution=encoder_resolution,
            **options,
        )
        _fill_in(self, clip, split)

    def init_weights(self) -> None:
        """Draw the weights of the side network; the tower's own stay."""
        self.decode_head.side_adapter_network.init_weights()


@MODELS.register_module()
def SideAdapterText(text: ClassText) -> ClassText:  # noqa: N802 - mmseg builds by the name of a class
    """Return `text`, which is built already: mmseg wants to build what it uses."""
    return text


def _split(clip: Clip) -> int:
    """Return after how many blocks the masks' recognition begins.

    Raises:
        InputError: the tower has no class token, an activation that mmseg does not know, or too few blocks.
    """
    visual = clip.tower.visual
    if not isinstance(visual, VisionTransformer) or activation_of(clip.model) not in ACTIVATIONS:
        raise Mismatch(
            clip.source,
            "SAN needs a ViT with a class token and GELU or QuickGELU; use another tower, or another head",
        )
    blocks = len(visual.transformer.resblocks)
    if round(blocks * 3 / 4) < 3:
        raise Mismatch(clip.source, f"SAN needs 4 blocks or more, but the tower has {blocks}")
    return round(blocks * 3 / 4)


def _network(
    clip: Clip, split: int, classes: int, *, queries: int, adapter: Mapping[str, int], points: int
) -> ConfigDict:
    """Return the image encoder and the head of mmseg's SAN in the sizes of a tower."""
    network: ConfigDict = Config.fromfile(MIM / BASE).model
    encoder, head = network.image_encoder, network.decode_head
    visual = clip.tower.visual
    block, width = visual.transformer.resblocks[0], visual.ln_post.normalized_shape[0]
    layer = {
        "embed_dims": width,
        "num_heads": block.attn.num_heads,
        "mlp_ratio": block.mlp.c_fc.out_features // width,
        "act_cfg": {"type": ACTIVATIONS[activation_of(clip.model)]},
        "norm_cfg": {"type": "LN", "eps": visual.ln_post.eps},
    }
    encoder.update(
        img_size=visual.image_size,
        patch_size=visual.patch_size[0],
        num_layers=split,
        out_indices=[split * third // 3 - 1 for third in (1, 2, 3)],
        **layer,
    )
    head.update(num_classes=classes, deep_supervision_idxs=[adapter["depth"] - 1])
    head.san_cfg.update(
        clip_channels=width,
        embed_dims=adapter["embed_dims"],
        patch_size=adapter["patch_size"],
        num_queries=queries,
    )
    head.san_cfg.cfg_encoder.update(num_encode_layer=adapter["depth"], num_heads=adapter["heads"])
    head.san_cfg.cfg_decoder.num_heads = layer["num_heads"]
    head.maskgen_cfg.update(
        sos_token_num=queries,
        num_layers=len(visual.transformer.resblocks) - split,
        out_dims=visual.proj.shape[1],
        **layer,
    )
    head.train_cfg.num_points = points
    head.loss_decode[0].class_weight = [1.0] * classes + [0.1]
    return network


def _fill_in(model: SideAdapterTower, clip: Clip, split: int) -> None:
    """Load the tower's image side in mmseg's names, by mmseg's own converter."""
    spec = importlib.util.spec_from_file_location("clip2mmseg", MIM / CONVERTER)
    assert spec is not None
    assert spec.loader is not None
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    state = {f"visual.{key}": value for key, value in clip.tower.visual.state_dict().items()}
    converted = converter.convert_tensor(converter.convert_key_name(state, split))
    missing, unexpected = model.load_state_dict(converted, strict=False)
    problem = state_dict_diff([key for key in missing if not key.startswith(LEARNED)], unexpected)
    if problem:
        raise Failed(clip.source, f"SAN cannot use this tower: {problem}")
