"""transformers' LLaVA: one folder with the whole model and its processor."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from transformers import (
    AutoProcessor,
    GenerationConfig,
    LlavaImageProcessorPil,
)

from diva.errors import Damaged, Invalid, Mismatch, Unsupported
from diva.pretrained import load_pretrained, save_pretrained
from diva.progress import phase
from diva.towers import TowerInput
from diva.towers.formats.image_processor import INTERPOLATIONS
from diva.towers.formats.transformers_trunks import plain_name, renamed
from diva.towers.state_dict_diff import state_dict_diff
from diva_downstream.llava.chat import Chat
from diva_downstream.llava.conversation import IMAGE, VICUNA_V1
from diva_downstream.llava.encode import image_mark
from diva_downstream.llava.formats.content import (
    EMBEDDING,
    PROJECTOR,
    TOWERS,
    Llava,
    image_tokens,
    is_siglip,
    patch_count,
)
from diva_downstream.llava.formats.families import FAMILIES, GRID
from diva_downstream.llava.formats.loading import (
    SENTENCEPIECE,
    load_image_processor,
    load_model,
    load_tokenizer,
)
from diva_downstream.llava.formats.vocabulary import with_image_token
from diva_downstream.llava.record import read_record

# a tower's tensor in a file, as every version of transformers writes it, or in the running model
TOWER_NAME = re.compile(r"^(model\.)?vision_tower\.(vision_model\.)?")
# what every tower's image processor does; one that leaves something out is not carried over
STEPS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}


def read_transformers(folder: Path, fields: Mapping[str, Any]) -> Llava:
    """Read a folder of transformers' LLaVA, whose configuration has `fields`.

    Raises:
        InputError: files are missing or damaged.
    """
    for part in ("text_config", "vision_config"):  # without one, transformers builds one of billions of weights
        if not isinstance(fields.get(part), dict):
            raise Damaged(folder / "config.json", f"has no {part}; fetch it again")
    family = FAMILIES[str(fields.get("model_type"))]
    model = load_model(family.model, folder)
    config: Any = model.config
    if not isinstance(config.vision_feature_layer, int):
        raise Invalid(folder, "vision_feature_layer", "several layers; one is read here")
    if config.vision_config.model_type not in TOWERS:
        raise Unsupported(
            folder, f"has a tower of type '{config.vision_config.model_type}'; known: {', '.join(TOWERS)}"
        )
    processor = load_image_processor(folder)
    siglip = is_siglip(config.vision_config)
    record = read_record(folder)
    return Llava(
        folder,
        config.text_config,
        load_tokenizer(folder),
        _with_stored_tower(model.state_dict(), folder),
        vision=config.vision_config,
        image=_tower_input(processor, config.vision_config.image_size, folder),
        feature_layer=config.vision_feature_layer,
        class_token=config.vision_feature_select_strategy == "full" and not siglip,
        # the published conversions come with CLIP's processor, which crops; LLaVA-1.5 was trained on padded images
        pad_to_square=not isinstance(processor, LlavaImageProcessorPil) or bool(processor.do_pad),
        chat_template=_own_template(folder) if family.cuts or (record and record.template == "chat") else None,
        family=family,
        own={name: getattr(config, name) for name in family.own},
    )


@phase("writing the LLaVA")
def write_transformers(llava: Llava, folder: Path) -> None:
    """Write a complete `llava` into the existing `folder`; the language model's dtype is the one it loads in.

    Raises:
        InputError: the tower has fewer layers than the projector reads from.
    """
    assert llava.vision is not None, "a LLaVA is written with its tower"
    llava = with_image_token(llava)
    model = assembled(llava)
    model.generation_config = generation_config(llava)
    save_pretrained(model, folder)
    _set_dtype(folder / "config.json", llava.state[EMBEDDING].dtype)
    _processor(llava, model.config).save_pretrained(folder)
    if (llava.source / SENTENCEPIECE).is_file():
        shutil.copy(llava.source / SENTENCEPIECE, folder)


def assembled(llava: Llava) -> Any:
    """Return the model of a complete `llava` that has `<image>`, with its very tensors; it cannot run.

    Raises:
        InputError: they are not those of its configuration.
    """
    with torch.device("meta"):
        model = llava.family.model(_config(llava))
    wanted, found = model.state_dict(), llava.state
    misshapen = [key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape]
    problem = state_dict_diff(wanted.keys() - found.keys(), found.keys() - wanted.keys(), misshapen)
    if problem:
        raise Damaged(llava.source, f"does not fit its configuration: {problem}; fetch it again")
    model.load_state_dict(found, assign=True)
    model.tie_weights()
    return model


def generation_config(llava: Llava) -> GenerationConfig:
    """Return greedy decoding until the end of the answer, as the template has it, or of the text.

    Raises:
        InputError: the language model's own template has no such end.
    """
    tokenizer, ends = llava.tokenizer, [llava.tokenizer.eos_token_id]
    if llava.chat_template:
        chat = Chat(tokenizer, llava.chat_template, llava.source, says_end=not llava.family.cuts)
        ends.append(tokenizer.convert_tokens_to_ids(chat.end))
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(dict.fromkeys(ends)) if len(set(ends)) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
    )


def _own_template(folder: Path) -> str:
    template = load_pretrained(AutoProcessor, folder).chat_template
    if not template:
        raise Damaged(folder, "has no chat template; fetch it again")
    return str(template)


def _tower_input(processor: Any, side: int, folder: Path) -> TowerInput:
    """Return what an image processor of transformers' does before a tower of `side` pixels, apart from padding."""
    for field, value in STEPS.items():
        if getattr(processor, field) != value:
            raise Unsupported(
                folder, f"{field} of its image processor is {getattr(processor, field)}; only {value} is known"
            )
    if processor.resample not in INTERPOLATIONS:
        raise Unsupported(folder, f"resample of its image processor is {processor.resample}; 2 and 3 are known")
    return TowerInput(
        size=(side, side),
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        interpolation=INTERPOLATIONS[processor.resample],
        resize_mode="shortest" if processor.do_center_crop else "squash",
    )


