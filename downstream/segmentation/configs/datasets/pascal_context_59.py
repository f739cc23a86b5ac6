"""Pascal Context, 59 classes: `VOCdevkit/VOC2010` with masks in `SegmentationClassContext`; label 0 is ignored."""

from mmengine.config import read_base

with read_base():
    from .pipelines import evaluator, test_loader, test_pipeline, train_loader, train_pipeline

dataset = {
    "type": "PascalContextDataset59",
    "data_root": "data/VOCdevkit/VOC2010",
    "data_prefix": {"img_path": "JPEGImages", "seg_map_path": "SegmentationClassContext"},
    "reduce_zero_label": True,
}
train_dataloader = {
    **train_loader,
    "dataset": {
        **dataset,
        "ann_file": "ImageSets/SegmentationContext/train.txt",
        "pipeline": train_pipeline,
    },
}
test_dataloader = {
    **test_loader,
    "dataset": {
        **dataset,
        "ann_file": "ImageSets/SegmentationContext/val.txt",
        "pipeline": test_pipeline,
    },
}
test_evaluator = evaluator
