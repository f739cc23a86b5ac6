"""What a SAN is trained with, against mmseg's own configuration of it."""

from pathlib import Path
from typing import Any

import mmseg
import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import zeros
from torch.nn.functional import interpolate

from diva.errors import Invalid
from diva.towers import load_clip
from diva_downstream.segmentation.build_config import RESOLUTIONS, build_config, usual_sizes
from diva_downstream.segmentation.command import crop_of
from diva_downstream.segmentation.datasets import DATASETS, locate
from diva_downstream.segmentation.head_record import HeadRecord

CONFIGS = Path(mmseg.__file__).parent / ".mim/configs"
PUBLISHED = CONFIGS / "san/san-vit-l14_coco-stuff164k-640x640.py"
OF_SETS = {
    "ade20k": "ade20k.py",
    "pascal-context-59": "pascal_context_59.py",
    "pascal-context-60": "pascal_context.py",
    "coco-stuff-164k": "coco-stuff164k.py",
}


@pytest.fixture
def published() -> Config:
    return Config.fromfile(PUBLISHED)


@pytest.fixture
def ours(tiny_towers: dict[str, Path], tmp_path: Path, published: Config) -> Config:
    (tmp_path / "coco_stuff164k").mkdir()
    tower = str(tiny_towers["vit-h-like"])  # of patch 14, as the published one
    data, clip = locate("coco-stuff-164k", tmp_path), load_clip(tower)
    record = HeadRecord(
        tower=tower,
        checkpoint=None,
        sha256=clip.sha256,
        head="san",
        dataset=data.name,
        classes=data.classes,
        crop=crop_of(clip, None, "san", usual_sizes("san", data).crop),
        iterations=published.train_cfg.max_iters,
        batch=32,
    )
    return build_config(record, clip, data, training=True, workers=0, processes=8)


def test_san_is_trained_at_the_published_rate_and_without_a_warm_up(ours: Config, published: Config) -> None:
    for field in ("lr", "weight_decay"):
        assert ours.optim_wrapper.optimizer[field] == published.optim_wrapper.optimizer[field]
    assert ours.optim_wrapper.clip_grad.max_norm == published.optim_wrapper.clip_grad.max_norm
    assert ours.param_scheduler == published.param_scheduler
    assert ours.train_dataloader.batch_size == published.train_dataloader.batch_size


def test_san_s_side_network_has_the_published_sizes(ours: Config, published: Config) -> None:
    side, head = published.model.decode_head.san_cfg, published.model.decode_head
    assert ours.model.templates == published.model.text_encoder.templates
    assert ours.model.queries == side.num_queries == head.maskgen_cfg.sos_token_num
    assert ours.model.points == head.train_cfg.num_points
    assert ours.model.adapter == {
        "patch_size": side.patch_size,
        "embed_dims": side.embed_dims,
        "depth": side.cfg_encoder.num_encode_layer,
        "heads": side.cfg_encoder.num_heads,
    }


def test_san_decays_the_parameters_that_the_published_one_does(ours: Config, published: Config) -> None:
    init_default_scope("mmseg")
    model = MODELS.build(ours.model)

    def decays(paramwise: dict[str, object]) -> list[tuple[float, float]]:
        """Return each parameter's rate and weight decay."""
        wrapper = {**ours.optim_wrapper, "paramwise_cfg": paramwise}
        groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
        return [(group["lr"], group["weight_decay"]) for group in groups]

    assert decays(ours.optim_wrapper.paramwise_cfg) == decays(published.optim_wrapper.paramwise_cfg)


def test_san_s_pictures_are_cut_as_the_published_ones_are(ours: Config, published: Config) -> None:
    mine = {step.type: step for step in ours.train_dataloader.dataset.pipeline}
    theirs = {step.type: step for step in published.train_dataloader.dataset.pipeline}
    assert (mine["RandomCrop"].crop_size, mine["RandomCrop"].cat_max_ratio) == (
        theirs["RandomCrop"].crop_size,
        theirs["RandomCrop"].cat_max_ratio,
    )
    scales = theirs["RandomChoiceResize"].scales
    short = min(mine["RandomResize"].scale)
    assert [short * ratio for ratio in mine["RandomResize"].ratio_range] == [min(scales), max(scales)]
    tested = {step.type: step for step in published.test_dataloader.dataset.pipeline}["ResizeShortestEdge"]
    (resize,) = [step for step in ours.test_dataloader.dataset.pipeline if step.type == "Resize"]
    assert resize.scale == (tested.max_size, min(tested.scale))


def test_san_s_tower_reads_whole_patches_of_the_published_crop_and_of_every_padded_picture(ours: Config) -> None:
    assert ours.model.data_preprocessor.size == (640, 640)
    assert ours.model.data_preprocessor.test_cfg.size_divisor == 20
    assert ours.model.encoder_resolution == RESOLUTIONS[14] == pytest.approx(0.7)
    for patch, unit in ((14, 20), (16, 32)):
        assert 640 % unit == 0
        for side in range(500 // unit * unit, 2581, unit):
            scaled = interpolate(zeros(1, 1, side, unit), scale_factor=RESOLUTIONS[patch], mode="bilinear")
            assert [length // patch for length in scaled.shape[2:]] == [side // unit, 1]


def test_a_crop_of_which_san_s_tower_reads_no_whole_patches_is_refused(tiny_towers: dict[str, Path]) -> None:
    clip = load_clip(str(tiny_towers["vit-h-like"]))
    assert crop_of(clip, 640, "san", 640) == 640
    with pytest.raises(Invalid, match=r"--crop: 644.*20.*san.*640"):
        crop_of(clip, 644, "san", 640)
    assert crop_of(clip, 644, "linear", 512) == 644


@pytest.mark.parametrize("name", OF_SETS)
@pytest.mark.parametrize("head", ["linear", "san"])
def test_pictures_of_every_set_are_resized_and_cut_as_mmseg_publishes_it(
    name: str, head: str, trained: Path, tmp_path: Path
) -> None:
    theirs = Config.fromfile(PUBLISHED if head == "san" else CONFIGS / "_base_/datasets" / OF_SETS[name])
    (tmp_path / DATASETS[name].folder).mkdir(parents=True)
    data, clip = locate(name, tmp_path), load_clip(str(trained))
    crop = crop_of(clip, None, head, usual_sizes(head, data).crop)
    record = HeadRecord(
        tower=str(trained),
        checkpoint=None,
        sha256=clip.sha256,
        head="linear" if head == "linear" else "san",
        dataset=name,
        classes=data.classes,
        crop=crop,
        iterations=10,
    )
    ours = build_config(record, clip, data, training=True, workers=0)

    def steps(config: Config, part: str) -> dict[str, Any]:
        return {step.type: step for step in config[f"{part}_dataloader"].dataset.pipeline}

    mine, published = steps(ours, "train"), steps(theirs, "train")
    for step, field in (("RandomCrop", "crop_size"), ("RandomCrop", "cat_max_ratio"), ("RandomFlip", "prob")):
        assert mine[step][field] == published[step][field]
    resize = steps(ours, "test")["Resize"]
    assert resize.keep_ratio
    if head == "san":
        shortest = steps(theirs, "test")["ResizeShortestEdge"]
        assert resize.scale == (shortest.max_size, min(shortest.scale))
    else:
        assert resize.scale == mine["RandomResize"].scale == steps(theirs, "test")["Resize"].scale
        assert mine["RandomResize"].ratio_range == published["RandomResize"].ratio_range
        reduced = published["LoadAnnotations"].get("reduce_zero_label", False)
        assert ours.test_dataloader.dataset.reduce_zero_label == reduced
