"""ADE20K-847, to test open vocabularies: the full ADE20K with the 16-bit label maps that SAN's script makes."""

from mmengine.config import read_base

with read_base():
    from .pipelines import test_loader, wide_evaluator, wide_test_pipeline

test_dataloader = {
    **test_loader,
    "dataset": {
        "type": "BaseSegDataset",
        "data_root": "data/ADE20K_2021_17_01",
        "data_prefix": {
            "img_path": "images_detectron2/validation",
            "seg_map_path": "annotations_detectron2/validation",
        },
        "seg_map_suffix": ".tif",
        "reduce_zero_label": False,
        "pipeline": wide_test_pipeline,
    },
}
test_evaluator = wide_evaluator
