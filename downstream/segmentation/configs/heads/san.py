"""SAN (arXiv 2302.12242) with the tower as its CLIP, as mmseg trains it; docs/segmentation.md says what departs."""

from mmengine.config import read_base

with read_base():
    from .preprocessor import data_preprocessor

model = {
    "type": "SideAdapterTower",
    "data_preprocessor": data_preprocessor,
    "tower": "",
    "checkpoint": None,
    "classes": (),
    "templates": "vild",
    "encoder_resolution": 0.7,
    "queries": 100,
    "adapter": {"patch_size": 16, "embed_dims": 240, "depth": 8, "heads": 6},
    "points": 12544,
    "train_cfg": {},
    "test_cfg": {"mode": "whole"},
}
optim_wrapper = {
    "type": "OptimWrapper",
    "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 1e-4},
    "clip_grad": {"max_norm": 0.01},
    "paramwise_cfg": {"custom_keys": {name: {"decay_mult": 0.0} for name in ("pos_embed", "cls_token", "norm")}},
}
param_scheduler = [{"type": "PolyLR", "eta_min": 0.0, "power": 1.0, "begin": 0, "end": 60_000, "by_epoch": False}]
augmentation = {"RandomResize": {"ratio_range": (0.5, 1.5)}, "RandomCrop": {"cat_max_ratio": 1.0}}
