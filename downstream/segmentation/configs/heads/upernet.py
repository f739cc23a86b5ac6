"""UPerNet (arXiv 1807.10221) on four blocks and a light feature pyramid, with an auxiliary head."""

from mmengine.config import read_base

with read_base():
    from .preprocessor import data_preprocessor, sliding

model = {
    "type": "EncoderDecoder",
    "data_preprocessor": data_preprocessor,
    "backbone": {
        "type": "DivaTower",
        "tower": "",
        "checkpoint": None,
        "out_blocks": [5, 11, 17, 23],
        "pyramid": True,
        "frozen": True,
    },
    "decode_head": {
        "type": "UPerHead",
        "in_channels": [1024, 1024, 1024, 1024],
        "in_index": [0, 1, 2, 3],
        "pool_scales": (1, 2, 3, 6),
        "channels": 512,
        "dropout_ratio": 0.1,
        "num_classes": 150,
        "norm_cfg": {"type": "BN"},
    },
    "auxiliary_head": {
        "type": "FCNHead",
        "in_channels": 1024,
        "in_index": 2,
        "channels": 256,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": 0.1,
        "num_classes": 150,
        "norm_cfg": {"type": "BN"},
        "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 0.4},
    },
    "train_cfg": {},
    "test_cfg": sliding,
}
optim_wrapper = {
    "type": "OptimWrapper",
    "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 0.05},
    "clip_grad": {"max_norm": 1.0},
}
