"""One mmengine config from its parts: the data set's, the head's and the schedule's, with the tower filled in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from diva.errors import Invalid, Mismatch, Unknown, did_you_mean
from diva.towers import Clip
from diva.towers.features import TowerFeatures
from diva_downstream.segmentation.datasets import CONFIGS, Located, PictureSizes
from diva_downstream.segmentation.head_record import TRAINING_FREE, HeadRecord, Value

SHARED = (
    *("custom_imports", "default_scope", "env_cfg", "default_hooks", "custom_hooks", "visualizer", "log_processor"),
    *("log_level", "model", "test_dataloader", "test_cfg", "test_evaluator"),
)
TRAINING = ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler")
CHANGEABLE = (
    *("model.", "optim_wrapper.", "param_scheduler.", "default_hooks."),
    *("train_dataloader.dataset.", "test_dataloader.dataset."),
)
LAYER_DECAY = 0.9
FINETUNED_RATE = 0.1  # of the head's own rate, for everything, where the tower is trained too
# of SAN's tower by its patch size, as published; 0.7 a hair up, since torch rounds 0.7 × 660 down to 461
RESOLUTIONS = {16: 0.5, 14: 0.7 + 1e-9}
SAN_SIZES = PictureSizes(640, (2560, 640))
WARM_UP = 1 / 40  # of the iterations


def build_config(
    record: HeadRecord, clip: Clip, data: Located, *, training: bool, workers: int, processes: int = 1
) -> Config:
    """Return the config of a run of `record` on `data`, for mmengine's Runner and for mmseg's own tools.

    Args:
        clip: the tower of `record`; its measurements are read off it.
        training: whether the run trains; otherwise only what testing needs is in it.
        workers: processes that load data.
        processes: among which a batch is shared out.

    Raises:
        InputError: the batch cannot be shared out, SAN's tower is to be trained, or an override names no field.
    """
    head = record.head.replace("-", "_")
    parts = [Config.fromfile(CONFIGS / f"{part}.py") for part in ("runtime", "schedule", f"heads/{head}")]
    fields = {key: value for part in (*parts, data.config) for key, value in part.items()}
    config = Config({key: fields[key] for key in (*SHARED, *(TRAINING if training else ()))})
    features = TowerFeatures(clip.tower, [-1], joint=False)
    _fill_tower(config.model, record, clip)
    FILLERS[record.head](config.model, features, data.classes)
    _set_sizes(config, record.crop, usual_sizes(record.head, data))
    for name in ("train_dataloader", "test_dataloader"):
        if name in config:
            config[name].update(num_workers=workers, persistent_workers=workers > 0)
    if training:
        for step in config.train_dataloader.dataset.pipeline:
            step.update(fields.get("augmentation", {}).get(step.type, {}))
        _set_training(config, record, processes)
    config.randomness = {"seed": record.seed}
    override(
        config, {key: each for key, each in record.overrides.items() if training or not key.startswith(TRAINING)}
    )
    return config


def override(config: Config, values: Mapping[str, Value]) -> None:
    """Replace numbers in `config` by dotted name; a number in a name is a place in a list.

    Only numbers, of the kind that is there: names of classes to build and of files do not come from a run's record.

    Raises:
        InputError: there is no such field, an option sets it, or it holds something else.
    """
    for name, value in values.items():
        if not name.startswith(CHANGEABLE):
            raise Invalid(name, f"cannot be changed; names that can be changed begin with {', '.join(CHANGEABLE)}")
        *parents, last = name.split(".")
        node: Any = config
        for part in parents:
            node = node[_place(node, part, name)]
        place = _place(node, last, name)
        if not _alike(node[place], value):
            raise Invalid(name, f"{value} cannot replace {node[place]!r}; give a value of the same type")
        node[place] = tuple(value) if isinstance(node[place], tuple) and isinstance(value, list) else value


def _alike(present: Any, value: Value | Sequence[Value]) -> bool:
    if isinstance(present, list | tuple):
        return isinstance(value, list) and bool(present) and all(_alike(present[0], each) for each in value)
    if isinstance(present, bool) or isinstance(value, bool):
        return type(present) is type(value)
    return isinstance(value, int | float if isinstance(present, float) else int) and isinstance(
        present, int | float
    )


def _place(node: Any, part: str, name: str) -> str | int:
    if isinstance(node, list | tuple):
        if part.isdecimal() and int(part) < len(node):
            return int(part)
        raise Invalid(name, f"'{part}' is not an index into a list of {len(node)}")
    if not isinstance(node, Config | ConfigDict):
        raise Invalid(name, f"the value {node!r} has no fields")
    if part not in node:
        raise Unknown(name, f"'{part}' is not a field of the config; {did_you_mean(part, node.keys())}")
    return part


def usual_sizes(head: str, data: Located) -> PictureSizes:
    """Return the sizes that mmseg's configurations have: SAN's on any set, a set's own for any other head."""
    return SAN_SIZES if head == "san" else data.sizes


