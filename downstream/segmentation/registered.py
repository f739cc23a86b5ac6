"""Everything that a config can name: importing this registers it with mmsegmentation."""

from diva_downstream.segmentation.backbone import DivaTower
from diva_downstream.segmentation.checkpoints import SealedCheckpoints
from diva_downstream.segmentation.labels import LoadLabels, LoadPicture
from diva_downstream.segmentation.layer_decay import TowerLayerDecay
from diva_downstream.segmentation.linear_head import LinearProbe
from diva_downstream.segmentation.metric import ImageAreas
from diva_downstream.segmentation.plain_checkpoint import PlainCheckpoint
from diva_downstream.segmentation.progress import Progress
from diva_downstream.segmentation.side_adapter import SideAdapterTower
from diva_downstream.segmentation.training_free import NearestClassName

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
