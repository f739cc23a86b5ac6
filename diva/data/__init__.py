"""Images in: sources on disk, their deterministic and resumable order, and the batches that are trained on."""

from diva.data.decode import to_unit_range
from diva.data.inspection import Inspection, Spread, inspect
from diva.data.loader import Batch, Loader, merge_states
from diva.data.resolve import open_source
from diva.data.source import Source, count_images, fingerprint
from diva.data.streams import BadImage, Cursor, ImageStreams, Sample

__all__ = [
    "BadImage",
    "Batch",
    "Cursor",
    "ImageStreams",
    "Inspection",
    "Loader",
    "Sample",
    "Source",
    "Spread",
    "count_images",
    "fingerprint",
    "inspect",
    "merge_states",
    "open_source",
    "to_unit_range",
]
