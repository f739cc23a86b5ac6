"""Published constants against installed libraries' own copies, and the page that lists them against the code."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm.data
import torch
import yaml
from diffusers import AutoencoderKL, FluxTransformer2DModel, LCMScheduler, UNet2DConditionModel
from pandas._libs.parsers import STR_NA_VALUES
from torchvision.transforms import RandomResizedCrop
from transformers import CLIPImageProcessor, CLIPTextConfig, SiglipImageProcessor

import downstream.segmentation as segmentation  # before mmseg, which needs its stand-in for mmcv's operators
from diva.data.decode import RATIO
from diva.denoisers.random_weights import POSITIONS, SHAPES
from diva.recipes.denoisers import RectifiedFlow
from diva.towers import ZOO
from diva.towers.formats.image_processor import CLIP, SIGLIP
from diva.towers.formats.transformers_folder import CLIP_VOCABULARY, TORCH_EPS
from downstream.llava.formats.original import LARGE, OPENAI, PUBLISHED
from downstream.llava.tasks.mmbench import NOTHING

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sources.md"
RECIPES = ROOT / "diva" / "recipes"
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| constant")
]
TESTS = {
    name: path
    for path in sorted((ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
}


def default(function: Callable[..., Any], name: str) -> Any:
    return inspect.signature(function).parameters[name].default


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_row_of_the_page_names_code_and_a_test_that_exist(row: list[str]) -> None:
    _, where, _, _, check = row
    (place,) = re.findall(r"`([^`]+)`", where)
    path, _, name = place.partition(":")
    assert name in (ROOT / path).read_text()
    named = re.findall(r"`(test_\w+)`", check)
    assert named or "not installed" in check or "our choice" in check
    assert set(named) <= TESTS.keys()


@pytest.mark.parametrize(("ours", "theirs"), [(CLIP, CLIPImageProcessor), (SIGLIP, SiglipImageProcessor)])
def test_an_image_processor_s_usual_fields_are_those_of_transformers(ours: dict[str, Any], theirs: Any) -> None:
    for field, value in ours.items():
        found = getattr(theirs, field, None)  # what a class leaves out, it does not do
        assert (tuple(found) if isinstance(found, list) else found or False) == value, field


def test_llava_s_published_towers_are_open_clip_s() -> None:
    assert (OPENAI["mean"], OPENAI["std"]) == (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    for architecture, name in (
        ("ViT-L-14", "openai/clip-vit-large-patch14"),
        ("ViT-L-14-336", "openai/clip-vit-large-patch14-336"),
    ):
        config = open_clip.get_model_config(architecture)
        vision = config["vision_cfg"]
        fields = [vision["width"], vision["layers"], vision["patch_size"], config["embed_dim"]]
        assert fields == [
            LARGE[key] for key in ("hidden_size", "num_hidden_layers", "patch_size", "projection_dim")
        ]
        assert vision["image_size"] == PUBLISHED[name]["image_size"]
        assert LARGE["num_attention_heads"] * 64 == vision["width"]
        assert LARGE["intermediate_size"] == 4 * vision["width"]


@pytest.mark.parametrize("name", ZOO)
def test_a_tower_s_size_and_weights_are_open_clip_s(name: str) -> None:
    entry = ZOO[name]
    vision = open_clip.get_model_config(entry.architecture)["vision_cfg"]
    assert vision["image_size"] == entry.size
    assert entry.tag in open_clip.list_pretrained_tags_by_model(entry.architecture)


def test_the_vae_sees_openai_s_statistics_undone_by_imagenet_s() -> None:
    denoiser = yaml.safe_load((RECIPES / "variants" / "diva" / "as-released.yaml").read_text())["denoiser"]
    channels = zip(
        *(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD),
        *(timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD),
        *(denoiser["image_scale"], denoiser["image_shift"]),
        strict=True,
    )
    for mean, std, undone_mean, undone_std, scale, shift in channels:
        for pixel in (0.0, 1.0):
            expected = 2 * ((pixel - mean) / std * undone_std + undone_mean) - 1
            assert scale * pixel + shift == pytest.approx(expected, abs=1e-6)


def test_a_random_stable_diffusion_has_diffusers_own_schedule_and_sizes() -> None:
    source = (ROOT / "diva/denoisers/random_weights.py").read_text()
    (start, end), (schedule,) = (
        [float(each) for each in re.findall(r"beta_(?:start|end)=([\d.]+)", source)],
        re.findall(r'beta_schedule="(\w+)"', source),
    )
    theirs = [default(LCMScheduler.__init__, name) for name in ("beta_start", "beta_end", "beta_schedule")]
    assert [start, end, schedule] == theirs
    assert SHAPES["stable-diffusion-2-1-base"].unet == default(UNet2DConditionModel.__init__, "block_out_channels")
    assert default(AutoencoderKL.__init__, "scaling_factor") == 0.18215
    assert CLIPTextConfig().max_position_embeddings == POSITIONS
    assert CLIPTextConfig().vocab_size == CLIP_VOCABULARY


def test_genhancer_s_flow_transformer_is_flux_s_but_for_its_depth() -> None:
    ours = RectifiedFlow.model_validate({"type": "rectified_flow", "path": "a", "transformer": {}}).transformer
    assert ours is not None
    names = ("num_attention_heads", "joint_attention_dim", "pooled_projection_dim", "axes_dims_rope")
    theirs = [default(FluxTransformer2DModel.__init__, name) for name in names]
    assert [ours.heads, ours.token_width, ours.vector_width, ours.rotary] == theirs


def test_a_crop_s_sides_are_torchvision_s_and_a_layer_norm_s_epsilon_is_torch_s() -> None:
    assert default(RandomResizedCrop.__init__, "ratio") == RATIO
    assert default(torch.nn.LayerNorm.__init__, "eps") == TORCH_EPS


def test_cells_that_mmbench_takes_for_empty_are_pandas_own() -> None:
    assert set(NOTHING) == STR_NA_VALUES


def test_class_prompts_of_segmentation_are_clip_s_eighty() -> None:
    from mmseg.utils import get_predefined_templates

    theirs = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert get_predefined_templates("imagenet") == theirs


def test_upernet_s_heads_are_those_of_mmseg_s_transformers() -> None:
    import mmseg
    from mmengine.config import Config

    ours = Config.fromfile(Path(segmentation.__file__).parent / "configs/heads/upernet.py").model
    theirs = Config.fromfile(Path(mmseg.__file__).parent / ".mim/configs/_base_/models/upernet_swin.py").model
    for head, fields in (
        ("decode_head", ("type", "in_index", "pool_scales", "channels", "dropout_ratio")),
        ("auxiliary_head", ("type", "in_index", "channels", "num_convs", "concat_input", "dropout_ratio")),
    ):
        assert [ours[head][field] for field in fields] == [theirs[head][field] for field in fields]
    assert ours.auxiliary_head.loss_decode.loss_weight == theirs.auxiliary_head.loss_decode.loss_weight
