"""What the commands import, for the process that they are forked from: it takes longer than their work."""

import gc
import importlib
import os

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot be forked
for name in (
    "diffusers.models",
    "peft",
    "diva.exporting.command",
    "diva.pipelines.run",
    "diva.training.caching",
    "diva_downstream.llava.train",
    "diva_downstream.segmentation.command",
    "mmseg.datasets",
    "mmseg.engine",
    "mmseg.evaluation",
    "mmseg.models",
    "mmseg.visualization",
):
    importlib.import_module(name)
gc.freeze()  # what is here for good need not be looked through in every child
