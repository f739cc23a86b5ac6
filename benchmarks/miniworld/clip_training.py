"""Training the miniature CLIP from nothing on alt texts, and saving it as an open_clip folder."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip import CLIP
from safetensors.torch import save_file
from torch import Tensor

from diva.miniworld.captions import PLACE_MENTIONED, alt_texts, mentions
from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import draw
from diva.miniworld.vocabulary import NAMES, SHAPES
from diva.towers import Clip
from diva.towers.build import build_model
from diva.towers.checkpoint import read_content
from diva.towers.formats.open_clip_folder import CONFIG, WEIGHTS
from diva.towers.preprocess import TowerInput
from diva_benchmarks.miniworld.fit import Schedule, fit
from diva_benchmarks.miniworld.gates import MIN_ZERO_SHOT, pair_accuracies, zero_shot

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
ATTEMPTS = 3
BARE_PLACE = 0.9  # how often an alt text mentions the place, in the first part of the training
HALF_KNOWN = (25.0, 75.0)  # pair accuracies in percent; when all lie here, the training ends
LOOK_PAIRS, LOOK_PICTURES, LOOK_SEED = 60, 1000, 11  # what is looked at meanwhile; the gates draw others
BARE_KEY, CLIP_KEY = 9, 10
MAX_LOGIT_SCALE = math.log(100)


def build_clip(seed: int) -> CLIP:
    """Build the CLIP with random weights from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(MODEL, PREPROCESS).train()


def train_clip(
    bare_schedule: Schedule,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
) -> CLIP:
    """Train a CLIP contrastively on pictures and alt texts: first of shapes and places, then with details.

    The second part ends when the model half knows every detail, or with the schedule. If the model then does not
    know shapes and places, the first part goes on from where it ended, once more as long, and the second begins
    again. Checkpoints go to `folder`, from which a killed run goes on.
    """
    model = build_clip(seed).to(device)
    clip = Clip(
        model=model,
        architecture="miniature",
        source="miniature",
        weights=None,
        input=TowerInput.of(model),
        config=MODEL,
    )
    mentioned = torch.zeros(len(SHAPES), len(NAMES))

    def loss(batch: int, place: float, random: torch.Generator) -> Tensor:
        scenes = draw(batch, random)
        texts = clip.tokenizer(alt_texts(scenes, mentioned, place, random)).to(device)
        pixels = clip.input.from_rgb(render(scenes.to(device)).rgb)
        scale = model.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
        logits = scale * model.encode_image(pixels, normalize=True) @ model.encode_text(texts, normalize=True).T
        labels = torch.arange(batch, device=device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

    def half_known() -> bool:
        model.eval()
        accuracies = pair_accuracies(clip, LOOK_SEED, LOOK_PAIRS)
        model.train()
        mentioned.copy_(mentions(accuracies))
        return all(HALF_KNOWN[0] <= accuracy <= HALF_KNOWN[1] for accuracy in accuracies)

    def zero_shot_accuracy() -> float:
        model.eval()
        accuracy = zero_shot(clip, LOOK_SEED, LOOK_PICTURES)
        model.train()
        return accuracy

    for attempt in range(ATTEMPTS):
        # the first attempt has the keys and so the bytes that it had before there were others
        number, again = (f"-{attempt}", (attempt,)) if attempt else ("", ())
        bare = folder / f"clip-bare{number}.pt"
        mentioned.zero_()
        fit(
            model,
            partial(loss, bare_schedule.batch, BARE_PLACE),
            bare_schedule,
            key=(seed, BARE_KEY, *again),
            checkpoint=bare,
            title="CLIP, shapes and places",
        )
        fit(
            model,
            partial(loss, schedule.batch, PLACE_MENTIONED),
            schedule,
            key=(seed, CLIP_KEY, *again),
            checkpoint=folder / f"clip{number}.pt",
            title="CLIP, details",
            enough=half_known,
        )
        if zero_shot_accuracy() >= MIN_ZERO_SHOT or attempt + 1 == ATTEMPTS:
            break
        model.load_state_dict(read_content(bare)["model"])
    return model.eval()


def save_clip(model: CLIP, folder: Path) -> None:
    """Write an open_clip folder; weights in float16, since most of them are words that the world never says."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
