"""Whether a tower works inside a LLaVA: one as small as can be, made on the spot."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from diva.pretrained import load_pretrained
from diva.towers import Clip
from diva.towers.quiet import quiet
from diva_downstream.llava.conversation import IMAGE, SYSTEM
from diva_downstream.llava.formats import read_llava, write_transformers
from diva_downstream.llava.formats.loading import load_model
from diva_downstream.llava.miniature import learn_tokenizer, random_llama, write_language_model
from diva_downstream.llava.swap import put_tower

SIZE = (90, 60)  # of a picture, in pixels
WORDS = 2


def generates(clip: Clip) -> bool:
    """Swap the image tower of `clip` into a LLaVA of random weights, write it, read it, and let it answer.

    Returns:
        Whether the picture became as many tokens as the processor counts, and every score of an answer is finite.

    Raises:
        InputError: transformers has no model of such a tower.
    """
    with TemporaryDirectory() as folder, quiet("transformers"):
        language, whole = Path(folder) / "language", Path(folder) / "llava"
        for place in (language, whole):
            place.mkdir()
        tokenizer = learn_tokenizer([SYSTEM])
        write_language_model(random_llama(tokenizer, seed=0), tokenizer, language)
        llava = read_llava(language)
        put_tower(llava, clip, keep_projector=False)
        write_transformers(llava, whole)
        model: Any = load_model(LlavaForConditionalGeneration, whole)
        processor: Any = load_pretrained(LlavaProcessor, whole)
    inputs = processor(images=Image.new("RGB", SIZE), text=f"USER: {IMAGE}\nWhat?", return_tensors="pt")
    with torch.no_grad():
        answer = model.generate(
            **inputs, max_new_tokens=WORDS, min_new_tokens=WORDS, output_scores=True, return_dict_in_generate=True
        )
    counted = int((inputs["input_ids"] == model.config.image_token_id).sum())
    scores = torch.stack(answer.scores)
    return counted == model.config.image_seq_length and not bool(scores.isnan().any())
