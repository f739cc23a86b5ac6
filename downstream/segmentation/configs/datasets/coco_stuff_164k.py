"""COCO-Stuff-164k, 171 classes, with the label maps that mmsegmentation's `coco_stuff164k.py` converts."""

from mmengine.config import read_base

with read_base():
    from .pipelines import evaluator, test_loader, test_pipeline, train_loader, train_pipeline

dataset = {"type": "COCOStuffDataset", "data_root": "data/coco_stuff164k", "reduce_zero_label": False}
train_dataloader = {
    **train_loader,
    "dataset": {
        **dataset,
        "data_prefix": {"img_path": "images/train2017", "seg_map_path": "annotations/train2017"},
        "pipeline": train_pipeline,
    },
}
test_dataloader = {
    **test_loader,
    "dataset": {
        **dataset,
        "data_prefix": {"img_path": "images/val2017", "seg_map_path": "annotations/val2017"},
        "pipeline": test_pipeline,
    },
}
test_evaluator = evaluator
