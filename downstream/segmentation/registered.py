"""Everything that a config can name: importing this registers it with mmsegmentation."""

from downstream.segmentation.backbone import DivaTower
from downstream.segmentation.checkpoints import SealedCheckpoints
from downstream.segmentation.labels import LoadLabels, LoadPicture
from downstream.segmentation.layer_decay import TowerLayerDecay
from downstream.segmentation.linear_head import LinearProbe
from downstream.segmentation.metric import ImageAreas
from downstream.segmentation.plain_checkpoint import PlainCheckpoint
from downstream.segmentation.progress import Progress
from downstream.segmentation.side_adapter import SideAdapterTower
from downstream.segmentation.training_free import NearestClassName

__all__ = [
    "DivaTower",
    "ImageAreas",
    "LinearProbe",
    "LoadLabels",
    "LoadPicture",
    "NearestClassName",
    "PlainCheckpoint",
    "Progress",
    "SealedCheckpoints",
    "SideAdapterTower",
    "TowerLayerDecay",
]