def _with_stored_tower(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Put the tower's tensors as they are stored, in full precision, in the place of those that were rounded."""
    names = {plain_name(TOWER_NAME.sub("", key)): key for key in state if TOWER_NAME.match(key)}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            towers = [key for key in file.keys() if TOWER_NAME.match(key)]  # noqa: SIM118
            stored = renamed({TOWER_NAME.sub("", key): file.get_tensor(key) for key in towers})
        state |= {names[key]: value for key, value in stored.items() if key in names}
    return state


def _config(llava: Llava) -> Any:
    vision, layers = llava.vision, llava.vision.num_hidden_layers
    if not -layers <= llava.feature_layer + 1 <= layers + 1:
        raise Mismatch("--tower", f"has {layers} layers, and the projector reads layer {llava.feature_layer}")
    text = _own_fields(llava.text) | {"vocab_size": len(llava.state[EMBEDDING])}
    length = {"image_seq_length": image_tokens(vision, class_token=llava.class_token)}
    return llava.family.config(
        vision_config=_own_fields(vision),
        text_config=text,
        image_token_index=llava.tokenizer.get_vocab()[IMAGE],
        **(length if hasattr(llava.family.config, "image_seq_length") else {}),
        vision_feature_layer=llava.feature_layer,
        vision_feature_select_strategy="full" if is_siglip(vision) or llava.class_token else "default",
        multimodal_projector_bias=f"{PROJECTOR}linear_1.bias" in llava.state,
        tie_word_embeddings=llava.text.tie_word_embeddings,
        **llava.own,
    )


def _own_fields(config: Any) -> dict[str, Any]:
    """Return the fields that a configuration's class knows; others, such as `auto_map`, are not passed on."""
    known = type(config)().to_dict()
    return {key: value for key, value in config.to_dict().items() if key in known}


def _processor(llava: Llava, config: Any) -> Any:
    assert llava.image is not None, "a tower knows what it wants to see"
    mark, seen = image_mark(llava.tokenizer), _pixels(llava.image)
    kind, vision = llava.family, config.vision_config
    tokens = image_tokens(vision, class_token=llava.class_token)
    own = {GRID: llava.own[GRID]} if kind.cuts else {"do_pad": llava.pad_to_square}
    videos = {"video_processor": kind.video_processor(**seen)} if kind.video_processor else {}
    return kind.processor(
        image_processor=kind.image_processor(**own, **seen),
        tokenizer=llava.tokenizer,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=(llava.chat_template or VICUNA_V1).replace(f"{IMAGE}\\n", f"{mark}\\n"),
        **kind.counts(config, patch_count(vision), tokens),
        **videos,
    )


def _pixels(image: TowerInput) -> dict[str, Any]:
    """Return what an image processor is told of the tower's input."""
    height, width = image.size
    squash = image.resize_mode == "squash"
    return {
        "size": {"height": height, "width": width} if squash else {"shortest_edge": height},
        "do_center_crop": not squash,
        "crop_size": {"height": height, "width": width},
        "resample": Image.Resampling[image.interpolation.upper()].value,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
    }


def _set_dtype(path: Path, dtype: torch.dtype) -> None:
    """Let the folder load in the language model's dtype; transformers writes the tower's, which comes first."""
    fields = json.loads(path.read_text())
    fields["dtype"] = str(dtype).removeprefix("torch.")
    path.write_text(json.dumps(fields, indent=2) + "\n")
