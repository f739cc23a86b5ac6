"""`diva llava swap`: another tower in a LLaVA's place of its tower."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from transformers import LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from diva.errors import Mismatch, Missing, Unknown, did_you_mean
from diva.exporting.folder import check_replaceable, complete_folder
from diva.exporting.transformers_model import vision_model
from diva.towers import Clip, load_clip
from diva_downstream.llava.chat import own_template
from diva_downstream.llava.formats import Llava, read_llava, write_transformers
from diva_downstream.llava.formats.content import PROJECTOR, TOWER, image_tokens, is_siglip, patch_count
from diva_downstream.llava.formats.families import GRID
from diva_downstream.llava.record import SwapRecord, write_record

TEMPLATES = ("vicuna_v1", "chat")


def swap(
    model: Path,
    tower: str,
    out: Path,
    *,
    checkpoint: Path | None = None,
    language_model: Path | None = None,
    fresh_projector: bool = False,
    template: str | None = None,
    seed: int = 0,
) -> SwapRecord:
    """Write the LLaVA in `model` to `out` with `tower` in it, in transformers' format, and say what is to be done.

    The projector is kept; where there is none, or a fresh one is asked for, it is a new one of random weights.

    Args:
        model: a LLaVA-1.5 in either format, a LLaVA-NeXT or LLaVA-OneVision in transformers', or a language model
            that is to become a LLaVA-1.5.
        tower, checkpoint: as for `diva.towers.load_clip`.
        language_model: for an original folder of a projector or adapters alone.
        fresh_projector: start it anew where there is one.
        template: "vicuna_v1", or "chat" for a language model's own; unless given, what the model has, or vicuna_v1.
        seed: of a new projector.

    Raises:
        InputError: the model, the tower or `out` cannot be used, or the projector that is to be kept was trained
            behind a tower of another family, width or number of patches; nothing has been written then.
    """
    if template not in (None, *TEMPLATES):
        raise Unknown("--template", f"there is no '{template}'; {did_you_mean(template, TEMPLATES)}")
    check_replaceable(out, model)  # before anything large is read
    llava = read_llava(model, language_model)
    _choose_template(llava, template)
    clip = load_clip(tower, checkpoint)
    kept = not fresh_projector and llava.has_projector
    put_tower(llava, clip, keep_projector=kept, seed=seed)
    record = SwapRecord(
        projector="kept" if kept else "fresh",
        model=str(model),
        model_sha256=llava.sha256,
        tower=tower,
        tower_weights=str(checkpoint) if checkpoint else None,
        template="chat" if llava.chat_template else "vicuna_v1",
        tower_architecture=clip.architecture,
        tower_sha256=clip.sha256,
    )
    sources = [path for path in (model, language_model, clip.weights) if path]
    with complete_folder(out, *sources) as content:
        write_transformers(llava, content)
        write_record(record, content)
    _say(record, llava, out)
    return record


def put_tower(llava: Llava, clip: Clip, *, keep_projector: bool, seed: int = 0) -> None:
    """Put the image tower of `clip` into `llava`, with the projector that is there or a new one of random weights.

    Raises:
        InputError: transformers has no such tower, or the projector was trained behind one of another shape.
    """
    new = vision_model(clip)
    if keep_projector:
        _check_fit(llava, new.config)
    if is_siglip(new.config):
        llava.class_token = False
    if llava.family.cuts:
        _resize_grid(llava, new.config)
        _keep_layer(llava, new.config)
    llava.vision, llava.image = new.config, clip.input
    llava.replace_part(TOWER, new.state_dict())
    if not keep_projector:
        llava.replace_part(PROJECTOR, _projector(llava, seed))


def _choose_template(llava: Llava, template: str | None) -> None:
    if template == "vicuna_v1":
        llava.chat_template = None
    elif template == "chat" and llava.chat_template is None:
        if llava.has_projector:
            raise Mismatch(
                "--template", f"{llava.source} was trained with vicuna_v1; give its language model for chat"
            )
        llava.chat_template = own_template(llava.tokenizer, llava.source)


def _check_fit(llava: Llava, new: Any) -> None:
    """Check that the projector read a tower of the same geometry."""
    old = llava.vision
    if old is None:
        raise Missing(
            llava.source / "config.json",
            "mm_vision_tower",
            "is not on this machine, so the projector's tower is"
            " unknown; put the tower's folder into the model's, or give --fresh-projector",
        )
    for what, of in (
        ("family", lambda config: config.model_type),
        ("width", lambda config: config.hidden_size),
        ("patches", patch_count),
    ):
        if of(old) != of(new):
            raise Mismatch(
                "--tower",
                f"differs in {what} from the tower that the projector of {llava.source} was trained"
                " behind; give --fresh-projector to start one anew, which stage 1 then trains",
            )


def _resize_grid(llava: Llava, new: Any) -> None:
    """Give AnyRes's sizes as many pieces of the new tower's size as they had of the old one's."""
    if new.model_type != llava.vision.model_type:
        raise Mismatch(
            "--tower",
            f"is of another family than that of {llava.source}, a {llava.family.name}; swap within one",
        )
    old = llava.vision.image_size
    llava.own[GRID] = [[side // old * new.image_size for side in size] for size in llava.own[GRID]]


def _keep_layer(llava: Llava, new: Any) -> None:
    """Read as many blocks of the new tower as of the old one: LLaVA-OneVision's lacks SigLIP's last block."""
    old, layer = llava.vision.num_hidden_layers, llava.feature_layer
    llava.feature_layer = (layer if layer >= 0 else layer + old + 1) - (new.num_hidden_layers + 1)


def _projector(llava: Llava, seed: int) -> dict[str, torch.Tensor]:
    config = LlavaConfig(vision_config=llava.vision.to_dict(), text_config=llava.text.to_dict())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlavaMultiModalProjector(config).state_dict()


def _say(record: SwapRecord, llava: Llava, out: Path) -> None:
    console = Console(stderr=True)
    tokens = f"{image_tokens(llava.vision, class_token=llava.class_token)} tokens for each"
    each = f"{tokens} piece of an image" if llava.family.cuts else f"{tokens} image"
    console.print(Text(f"wrote {out}: {record.tower_architecture}, {each}"), soft_wrap=True)
    if record.template == "vicuna_v1" and record.projector == "fresh" and llava.tokenizer.chat_template:
        console.print("it is asked by LLaVA-1.5's template; --template chat asks it by its own")
    if record.projector == "kept":
        console.print("the projector is kept: it may be measured as it is (zero-retrain), or trained again")
    else:
        console.print(
            "the projector is new and random: train stage 1, then stage 2, before its answers mean anything",
            style="yellow",
        )