def picture_unit(clip: Clip, head: str) -> int:
    """Return the pixels that a picture's sides are multiples of, so that the tower reads whole patches of it."""
    (patch, _) = TowerFeatures(clip.tower, [-1], joint=False).patch
    return round(patch / RESOLUTIONS.get(patch, 1.0)) if head == "san" else patch


def _fill_tower(model: ConfigDict, record: HeadRecord, clip: Clip) -> None:
    tower = {"tower": record.tower, "checkpoint": str(record.checkpoint) if record.checkpoint else None}
    for part in (model, model.get("backbone", {}), model.get("decode_head", {})):
        if "tower" in part:
            part.update(tower)
    model.data_preprocessor.update(
        mean=[255 * each for each in clip.input.mean],
        std=[255 * each for each in clip.input.std],
        test_cfg={"size_divisor": picture_unit(clip, record.head)},
    )


def _fill_linear(model: ConfigDict, features: TowerFeatures, classes: tuple[str, ...]) -> None:
    model.decode_head.update(in_channels=features.width, num_classes=len(classes))


def _fill_upernet(model: ConfigDict, features: TowerFeatures, classes: tuple[str, ...]) -> None:
    model.backbone.out_blocks = [features.depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
    model.decode_head.update(in_channels=[features.width] * 4, num_classes=len(classes))
    model.auxiliary_head.update(in_channels=features.width, num_classes=len(classes))


def _fill_san(model: ConfigDict, features: TowerFeatures, classes: tuple[str, ...]) -> None:
    model.classes = classes
    model.encoder_resolution = RESOLUTIONS.get(features.patch[0], 1.0)


def _fill_training_free(model: ConfigDict, _: TowerFeatures, classes: tuple[str, ...]) -> None:
    model.decode_head.classes = classes


FILLERS: dict[str, Callable[[ConfigDict, TowerFeatures, tuple[str, ...]], None]] = {
    "linear": _fill_linear,
    "upernet": _fill_upernet,
    "san": _fill_san,
    TRAINING_FREE: _fill_training_free,
}


def _set_sizes(config: Config, crop: int, usual: PictureSizes) -> None:
    scale = tuple(round(side * crop / usual.crop) for side in usual.scale)
    for name in ("train_dataloader", "test_dataloader"):
        for step in config[name].dataset.pipeline if name in config else ():
            if "scale" in step:
                step.scale = scale
            if "crop_size" in step:
                step.crop_size = (crop, crop)
    config.model.data_preprocessor.size = (crop, crop)
    if config.model.test_cfg.mode == "slide":
        config.model.test_cfg.update(crop_size=(crop, crop), stride=(2 * crop // 3, 2 * crop // 3))


def _set_training(config: Config, record: HeadRecord, processes: int) -> None:
    if record.batch % processes:
        raise Invalid("--batch", f"{record.batch} pictures cannot be divided among {processes} processes")
    config.train_dataloader.batch_size = record.batch // processes
    config.train_cfg.max_iters = record.iterations
    config.default_hooks.checkpoint.interval = max(1, record.iterations // 10)
    *warm_ups, decay = config.param_scheduler
    begin = round(WARM_UP * record.iterations) if warm_ups else 0
    if begin < 2:  # mmengine divides by one less
        warm_ups, begin = [], 0
    for each in warm_ups:
        each.end = begin
    decay.update(begin=begin, end=record.iterations)
    config.param_scheduler = [*warm_ups, decay]
    if record.finetune:
        if "backbone" not in config.model:
            raise Mismatch("--finetune", "SAN keeps its tower frozen; use the head linear or upernet")
        config.model.backbone.update(frozen=False, grad_checkpointing=True)
        config.optim_wrapper.optimizer.lr *= FINETUNED_RATE
        config.optim_wrapper.update(constructor="TowerLayerDecay", paramwise_cfg={"decay": LAYER_DECAY})
        config.find_unused_parameters = True  # the last norm and the projection of an earlier block's features
