"""Pascal Context, 59 classes and the background, which is label 0."""

from mmengine.config import read_base

with read_base():
    from .pascal_context_59 import test_dataloader, train_dataloader
    from .pipelines import evaluator

for dataloader in (train_dataloader, test_dataloader):
    dataloader["dataset"].update(type="PascalContextDataset", reduce_zero_label=False)  # type: ignore[attr-defined]
test_evaluator = evaluator
