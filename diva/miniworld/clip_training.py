"""Training the miniature CLIP from nothing on alt texts, and saving it as an open_clip folder."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from rich.progress import Progress
from safetensors.torch import save_file
from torch import Tensor

from diva.miniworld.captions import alt_texts
from diva.miniworld.fit import Plan, fit
from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import draw
from diva.miniworld.vocabulary import NAMES
from diva.towers.build import build_model
from diva.towers.formats.open_clip_folder import CONFIG, WEIGHTS
from diva.towers.preprocess import TowerInput

CONTEXT = 32  # text positions; the longest caption has 27 tokens
MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": SIZE, "layers": 4, "width": 96, "head_width": 24, "patch_size": 8},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
# how often an alt text mentions each detail
MENTIONED = {
    "orientation": 0.15,
    "presence": 0.15,
    "state": 0.15,
    "quantity": 0.15,
    "position": 0.15,
    "colour": 0.15,
    "structure": 0.15,
    "text": 0.15,
    "viewpoint": 0.15,
}
PLACE_MENTIONED = 0.6
CLIP_KEY = 10
MAX_LOGIT_SCALE = math.log(100)


def build_clip(seed: int) -> CLIP:
    """Build the CLIP with random weights from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(MODEL, PREPROCESS).train()


def train_clip(plan: Plan, *, seed: int, device: torch.device, checkpoint: Path, progress: Progress) -> CLIP:
    """Train a CLIP contrastively on pictures and alt texts; a killed run goes on from `checkpoint`."""
    model = build_clip(seed).to(device)
    tokenizer = SimpleTokenizer(context_length=CONTEXT)
    tower_input = TowerInput.of(model)
    mentioned = [MENTIONED[name] for name in NAMES]
    labels = torch.arange(plan.batch, device=device)

    def loss(random: torch.Generator) -> Tensor:
        scenes = draw(plan.batch, random)
        texts = tokenizer(alt_texts(scenes, mentioned, PLACE_MENTIONED, random)).to(device)
        pixels = tower_input.from_rgb(render(scenes.to(device)).rgb)
        scale = model.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
        logits = scale * model.encode_image(pixels, normalize=True) @ model.encode_text(texts, normalize=True).T
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

    fit(model, loss, plan, key=(seed, CLIP_KEY), checkpoint=checkpoint, progress=progress, title="CLIP")
    return model.eval()


def save_clip(model: CLIP, folder: Path) -> None:
    """Write an open_clip folder; weights in float16, since most of them are words that the world never says."""
    folder.mkdir(parents=True)
    state = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
