"""A linear probe on the last block of a frozen tower."""

from mmengine.config import read_base

with read_base():
    from .preprocessor import data_preprocessor, sliding

model = {
    "type": "EncoderDecoder",
    "data_preprocessor": data_preprocessor,
    "backbone": {"type": "DivaTower", "tower": "", "checkpoint": None, "out_blocks": [-1], "frozen": True},
    "decode_head": {"type": "LinearProbe", "in_channels": 1024, "num_classes": 150},
    "train_cfg": {},
    "test_cfg": sliding,
}
optim_wrapper = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3, "weight_decay": 1e-4}}
