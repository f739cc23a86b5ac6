"""Every file that a command reads, each with a small example and the project's own reader."""

from tests.faults.attacks.formats import benchmarks, images, llava, outputs, segmentation, towers, training

FORMATS = (
    *images.FORMATS,
    *towers.FORMATS,
    *training.FORMATS,
    *outputs.FORMATS,
    *benchmarks.FORMATS,
    *llava.FORMATS,
    *segmentation.FORMATS,
)
