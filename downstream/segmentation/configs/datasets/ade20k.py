"""ADE20K-150: `ADEChallengeData2016` as its authors publish it; label 0 is ignored."""

from mmengine.config import read_base

with read_base():
    from .pipelines import evaluator, test_loader, test_pipeline, train_loader, train_pipeline

dataset = {"type": "ADE20KDataset", "data_root": "data/ADEChallengeData2016", "reduce_zero_label": True}
train_dataloader = {
    **train_loader,
    "dataset": {
        **dataset,
        "data_prefix": {"img_path": "images/training", "seg_map_path": "annotations/training"},
        "pipeline": train_pipeline,
    },
}
test_dataloader = {
    **test_loader,
    "dataset": {
        **dataset,
        "data_prefix": {"img_path": "images/validation", "seg_map_path": "annotations/validation"},
        "pipeline": test_pipeline,
    },
}
test_evaluator = evaluator
