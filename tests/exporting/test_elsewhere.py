"""The exports in a process that has never heard of us: open_clip and transformers, with equal embeddings."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from diva.exporting.command import export
from diva.towers import load_clip
from tests.exporting.conftest import FinishedRun

SCRIPT = """
import sys
import open_clip, torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoImageProcessor, AutoModel, AutoProcessor

root, texts = sys.argv[1], ["a photo of a cat", "two people"]
photograph = Image.open(f"{root}/photograph.png")
found = {}
with torch.no_grad():
    for family in sys.argv[2:]:
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{root}/{family}/open_clip")
        tokens = open_clip.get_tokenizer(f"local-dir:{root}/{family}/open_clip")(texts)
        model.eval()
        found[f"{family}/open_clip/image"] = model.encode_image(preprocess(photograph)[None])
        found[f"{family}/open_clip/text"] = model.encode_text(tokens)
        model = AutoModel.from_pretrained(f"{root}/{family}/transformers")
        processor = AutoProcessor.from_pretrained(f"{root}/{family}/transformers", backend="pil")
        inputs = processor(
            text=texts, images=photograph, padding="max_length", truncation=True, return_tensors="pt"
        )
        found[f"{family}/transformers/image"] = model.get_image_features(inputs.pixel_values).pooler_output
        found[f"{family}/transformers/text"] = model.get_text_features(inputs.input_ids).pooler_output
        tower = AutoModel.from_pretrained(f"{root}/{family}/llava")
        pixels = AutoImageProcessor.from_pretrained(f"{root}/{family}/llava", backend="pil")(
            photograph, return_tensors="pt"
        ).pixel_values
        found[f"{family}/llava/tokens"] = tower(pixels, output_hidden_states=True).hidden_states[-2]
        whole = model.vision_model(pixels, output_hidden_states=True).hidden_states[-2]
        found[f"{family}/transformers/tokens"] = whole
assert not [name for name in sys.modules if name.split(".")[0] in ("diva", "tests")]
save_file({key: value.contiguous() for key, value in found.items()}, f"{root}/found.safetensors")
"""


@pytest.mark.timeout(300)
def test_other_programs_load_every_export_with_equal_embeddings(
    finished_run: FinishedRun, tiny_towers: dict[str, Path], photographs: list[Image.Image], tmp_path: Path
) -> None:
    towers = tiny_towers | {"openai-like": finished_run.folder}
    for family, folder in towers.items():
        for to in ("open_clip", "transformers", "llava"):
            export(folder, tmp_path / family / to, to=to)
    photographs[0].save(tmp_path / "photograph.png")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *towers]
    # from an empty folder, so that neither the checkout nor the tests can be imported by accident
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(command, cwd=tmp_path / "elsewhere", check=True, capture_output=True, text=True)
    found = load_file(tmp_path / "found.safetensors")
    for family, folder in towers.items():
        clip = load_clip(str(folder))
        with torch.no_grad():
            image = clip.tower(clip.input.image_transform()(photographs[0])[None]).pooled
            text = clip.encode_text(["a photo of a cat", "two people"])
        for library in ("open_clip", "transformers"):
            torch.testing.assert_close(found[f"{family}/{library}/image"], image, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found[f"{family}/{library}/text"], text, atol=1e-5, rtol=1e-5)
        assert torch.equal(found[f"{family}/llava/tokens"], found[f"{family}/transformers/tokens"])
