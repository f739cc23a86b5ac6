"""What looks at images when pairs are mined: a CLIP tower, or a self-supervised model of transformers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from diva.documents import read_json
from diva.pretrained import load_pretrained
from diva.towers import load_clip
from diva_benchmarks.encoder import finite

SELF_SUPERVISED = ("dinov2", "dinov2_with_registers", "dinov3_vit")  # transformers' names


@dataclass(frozen=True)
class Eye:
    """An image model.

    Attributes:
        see: an image in RGB → its input [3, H, W].
        embed: inputs [B, 3, H, W] on the model's device → embeddings [B, D].
    """

    see: Callable[[Image.Image], Tensor]
    embed: Callable[[Tensor], Tensor]


def open_eye(name: str, device: torch.device, field: str) -> Eye:
    """Load a tower that `diva.load_clip` takes, or a local folder of one of `SELF_SUPERVISED`.

    Args:
        field: the option that names it, such as "--other".

    Raises:
        InputError: it cannot be loaded.
    """
    config = Path(name) / "config.json"
    if config.is_file() and _kind(config) in SELF_SUPERVISED:
        return _self_supervised(Path(name), device, field)
    clip = load_clip(name)
    clip.model.to(device)
    return Eye(clip.input.image_transform(), lambda pixels: finite(clip.model.encode_image(pixels), clip.source))


def _kind(config: Path) -> object:
    content = read_json(config)
    return content.get("model_type") if isinstance(content, dict) else None


def _self_supervised(folder: Path, device: torch.device, field: str) -> Eye:
    """Read DINO's class token after the last norm, as MMVP's mining does."""
    from transformers import AutoImageProcessor, AutoModel

    model = load_pretrained(AutoModel, folder, field=(field,)).eval().to(device)
    processor = load_pretrained(AutoImageProcessor, folder, field=(field,))
    return Eye(
        lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0],
        lambda pixels: finite(model(pixel_values=pixels).pooler_output, str(folder)),
    )
