"""open_clip's folder: weights, `open_clip_config.json`, and a tokenizer where the text tower has its own."""

from pathlib import Path
from typing import Any

from diva.documents import read_json
from diva.errors import Damaged, Missing
from diva.towers.activation import activation_in
from diva.towers.checkpoint import read_state_dict
from diva.towers.formats.settings import check_model, check_preprocess
from diva.towers.formats.source import TowerSource, tokenizer_folder
from diva.towers.recognise import architecture_name

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
# open_clip's own order of preference
WEIGHT_FILES = (
    WEIGHTS,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)


def read_open_clip_folder(folder: Path) -> TowerSource:
    """Read a folder in open_clip's format.

    Raises:
        InputError: its configuration or its weights are missing or damaged.
    """
    config, preprocess = _read_config(folder / CONFIG)
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise Missing(folder, f"has no weights ({WEIGHTS}); fetch them into the folder")
    state = read_state_dict(weights)
    architecture = architecture_name(config, state)
    return TowerSource(
        format="open_clip folder",
        path=folder,
        weights=weights,
        state=state,
        architecture=architecture,
        config=config,
        preprocess=preprocess,
        activation=activation_in(config),
        tokenizer=tokenizer_folder(folder),
    )


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(config := document.get("model_cfg"), dict):
        raise Damaged(path, "is not an open_clip configuration; fetch it again")
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - config.keys()
    if missing:
        raise Damaged(path, f"model_cfg lacks {', '.join(sorted(missing))}; fetch it again")
    preprocess = document.get("preprocess_cfg", {})
    check_model(config, path)
    check_preprocess(preprocess, path)
    return config, preprocess
