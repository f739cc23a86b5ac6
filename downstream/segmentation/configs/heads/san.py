"""SAN (arXiv 2302.12242) with the tower as its CLIP, at its published size and rate."""

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
    "paramwise_cfg": {"norm_decay_mult": 0.0, "custom_keys": {"pos_embed": {"decay_mult": 0.0}}},
}
