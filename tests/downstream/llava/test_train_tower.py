"""The tower trained inside: what moves at which rate, and that it comes out as a tower for everything else."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from diva.errors import Invalid, Mismatch, NotInstalled
from diva.exporting.command import export
from diva.measure import evaluate
from diva.towers import load_clip
from diva_downstream.llava.evaluation.model import read_model
from diva_downstream.llava.recipe import load_llava_recipe
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from diva_downstream.llava.train import train
from tests.downstream.llava.test_train import LANGUAGE, PROJECTOR, TOWER, moved, recipe, state_of
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.towers import tiny_siglip

HIGH = {"train": "full", "lr": 1e-3}  # of three layers the projector reads two


def tower_moved(before: Path, after: Path) -> set[str]:
    """Return what of the tower differs: its layers by number, and the names of other parts."""
    first, second = state_of(before), state_of(after)
    names = (key.removeprefix(TOWER).removeprefix("vision_model.") for key in first if key.startswith(TOWER))
    changed = [name for name in names if not torch.equal(*(_of(state, name) for state in (first, second)))]
    return {name.split(".")[2] if name.startswith("encoder") else name.split(".")[0] for name in changed}


def _of(state: dict[str, Tensor], name: str) -> Tensor:
    return next(value for key, value in state.items() if key.startswith(TOWER) and key.endswith(name))


@pytest.mark.parametrize(
    ("kind", "tower", "parts", "layers"),
    [
        ("projector", HIGH, {PROJECTOR, TOWER}, {"embeddings", "pre_layrnorm", "0", "1"}),
        ("tower", HIGH | {"last_blocks": 1}, {TOWER}, {"1"}),
        ("lora", HIGH | {"train": "lora"}, {PROJECTOR, TOWER, f"{LANGUAGE}layers."}, {"0", "1"}),
        (
            "full",
            HIGH | {"train": "lora", "last_blocks": 1},
            {PROJECTOR, TOWER, f"{LANGUAGE}layers.", f"{LANGUAGE}embed_tokens.", f"{LANGUAGE}norm.", "lm_head."},
            {"1"},
        ),
    ],
)
def test_a_stage_moves_what_of_the_tower_its_recipe_names(
    kind: str, tower: dict[str, Any], parts: set[str], layers: set[str], swapped: Path, data: Path, tmp_path: Path
) -> None:
    train(recipe(swapped, data, kind, tower=tower, steps=2, global_batch=2), tmp_path / "out")
    assert moved(swapped, tmp_path / "out") == parts
    assert tower_moved(swapped, tmp_path / "out") == layers


def test_each_part_learns_at_its_own_rate(swapped: Path, data: Path, tmp_path: Path) -> None:
    slow = recipe(swapped, data, "full", tower={"lr": 1e-6}, lr=1e-3, projector_lr=1e-2, steps=1, warmup=0)
    train(slow, tmp_path / "out")
    before, after = state_of(swapped), state_of(tmp_path / "out")
    # the first step of Adam is as long as the rate, whatever the gradient
    for part, rate in ((PROJECTOR, 1e-2), (TOWER, 1e-6), (f"{LANGUAGE}layers.", 1e-3)):
        steps = [(after[key] - before[key]).abs().max() for key in before if key.startswith(part)]
        assert max(steps).item() == pytest.approx(rate, rel=0.1), part


def test_the_towers_rate_is_llava_nexts() -> None:
    named = load_llava_recipe("llava-1.5-7b-stage2-tower")
    assert named.tower is not None
    # --mm_vision_tower_lr and --learning_rate of LLaVA-NeXT's scripts/train/finetune_clip.sh
    assert (named.tower.lr, named.training.lr, named.tower.train, named.tower.last_blocks) == (
        2e-6,
        1e-5,
        "full",
        None,
    )
    with pytest.raises(Invalid, match=r"'train: tower'.*'tower'"):
        load_llava_recipe("llava-1.5-7b-stage2", ["train=tower"])


def test_more_blocks_than_the_projector_reads_are_refused(swapped: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"tower\.last_blocks: 3.*2"):
        train(recipe(swapped, data, "projector", tower=HIGH | {"last_blocks": 3}), tmp_path / "out")


def test_the_trained_tower_comes_out_as_a_tower_and_scores_on_mmvp_vlm(
    swapped: Path, data: Path, tower_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(recipe(swapped, data, "full", tower=HIGH), run)
    export(run, tmp_path / "tower", to="open_clip")
    base, tower = load_clip(str(tower_folder)), load_clip(str(tmp_path / "tower"))
    for key, value in base.model.state_dict().items():
        read = (
            key.startswith("visual.") and ".resblocks.2." not in key and "ln_post" not in key and key[7:] != "proj"
        )
        assert torch.equal(tower.model.state_dict()[key], value) != read, key

    # what open_clip's own loading of it computes after two blocks is what the LLaVA's projector reads
    theirs, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'tower'}")
    llava: Any = LlavaForConditionalGeneration.from_pretrained(run)
    with Image.open(data / "2.jpg") as image, torch.no_grad():
        pixels = preprocess(image)[None]
        (hidden,) = theirs.visual.forward_intermediates(pixels, indices=[1], output_fmt="NLC")[
            "image_intermediates"
        ]
        outcome = llava.model.vision_tower(pixels, output_hidden_states=True)
    torch.testing.assert_close(hidden, outcome.hidden_states[-2][:, 1:], atol=1e-5, rtol=0)

    mmvp = write_mmvp_folder(tmp_path / "mmvp", 1)
    result = evaluate("mmvp-vlm", str(tmp_path / "tower"), mmvp, against=str(tower_folder), device="cpu")
    assert result.baseline is not None
    assert result.subject.sha256 == tower.sha256 != result.baseline.subject.sha256
    assert [item.details for item in result.items] != [item.details for item in result.baseline.items]

    record = read_record(run)
    assert record is not None
    assert (record.state, record.tower_sha256) == ("full with tower", tower.sha256)  # the report's key
    assert read_model(run).subject.sha256 == tower.sha256
    assert load_clip(record.tower).sha256 == tower.sha256  # from which the next stage goes on
    swap(swapped, str(run), tmp_path / "again")
    assert moved(run, tmp_path / "again") == moved(run, swapped) - {TOWER}


def test_a_siglip_is_trained_and_comes_out_again(llava_folder: Path, data: Path, tmp_path: Path) -> None:
    swap(llava_folder, str(tiny_siglip(tmp_path / "siglip")), tmp_path / "swapped", fresh_projector=True)
    train(recipe(tmp_path / "swapped", data, "projector", tower=HIGH, steps=2), tmp_path / "run")
    export(tmp_path / "run", tmp_path / "tower", to="open_clip")
    base, tower = (load_clip(str(tmp_path / name)).model.state_dict() for name in ("siglip", "tower"))
    still = {key for key in base if torch.equal(base[key], tower[key])}
    assert {key for key in base if not key.startswith("visual.")} <= still
    assert any("attn_pool" in key for key in still)
    assert not any(key.startswith("visual.trunk.patch_embed") for key in still)


def test_without_its_base_the_trained_tower_is_an_image_tower_alone(
    llava_folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(recipe(llava_folder, data, "projector", tower=HIGH, steps=1), tmp_path / "run")
    assert "the trained tower will be an image tower alone" in capsys.readouterr().err.replace("\n", " ")
    tower = load_clip(str(tmp_path / "run"))
    assert not tower.has_text
    with pytest.raises(Mismatch, match="open_clip's"):
        export(tmp_path / "run", tmp_path / "tower", to="open_clip")


def test_qlora_needs_bitsandbytes_and_no_sharding(
    swapped: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diva_downstream.llava.train.find_spec", lambda _: None)
    with pytest.raises(NotInstalled, match="train:"):
        train(recipe(swapped, data, "qlora"), tmp_path / "out")
    monkeypatch.setattr("diva_downstream.llava.train.find_spec", lambda name: name)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(Mismatch, match="train:"):
        train(recipe(swapped, data, "qlora"), tmp_path / "out")
    assert not (tmp_path / "out" / "recipe.yaml").exists()


@pytest.mark.slow  # three runs each; tests/downstream/llava/test_train.py has the quick ones
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_resumed_run_with_its_tower_equals_an_uninterrupted_one(
    kind: str, swapped: Path, data: Path, tmp_path: Path
) -> None:
    settings = recipe(swapped, data, kind, tower=HIGH | {"train": kind}, steps=4, checkpoint_every=2)
    train(settings, tmp_path / "whole")
    train(settings, tmp_path / "resumed")
    for path in (tmp_path / "resumed" / "checkpoints" / "checkpoint-4").iterdir():
        path.unlink()
    (tmp_path / "resumed" / "config.json").unlink()
    train(settings, tmp_path / "resumed", resume=True)
    whole, again = (load_clip(str(tmp_path / name)) for name in ("whole", "resumed"))
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[key], value, atol=1e-6, rtol=0, msg=key)
