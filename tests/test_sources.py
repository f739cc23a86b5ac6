"""Published constants against installed libraries' own copies, and the page that lists them against the code."""

import dataclasses
import inspect
import json
import math
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
from peft import LoraConfig
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from transformers import CLIPImageProcessor, CLIPTextConfig, LlamaConfig, SiglipImageProcessor

import diva_downstream.segmentation as segmentation  # before mmseg, which needs its stand-in for mmcv's operators
from diva.data.decode import RATIO
from diva.errors import Unsupported
from diva.images import MAX_PIXELS
from diva.miniworld.writers.llava import LETTER, WORD
from diva.miniworld.writers.mmbench import CIRCULAR as WRITTEN_CIRCULAR
from diva.recipes.denoisers import RectifiedFlow
from diva.recipes.stages import AdamW
from diva.towers import ZOO
from diva.towers.formats.image_processor import CLIP, SIGLIP
from diva.towers.formats.transformers_folder import CLIP_VOCABULARY, TORCH_EPS
from diva_benchmarks.miniworld.clip_training import MAX_LOGIT_SCALE
from diva_benchmarks.throughput.random_weights import POSITIONS, SHAPES
from diva_benchmarks.zero_shot.classification import SCALE, TOP
from diva_downstream.llava.encode import IGNORED
from diva_downstream.llava.formats.adapters import INITIAL, PLAIN, merge_adapters
from diva_downstream.llava.formats.original import LARGE, PUBLISHED, ROPE_BASE
from diva_downstream.llava.tasks.mmbench import CIRCULAR, INSTRUCTIONS, NOTHING
from diva_downstream.llava.tasks.pope import INSTRUCTION
from diva_downstream.segmentation.command import SCHEDULES

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
    source = (ROOT / "benchmarks/throughput/random_weights.py").read_text()
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


def test_llava_s_instructions_are_those_that_lm_eval_has_of_its_configuration_for_mmmu() -> None:
    from lm_eval.tasks.mmmu.utils import MULTI_CHOICE_EXAMPLE_FORMAT, SHORT_ANS_EXAMPLE_FORMAT

    assert SHORT_ANS_EXAMPLE_FORMAT.split("\n")[-1] == INSTRUCTION == WORD
    assert MULTI_CHOICE_EXAMPLE_FORMAT.split("\n")[-1] == INSTRUCTIONS["en"] == LETTER
    assert WRITTEN_CIRCULAR == CIRCULAR


def test_every_field_of_peft_s_that_changes_what_adapters_compute_is_refused() -> None:
    theirs = LoraConfig()
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    # who the adapters are of, how they are begun and trained, and options of fields that are refused
    harmless = {
        *("r", "lora_alpha", "target_modules", "exclude_modules", "lora_dropout", "init_lora_weights", "task_type"),
        *(
            "auto_mapping",
            "peft_version",
            "base_model_name_or_path",
            "revision",
            "inference_mode",
            "layers_pattern",
        ),
        *(
            "layers_pattern",
            "megatron_config",
            "megatron_core",
            "loftq_config",
            "eva_config",
            "corda_config",
            "lora_ga_config",
        ),
        *("velora_config", "qalora_group_size", "runtime_config", "ensure_weight_tying"),
    }
    assert known - harmless <= PLAIN.keys()
    for name in PLAIN.keys() & known:
        assert getattr(theirs, name) == PLAIN[name] or not (getattr(theirs, name) or PLAIN[name]), name
    assert theirs.init_lora_weights in INITIAL


def test_adapters_whose_beginning_changed_the_language_model_are_refused(tmp_path: Path) -> None:
    config = {"r": 1, "lora_alpha": 1, "target_modules": ["q_proj"], "init_lora_weights": "pissa"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match=r"adapter_config\.json: init_lora_weights: 'pissa'"):
        merge_adapters({}, tmp_path)


def test_logits_of_zero_shot_and_the_bound_of_their_scale_are_open_clip_s() -> None:
    folder = Path(open_clip.__file__).parents[1] / "open_clip_train"
    zero_shot, training = ((folder / name).read_text() for name in ("zero_shot.py", "train.py"))
    (scale,), (top,) = (
        re.findall(r"logits = (\S+) \* image_features", zero_shot),
        re.findall(r"topk=\(1, (\d+)\)", zero_shot),
    )
    assert (float(scale), int(top)) == (SCALE, TOP)
    (bound,) = re.findall(r"logit_scale\.clamp_\(0, math\.log\((\d+)\)\)", training)
    assert math.log(int(bound)) == MAX_LOGIT_SCALE


def test_limits_and_defaults_of_libraries_are_their_own() -> None:
    assert LlamaConfig().rope_parameters["rope_theta"] == ROPE_BASE
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORED
    assert AdamW().betas == default(torch.optim.AdamW.__init__, "betas")
    assert AdamW().weight_decay == default(torch.optim.AdamW.__init__, "weight_decay")


def test_schedules_of_segmentation_are_as_long_as_mmseg_s_and_fall_as_its_transformers_do() -> None:
    import mmseg
    from mmengine.config import Config

    published = Path(mmseg.__file__).parent / ".mim/configs"
    for name, iterations in SCHEDULES.items():
        schedule = Config.fromfile(published / f"_base_/schedules/schedule_{name}.py")
        assert schedule.train_cfg.max_iters == iterations
    ours = Config.fromfile(Path(segmentation.__file__).parent / "configs/schedule.py").param_scheduler
    swin = published / "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
    for mine, theirs in zip(ours, Config.fromfile(swin).param_scheduler, strict=True):
        for field in mine.keys() - {"begin", "end"}:
            assert mine[field] == theirs[field]


def test_the_sliding_window_is_that_of_mmseg_s_transformers() -> None:
    import mmseg
    from mmengine.config import Config

    setr = ".mim/configs/setr/setr_vit-l_naive_8xb2-160k_ade20k-512x512.py"
    theirs = Config.fromfile(Path(mmseg.__file__).parent / setr).model.test_cfg
    assert Config.fromfile(Path(segmentation.__file__).parent / "configs/heads/linear.py").model.test_cfg == theirs
