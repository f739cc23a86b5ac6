"""What a stranger's configuration may ask for, and what is refused by the setting's name."""

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from diva.errors import Damaged, InputError, Invalid, Mismatch, Unknown, Unsafe
from diva.towers import load_clip
from diva.towers.formats.settings import check_model, check_preprocess
from tests.fixtures.towers import state_of, tiny_clip_config

VISION, TEXT = "vision_cfg", "text_cfg"


def changed(section: str, name: str, value: Any) -> dict[str, Any]:
    config = tiny_clip_config()
    (config[section] if section else config)[name] = value
    return config


@pytest.mark.parametrize(
    ("section", "name", "value", "refused"),
    [
        (
            TEXT,
            "tokenizer_kwargs",
            {"trust_remote_code": True},
            pytest.raises(Unsafe, match=r"tokenizer_kwargs\.trust_remote_code:"),
        ),
        (TEXT, "hf_model_name", "someone/model", pytest.raises(Unsafe, match=r"text_cfg\.hf_model_name:")),
        (TEXT, "norm_kwargs", {"device": "cuda"}, pytest.raises(Unsafe, match=r"norm_kwargs\.device:")),
        (TEXT, "act_kwargs", {"approximate": ["tanh"]}, pytest.raises(Invalid, match=r"act_kwargs\.approximate:")),
        (
            VISION,
            "timm_model_name",
            "hf-hub:someone/model",
            pytest.raises(Unknown, match=r"timm_model_name: .*'hf-hub:someone/model'"),
        ),
        (
            VISION,
            "timm_model_name",
            "local-dir:/etc",
            pytest.raises(Unknown, match=r"timm_model_name: .*'local-dir:/etc'"),
        ),
        (VISION, "layers", 10**9, pytest.raises(Invalid, match=r"vision_cfg\.layers: 1000000000")),
        (VISION, "layers", "3", pytest.raises(Invalid, match=r"vision_cfg\.layers: '3'")),
        (VISION, "mlp_ratio", float("inf"), pytest.raises(Invalid, match=r"vision_cfg\.mlp_ratio")),
        ("", "multimodal_cfg", {}, pytest.raises(Unsafe, match=r"model_cfg\.multimodal_cfg:")),
        ("", "embed_dim", True, pytest.raises(Invalid, match=r"model_cfg\.embed_dim: True")),
        ("", TEXT, [], pytest.raises(Invalid, match=r"model_cfg\.text_cfg:")),
    ],
)
def test_a_setting_that_reaches_too_far_is_refused_by_name(
    section: str, name: str, value: Any, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused as caught:
        check_model(changed(section, name, value), Path("open_clip_config.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"fill_color": 255}, pytest.raises(Invalid, match=r"preprocess_cfg\.fill_color: 255")),
        ({"interpolation": "random"}, pytest.raises(Invalid, match=r"preprocess_cfg\.interpolation")),
        ({"mean": [0.5]}, pytest.raises(Invalid, match=r"preprocess_cfg\.mean")),
        ({"std": [0.5, 0.0, 0.5]}, pytest.raises(Invalid, match=r"preprocess_cfg\.std")),
        ({"crop": 1}, pytest.raises(Unsafe, match=r"preprocess_cfg\.crop:")),
        ([], pytest.raises(Damaged, match="preprocess_cfg:")),
    ],
)
def test_preprocessing_that_we_cannot_do_is_refused_by_name(
    fields: Any, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        check_preprocess(fields, Path("open_clip_config.json"))


def test_all_that_open_clip_itself_publishes_is_allowed_unless_it_fetches_a_text_model() -> None:
    refused = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        try:
            check_model(config, Path(name))
        except InputError:
            refused.append(name)
            assert "hf_model_name" in config[TEXT] or "multimodal_cfg" in config, name
    assert 0 < len(refused) < 20
    for _, tag in open_clip.list_pretrained():
        assert tag  # every published tag has a preprocessing that open_clip's PreprocessCfg takes
    fields = {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "size": [8, 8],
    }
    check_preprocess(fields, Path("published"))


@pytest.fixture
def folder(tiny_towers: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_towers["openai-like"], tmp_path / "tower"))


def configure(folder: Path, config: dict[str, Any]) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def test_code_of_a_tower_s_folder_never_runs(folder: Path) -> None:
    trace = folder / "trace"
    (folder / "guest.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nclass Guest: pass\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Guest", "auto_map": {"AutoTokenizer": ["guest.Guest", None]}})
    )
    configure(folder, changed(TEXT, "hf_tokenizer_name", "x"))
    with pytest.raises(Damaged, match="tower:"):
        load_clip(str(folder)).tokenizer(["a cat"])
    configure(folder, changed(TEXT, "tokenizer_kwargs", {"trust_remote_code": True}))
    with pytest.raises(Unsafe, match=r"tokenizer_kwargs\.trust_remote_code"):
        load_clip(str(folder))
    assert not trace.exists()


def test_a_size_that_the_tensors_do_not_have_is_refused_before_memory_is_taken(folder: Path) -> None:
    config = changed(VISION, "width", 2**14)
    config[VISION]["layers"] = 400  # 5 TB of float32
    configure(folder, config)
    with pytest.raises(Mismatch, match=r"open_clip_model\.safetensors:"):
        load_clip(str(folder))
    configure(folder, changed(VISION, "head_width", 0))
    with pytest.raises(Damaged, match="tower:"):
        load_clip(str(folder))


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_tensors_of_another_kind_of_number_are_refused(folder: Path, dtype: torch.dtype) -> None:
    state = state_of(folder)
    save_file(state | {"visual.proj": state["visual.proj"].to(dtype)}, folder / "open_clip_model.safetensors")
    with pytest.raises(Mismatch, match=r"1.*wrong.*visual\.proj"):
        load_clip(str(folder))


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (2, 2, 2, 2, 2)])
def test_odd_shapes_are_one_sentence(folder: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    state = state_of(folder)
    for key in ("visual.conv1.weight", "visual.positional_embedding", "token_embedding.weight", "text_projection"):
        path = tmp_path / "odd.safetensors"
        save_file(state | {key: torch.zeros(shape)}, path)
        with pytest.raises(InputError) as caught:
            load_clip(str(path))
        assert "\n" not in str(caught.value)
