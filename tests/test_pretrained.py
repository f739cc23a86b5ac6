"""Folders of diffusers and transformers: every tensor comes from the files, or the folder is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, CLIPTextModel
from transformers.utils import logging

from diva.errors import Damaged
from diva.pretrained import load_pretrained, save_pretrained
from tests.fixtures.teachers import tiny_stable_diffusion

READERS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def teacher(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "teacher"))


def change(folder: Path, name: str, value: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {name: value}))


@pytest.mark.parametrize("part", READERS)
def test_no_tensor_is_ever_drawn_at_random(teacher: Path, part: str) -> None:
    path = next((teacher / part).glob("*.safetensors"))
    state = load_file(path)
    name = sorted(state)[len(state) // 2]
    save_file({key: value for key, value in state.items() if key != name}, path, metadata={"format": "pt"})
    with pytest.raises(Damaged, match=rf"{part}: .*1.*\({name}\)"):
        load_pretrained(READERS[part], teacher, part)
    state[name] = torch.zeros([size + 1 for size in state[name].shape])
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(Damaged, match=rf"{part}"):
        load_pretrained(READERS[part], teacher, part)


@pytest.mark.parametrize("part", READERS)
def test_the_half_precision_variant_alone_is_read(teacher: Path, whole: Path, part: str) -> None:
    for path in (teacher / part).glob("*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    read, expected = (load_pretrained(READERS[part], folder, part).state_dict() for folder in (teacher, whole))
    assert all(torch.equal(value, expected[key]) for key, value in read.items())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [('"someone/somewhere"', "is not a configuration"), ("[]", "is not a configuration"), ("{", "is not JSON")],
)
def test_a_configuration_is_a_mapping(teacher: Path, content: str, sentence: str) -> None:
    (teacher / "unet" / "config.json").write_text(content)
    with pytest.raises(Damaged, match=rf"unet/config\.json: {sentence}"):
        load_pretrained(UNet2DConditionModel, teacher, "unet", field="denoiser.path: ")


def test_a_configuration_cannot_ask_for_any_number_of_layers(teacher: Path) -> None:
    change(teacher / "text_encoder", "num_hidden_layers", 10**9)
    with pytest.raises(Damaged, match=r"num_hidden_layers: 1000000000.*512"):
        load_pretrained(CLIPTextModel, teacher, "text_encoder")


@pytest.mark.parametrize(("reader", "auto"), [(AutoModel, "AutoModel"), (AutoTokenizer, "AutoTokenizer")])
def test_code_of_the_folder_never_runs(
    teacher: Path, monkeypatch: pytest.MonkeyPatch, reader: Any, auto: str
) -> None:
    folder, trace = teacher / "text_encoder", teacher / "trace"
    (folder / "guest.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nclass Guest: pass\n")
    change(folder, "auto_map", {"AutoConfig": "guest.Guest", auto: "guest.Guest"})
    change(folder, "model_type", "guest")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # as `yes |` answers the question that transformers asks
    with pytest.raises(Damaged, match="text_encoder:"):
        load_pretrained(reader, folder)
    assert not trace.exists()


def test_a_model_is_saved_without_the_librarys_bar(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load_pretrained(CLIPTextModel, whole, "text_encoder")
    logging.enable_progress_bar()
    model.save_pretrained(tmp_path / "theirs")
    assert "Writing model shards" in capfd.readouterr().err  # or this test could not fail
    save_pretrained(model, tmp_path / "ours")
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
    weights = "model.safetensors"
    assert (tmp_path / "ours" / weights).read_bytes() == (tmp_path / "theirs" / weights).read_bytes()
