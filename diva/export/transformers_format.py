"""A tower as transformers reads it: `from_pretrained(FOLDER)`, offline."""

from pathlib import Path

from transformers import PreTrainedModel

from diva.export.folder import complete_folder
from diva.export.processors import write_image_processor, write_transformers_tokenizer
from diva.export.transformers_model import is_siglip, vision_model, whole_model
from diva.towers import Clip
from diva.towers.quiet import quiet


def write_transformers(clip: Clip, folder: Path) -> None:
    """Write `clip` as a `CLIPModel` or `SiglipModel` folder with its image processor and tokenizer.

    Without a text tower it is a `CLIPVisionModelWithProjection` or `SiglipVisionModel` folder.

    Raises:
        InputError: `folder` holds something that is no export, or transformers has no such model.
    """
    with complete_folder(folder) as content:
        fill_transformers(clip, content)


def fill_transformers(clip: Clip, folder: Path) -> None:
    """Write the files of transformers' format into the existing `folder`."""
    _save(whole_model(clip), folder)
    write_image_processor(clip.input, folder, siglip=is_siglip(clip))
    if clip.has_text:
        write_transformers_tokenizer(clip, folder)


def write_llava(clip: Clip, folder: Path) -> None:
    """Write `clip` as the vision tower that LLaVA's `mm_vision_tower` and transformers' LLaVA expect.

    It is a `CLIPVisionModel` or `SiglipVisionModel` with its image processor: LLaVA reads patch tokens off a hidden
    state, so there is no projection to the joint space.

    Raises:
        InputError: `folder` holds something that is no export.
    """
    with complete_folder(folder) as content:
        fill_llava(clip, content)


def fill_llava(clip: Clip, folder: Path) -> None:
    """Write the files of a LLaVA vision tower into the existing `folder`."""
    _save(vision_model(clip), folder)
    write_image_processor(clip.input, folder, siglip=is_siglip(clip))


def _save(model: PreTrainedModel, folder: Path) -> None:
    # to leave defaults out of the file, transformers builds a default configuration and warns of it
    with quiet("transformers"):
        model.save_pretrained(folder)
