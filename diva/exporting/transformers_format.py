"""A tower as transformers and LLaVA read it: `from_pretrained(FOLDER)`, offline."""

from pathlib import Path

from transformers import PreTrainedModel

from diva.exporting.processors import write_image_processor, write_transformers_tokenizer
from diva.exporting.transformers_model import is_siglip, vision_model, whole_model
from diva.pretrained import save_pretrained
from diva.towers import Clip
from diva.towers.formats.transformers_keys import with_prefix


def fill_transformers(clip: Clip, folder: Path) -> None:
    """Write `clip` into the existing `folder`: a `CLIPModel` or `SiglipModel`, its image processor and tokenizer.

    Without a text tower it is a `CLIPVisionModelWithProjection`, `SiglipVisionModel`, `Dinov2Model` or
    `DINOv3ViTModel`.

    Raises:
        InputError: transformers has no such model.
    """
    save_model(whole_model(clip), folder)
    write_image_processor(clip.input, folder, siglip=is_siglip(clip))
    if clip.has_text:
        write_transformers_tokenizer(clip, folder)


def fill_llava(clip: Clip, folder: Path) -> None:
    """Write `clip` into `folder` as the tower that LLaVA's `mm_vision_tower` and transformers' LLaVA expect.

    It is a vision model of CLIP's, SigLIP's or a DINO's with its image processor: LLaVA reads patch tokens off a
    hidden state, so there is no projection to the joint space.
    """
    save_model(vision_model(clip), folder)
    write_image_processor(clip.input, folder, siglip=is_siglip(clip))


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write configuration and weights into `folder`, under the names that transformers 4 and 5 both load.

    transformers 5 drops the prefix of a vision model that is saved alone; 4, which LLaVA's own code runs on, would
    fill in random weights without it.
    """
    # to leave defaults out of the file, transformers builds a default configuration and warns of it
    save_pretrained(model, folder, state_dict=with_prefix(model.state_dict()))
