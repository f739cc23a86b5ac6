"""Pascal Context, all 459 classes, to test open vocabularies: the 16-bit label maps that SAN's script makes."""

from mmengine.config import read_base

with read_base():
    from .pipelines import test_loader, wide_evaluator, wide_test_pipeline

test_dataloader = {
    **test_loader,
    "dataset": {
        "type": "BaseSegDataset",
        "data_root": "data/VOCdevkit/VOC2010",
        "data_prefix": {"img_path": "JPEGImages", "seg_map_path": "annotations_detectron2/pc459_val"},
        "ann_file": "ImageSets/SegmentationContext/val.txt",
        "seg_map_suffix": ".tif",
        "reduce_zero_label": False,
        "pipeline": wide_test_pipeline,
    },
}
test_evaluator = wide_evaluator
