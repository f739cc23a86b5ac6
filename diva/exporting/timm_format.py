"""An image tower as timm reads it: `timm.create_model('local-dir:FOLDER', pretrained=True)`."""

import json
from pathlib import Path

from safetensors.torch import save_file

from diva.errors import Unsupported
from diva.towers import Clip
from diva.towers.formats.timm_folder import WEIGHT_FILES
from diva.towers.trunk import CONFIG

TRUNK = "visual.trunk."


def fill_timm(clip: Clip, folder: Path) -> None:
    """Write configuration and weights, in the layout of timm's hub repositories, into the existing `folder`.

    Raises:
        InputError: the tower is not a model of timm's alone.
    """
    if clip.trunk is None:
        raise Unsupported(clip.source, "timm's format has no place for a text tower; use --to open_clip")
    state = {key.removeprefix(TRUNK): value for key, value in clip.model.state_dict().items()}
    save_file(
        {key: value.detach().cpu().contiguous() for key, value in state.items()},
        folder / WEIGHT_FILES[0],
        metadata={"format": "pt"},
    )
    seen, trunk = clip.input, clip.trunk
    pool = {"global_pool": trunk.pool} if trunk.pool else {}
    document = {
        "architecture": trunk.architecture,
        "num_classes": 0,
        "num_features": clip.tower.width,
        **pool,
        "model_args": trunk.arguments | pool,
        "pretrained_cfg": {
            "input_size": [3, *seen.size],
            "mean": list(seen.mean),
            "std": list(seen.std),
            "interpolation": seen.interpolation,
            "crop_pct": 1.0,
            "crop_mode": "squash" if seen.resize_mode == "squash" else "center",
            "num_classes": 0,
        },
    }
    (folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n")
