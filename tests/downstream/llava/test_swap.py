"""Putting other towers into LLaVAs: what is kept, what is new, and that the folder then works as a whole."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from skimage import data
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoProcessor
from transformers import LlavaForConditionalGeneration as TransformersLlava

from diva.errors import Invalid, Mismatch, Missing, Occupied, Unwritable
from diva.exporting.transformers_format import fill_llava
from diva.seal import seal
from diva.towers import load_clip
from diva.towers.checkpoint import file_sha256
from diva_downstream.llava.convert import convert
from diva_downstream.llava.formats import read_llava
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from tests.fixtures.image_only import write_timm
from tests.fixtures.llava import tiny_llava, tiny_original_llava
from tests.fixtures.towers import tiny_clip, tiny_siglip, tiny_vit_h

PROJECTOR = "model.multi_modal_projector."


def state_of(folder: Path) -> dict[str, Tensor]:
    return TransformersLlava.from_pretrained(folder).state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor], part: str) -> bool:
    keys = [key for key in first if key.startswith(part)]
    assert keys
    return all(torch.equal(first[key], second[key]) for key in keys)


def photograph() -> Image.Image:
    return Image.fromarray(data.coffee())


@torch.no_grad()
def ask(folder: Path) -> tuple[int, Tensor]:
    """Return how many image tokens a question has and the logits behind it."""
    processor = AutoProcessor.from_pretrained(folder)
    said = [{"type": "image", "image": photograph()}, {"type": "text", "text": "What is it?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": said}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    model = TransformersLlava.from_pretrained(folder)
    return int((inputs["input_ids"] == model.config.image_token_id).sum()), model(**inputs).logits


def test_a_tower_of_the_same_shape_keeps_the_projector(
    llava_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    swap(llava_folder, str(tower_folder), tmp_path / "out")
    before, after = state_of(llava_folder), state_of(tmp_path / "out")
    for part in (PROJECTOR, "model.language_model.layers."):
        assert same(before, after, part)
    fill_llava(load_clip(str(tower_folder)), tmp_path / "tower")
    exported = AutoModel.from_pretrained(tmp_path / "tower").state_dict()
    assert {key: value for key, value in after.items() if key.startswith("model.vision_tower.")}.keys() == {
        f"model.vision_tower.{key}" for key in exported
    }
    assert all(torch.equal(after[f"model.vision_tower.{key}"], value) for key, value in exported.items())


def test_the_record_says_what_was_swapped_and_that_nothing_was_trained(
    llava_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    swap(llava_folder, str(tower_folder), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "diva_swap.json").read_text())
    assert len(written.pop("model_sha256")) == 64
    assert written == {
        "projector": "kept",
        "retrained": False,
        "model": str(llava_folder),
        "tower": str(tower_folder),
        "tower_weights": None,
        "template": "vicuna_v1",
        "tower_architecture": load_clip(str(tower_folder)).architecture,
        "tower_sha256": file_sha256(tower_folder / "open_clip_model.safetensors"),
        "stages": [],
    }
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record.state, record.needs_stage_1) == ("zero-retrain", False)


def test_the_record_knows_tower_and_language_model_by_their_weights(llava_folder: Path, tmp_path: Path) -> None:
    towers = [str(tiny_clip(tmp_path / f"tower-{seed}", seed=seed)) for seed in (0, 1)]
    other = tiny_llava(tmp_path / "other", seed=1)
    pairs = [(llava_folder, towers[0]), (llava_folder, towers[1]), (other, towers[0])]
    first, retowered, respoken = (
        swap(model, tower, tmp_path / str(number)) for number, (model, tower) in enumerate(pairs)
    )
    assert (first.model_sha256 == retowered.model_sha256, first.tower_sha256 == retowered.tower_sha256) == (
        True,
        False,
    )
    assert (first.model_sha256 == respoken.model_sha256, first.tower_sha256 == respoken.tower_sha256) == (
        False,
        True,
    )


@pytest.mark.parametrize(
    ("write", "what", "tokens", "patch", "strategy", "additional"),
    [(tiny_vit_h, "width", 9, 14, "default", 1), (tiny_siglip, "family", 16, 8, "full", 0)],
    ids=["wider", "without a class token"],
)
def test_a_tower_of_another_shape_gets_a_fresh_projector_where_the_user_says_so_and_its_own_tokens(
    write: object,
    what: str,
    tokens: int,
    patch: int,
    strategy: str,
    additional: int,
    llava_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tower = write(tmp_path / "tower")  # type: ignore[operator]
    with pytest.raises(Mismatch, match=rf"--tower: .*{what}.*--fresh-projector"):
        swap(llava_folder, str(tower), tmp_path / "out")
    record = swap(llava_folder, str(tower), tmp_path / "out", fresh_projector=True)
    assert (record.projector, record.needs_stage_1, record.state) == ("fresh", True, "zero-retrain")
    assert "train stage 1" in capsys.readouterr().err
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["image_seq_length"], config["vision_feature_select_strategy"]) == (tokens, strategy)
    assert config["vision_feature_layer"] == -2
    processor = json.loads((tmp_path / "out" / "processor_config.json").read_text())
    assert (processor["patch_size"], processor["num_additional_image_tokens"]) == (patch, additional)
    assert processor["vision_feature_select_strategy"] == strategy
    found, logits = ask(tmp_path / "out")
    assert found == tokens
    assert logits.isfinite().all()
    assert same(state_of(llava_folder), state_of(tmp_path / "out"), "model.language_model.layers.")


def test_a_fresh_projector_comes_from_its_seed(llava_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        swap(llava_folder, str(tower_folder), tmp_path / name, fresh_projector=True, seed=seed)
    a, b, c = (state_of(tmp_path / name) for name in "abc")
    assert same(a, b, PROJECTOR)
    assert not same(a, c, f"{PROJECTOR}linear_1.weight")
    assert not same(a, state_of(llava_folder), f"{PROJECTOR}linear_1.weight")


def test_a_swap_into_the_original_format_writes_transformers(
    original_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    record = swap(original_folder, str(tower_folder), tmp_path / "out")
    assert record.projector == "kept"
    theirs = torch.load(sorted(original_folder.glob("pytorch_model-*.bin"))[-1], weights_only=True)
    ours = state_of(tmp_path / "out")
    assert torch.equal(ours[f"{PROJECTOR}linear_2.weight"], theirs["model.mm_projector.2.weight"])
    assert ask(tmp_path / "out")[0] == 16


def test_a_language_model_becomes_a_llava(language_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    record = swap(language_folder, str(tower_folder), tmp_path / "out")
    assert record.needs_stage_1
    words = AutoModelForCausalLM.from_pretrained(language_folder).state_dict()
    ours = state_of(tmp_path / "out")
    rows = len(words["lm_head.weight"])
    assert torch.equal(ours["lm_head.weight"][:rows], words["lm_head.weight"])
    assert torch.equal(ours["model.language_model.norm.weight"], words["model.norm.weight"])
    assert ask(tmp_path / "out")[1].shape[-1] == len(ours["lm_head.weight"]) > rows


def test_a_tied_language_model_stays_tied(language_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=512, num_key_value_heads=2, tie_word_embeddings=True, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "qwen")
    AutoTokenizer.from_pretrained(language_folder).save_pretrained(tmp_path / "qwen")
    swap(tmp_path / "qwen", str(tower_folder), tmp_path / "out")
    model = TransformersLlava.from_pretrained(tmp_path / "out")
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert len(model.lm_head.weight) == 512  # <image> fits among the rows that the tokenizer left free
    assert ask(tmp_path / "out")[1].isfinite().all()


def test_a_model_in_half_precision_stays_so_and_its_tower_is_stored_in_full(
    llava_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    TransformersLlava.from_pretrained(llava_folder, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    AutoProcessor.from_pretrained(llava_folder).save_pretrained(tmp_path / "half")
    swap(tmp_path / "half", str(tower_folder), tmp_path / "out")
    assert {value.dtype for value in state_of(tmp_path / "out").values()} == {torch.bfloat16}
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        dtypes = {"vision_tower" in key: file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert dtypes == {True: torch.float32, False: torch.bfloat16}


@pytest.mark.parametrize(
    ("name", "tokens", "patch", "additional"),
    [("vit_small_patch14_dinov2", 16, 14, 1), ("gated", 16, 14, 1), ("dinov3", 20, 16, 5)],
)
def test_an_image_tower_without_text_goes_in_and_is_read_again_in_full_precision(
    name: str, tokens: int, patch: int, additional: int, llava_folder: Path, tmp_path: Path
) -> None:
    write_timm(tmp_path / "tower", name)
    TransformersLlava.from_pretrained(llava_folder, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    AutoProcessor.from_pretrained(llava_folder).save_pretrained(tmp_path / "half")
    swap(tmp_path / "half", str(tmp_path / "tower"), tmp_path / "out", fresh_projector=True)
    processor = json.loads((tmp_path / "out" / "processor_config.json").read_text())
    assert (processor["patch_size"], processor["num_additional_image_tokens"]) == (patch, additional)
    found, logits = ask(tmp_path / "out")
    assert (found, bool(logits.isfinite().all())) == (tokens, True)
    again = read_llava(tmp_path / "out")
    tower = {key: value for key, value in again.state.items() if key.startswith("model.vision_tower.")}
    assert {value.dtype for value in tower.values()} == {torch.float32}
    fill_llava(load_clip(str(tmp_path / "tower")), tmp_path / "exported")
    exported = AutoModel.from_pretrained(tmp_path / "exported").state_dict()
    assert all(torch.equal(tower[f"model.vision_tower.{key}"], value) for key, value in exported.items())
    with pytest.raises(Invalid, match=r"'\w+'.*CLIP.*SigLIP"):
        convert(tmp_path / "out", tmp_path / "original", to="original")


def test_images_are_padded_with_the_mean_colour_as_llava_pads_them(
    llava_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    swap(llava_folder, str(tower_folder), tmp_path / "out")
    tower_input = load_clip(str(tower_folder)).input
    image = photograph()  # 600 x 400
    colour = tuple(int(255 * mean) for mean in tower_input.mean)
    square = ImageOps.pad(image, (600, 600), color=colour)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out", backend="pil")
    ours = processor(image, return_tensors="pt").pixel_values[0]
    torch.testing.assert_close(ours, tower_input.image_transform()(square), atol=1e-5, rtol=0)


def test_a_projector_whose_tower_is_unknown_is_not_kept_in_silence(tower_folder: Path, tmp_path: Path) -> None:
    folder = tiny_original_llava(tmp_path / "original")
    (folder / "vision_tower").rename(tmp_path / "elsewhere")
    with pytest.raises(Missing, match="--fresh-projector"):
        swap(folder, str(tower_folder), tmp_path / "out")
    assert swap(folder, str(tower_folder), tmp_path / "out", fresh_projector=True).projector == "fresh"


def test_a_place_that_holds_something_else_is_kept(llava_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(Occupied, match="out:"):
        swap(llava_folder, str(tower_folder), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_tower_is_not_replaced_by_the_llava_that_it_goes_into(
    llava_folder: Path, tiny_names: dict[str, str], tmp_path: Path
) -> None:
    tower = tiny_clip(tmp_path / "tower")
    seal(tower)  # a folder of ours, which an export may replace
    weights = tower / "open_clip_model.safetensors"
    for name, checkpoint in (
        (str(tower), None),
        (f"local-dir:{tower}", None),
        (tiny_names["openai-like"], weights),
    ):
        with pytest.raises(Unwritable, match=r"tower: .*open_clip_model\.safetensors"):
            swap(llava_folder, name, tower, checkpoint=checkpoint)
    assert weights.is_file()


def test_a_language_model_is_not_replaced_by_the_llava_that_it_goes_into(
    original_folder: Path, language_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    words = Path(shutil.copytree(language_folder, tmp_path / "words"))
    seal(words)
    projector = tmp_path / "projector"
    projector.mkdir()
    shutil.copy(original_folder / "config.json", projector)
    state = torch.load(sorted(original_folder.glob("pytorch_model-*.bin"))[-1], weights_only=True)
    torch.save(
        {key: value for key, value in state.items() if "mm_projector" in key}, projector / "mm_projector.bin"
    )
    with pytest.raises(Unwritable, match=f"{words}"):
        swap(projector, str(tower_folder), words, language_model=words, fresh_projector=True)
    with pytest.raises(Unwritable, match=f"{words}"):
        convert(projector, words, to="transformers", language_model=words)
    assert (words / "tokenizer_config.json").is_file()


def test_a_projector_of_another_patch_count_is_replaced_where_the_user_says_so(
    llava_folder: Path, tmp_path: Path
) -> None:
    from tests.fixtures.towers import SHORTEST, tiny_clip_config, write_open_clip

    config = tiny_clip_config()
    config["vision_cfg"]["image_size"] = 48
    tower = write_open_clip(tmp_path / "tower", config, SHORTEST)
    with pytest.raises(Mismatch, match="--tower:"):
        swap(llava_folder, str(tower), tmp_path / "out")
    assert swap(llava_folder, str(tower), tmp_path / "out", fresh_projector=True).projector == "fresh"
    assert ask(tmp_path / "out")[0] == 36


def test_two_swaps_of_the_same_things_write_the_same_bytes(llava_folder: Path, tmp_path: Path) -> None:
    tower = tiny_clip(tmp_path / "tower", seed=5)
    for name in ("a", "b"):
        swap(llava_folder, str(tower), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
