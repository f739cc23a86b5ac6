"""What it costs that transformers prepares an image a little differently from open_clip."""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import AutoImageProcessor

from diva.images import read_image
from diva.pretrained import load_pretrained
from diva.towers import Clip

PHOTOGRAPH = "grace_hopper.jpg"  # matplotlib's own sample: a photograph on every machine, with no download


@dataclass(frozen=True)
class CropCost:
    """Cosine similarity of one photograph's pooled embeddings, open_clip's preparation against transformers'.

    Attributes:
        even: where both crop alike; odd: where the margin to be cropped is odd, so that open_clip's crop lies one
            pixel further; both with transformers' PIL backend.
        default: as `even`, with the backend that transformers takes by itself.
        crops: whether the preparation crops at all.
    """

    even: float
    odd: float
    default: float
    crops: bool


def measure_crop_cost(clip: Clip, processor: Path) -> CropCost:
    """Measure it for `clip` and the image processor in the folder `processor`, on one real photograph."""
    height, width = clip.input.size
    photograph = read_image(Path(cbook.get_sample_data(PHOTOGRAPH, asfileobj=False))).convert("RGB")
    margin = width // 6 * 2  # a photograph of 4 : 3, already at the tower's height, so that nothing is resampled
    even, odd = (photograph.resize((width + extra, height)) for extra in (margin, margin + 1))
    pil = load_pretrained(AutoImageProcessor, processor, backend="pil")
    default = load_pretrained(AutoImageProcessor, processor, backend="torchvision")
    return CropCost(
        even=_agreement(clip, even, pil(even, return_tensors="pt").pixel_values),
        odd=_agreement(clip, odd, pil(odd, return_tensors="pt").pixel_values),
        default=_agreement(clip, photograph, default(photograph, return_tensors="pt").pixel_values),
        crops=clip.input.resize_mode == "shortest",
    )


@torch.no_grad()
def _agreement(clip: Clip, image: Image.Image, theirs: Tensor) -> float:
    pooled = clip.tower(torch.cat([clip.input.image_transform()(image)[None], theirs])).pooled
    return float(cosine_similarity(pooled[0], pooled[1], dim=0))
