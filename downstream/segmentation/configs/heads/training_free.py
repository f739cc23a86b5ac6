"""No training: patch tokens in the joint space against the embeddings of the class names."""

from mmengine.config import read_base

with read_base():
    from .preprocessor import data_preprocessor, sliding

model = {
    "type": "EncoderDecoder",
    "data_preprocessor": data_preprocessor,
    "backbone": {"type": "DivaTower", "tower": "", "checkpoint": None, "joint": True},
    "decode_head": {
        "type": "NearestClassName",
        "tower": "",
        "checkpoint": None,
        "classes": (),
        "templates": "imagenet",
    },
    "test_cfg": sliding,
}
