"""Both stages on a handful of photographs: what moves, what stays, and that a resumed run is the same run."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor, LlavaForConditionalGeneration

from diva.errors import Changed, Damaged, Failed, Invalid, Mismatch, Missing, Occupied, RunError
from diva.lock import locked
from diva.run_folder import RunFolder
from diva.seal import seal
from diva.towers import load_clip
from diva_downstream.llava.data import Collator, ConversationData
from diva_downstream.llava.recipe import DataSection, LlavaRecipe
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from diva_downstream.llava.train import train
from tests.downstream.llava.conftest import RECORDS
from tests.fixtures.full_disk import full_disk
from tests.fixtures.towers import tiny_clip, tiny_siglip

PROJECTOR, TOWER, LANGUAGE = "model.multi_modal_projector.", "model.vision_tower.", "model.language_model."


def recipe(
    model: Path, data: Path, kind: str, *, tower: dict[str, Any] | None = None, **training: Any
) -> LlavaRecipe:
    first = kind == "projector"
    return LlavaRecipe.model_validate(
        {
            "name": f"tiny-{kind}",
            "model": str(model),
            "train": kind,
            "tower": tower,
            "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
            "data": {
                "conversations": str(data / ("captions.json" if first else "talks.json")),
                "images": str(data),
                "template": "plain" if first else "vicuna_v1",
                "workers": 0,
            },
            "training": {
                "steps": 4,
                "lr": 1e-2,
                "global_batch": 4,
                "micro_batch": 2,
                "precision": "fp32",
                "log_every": 1,
                "checkpoint_every": 100,
                **training,
            },
        }
    )


def state_of(folder: Path) -> dict[str, Tensor]:
    return LlavaForConditionalGeneration.from_pretrained(folder).state_dict()


def moved(before: Path, after: Path) -> set[str]:
    """Return the parts of the model in which any tensor differs."""
    first, second = state_of(before), state_of(after)
    assert first.keys() == second.keys()
    changed = {key for key in first if not torch.equal(first[key], second[key])}
    parts = (PROJECTOR, TOWER, f"{LANGUAGE}layers.", f"{LANGUAGE}embed_tokens.", f"{LANGUAGE}norm.", "lm_head.")
    return {part for part in parts for key in changed if key.startswith(part)}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("projector", {PROJECTOR}),
        ("lora", {PROJECTOR, f"{LANGUAGE}layers."}),
        ("full", {PROJECTOR, f"{LANGUAGE}layers.", f"{LANGUAGE}embed_tokens.", f"{LANGUAGE}norm.", "lm_head."}),
    ],
)
def test_a_stage_moves_what_its_recipe_names_and_nothing_else(
    kind: str, parts: set[str], swapped: Path, data: Path, tmp_path: Path
) -> None:
    train(recipe(swapped, data, kind), tmp_path / "out")
    assert moved(swapped, tmp_path / "out") == parts
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record.retrained, record.state, record.stages[0].steps) == (True, kind, 4)


def test_adapters_touch_the_linear_layers_alone(swapped: Path, data: Path, tmp_path: Path) -> None:
    train(recipe(swapped, data, "lora"), tmp_path / "out")
    before, after = state_of(swapped), state_of(tmp_path / "out")
    layers = {key for key in before if key.startswith(f"{LANGUAGE}layers.")}
    changed = {key.split(".")[-2] for key in layers if not torch.equal(before[key], after[key])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_merged_folder_computes_what_the_adapted_model_computed(
    swapped: Path, data: Path, tmp_path: Path
) -> None:
    settings = recipe(swapped, data, "lora")
    train(settings, tmp_path / "out")
    trained = load_file(next((tmp_path / "out" / "checkpoints").glob("*/trained.safetensors")))
    before, after = state_of(swapped), state_of(tmp_path / "out")
    name = "model.language_model.layers.1.mlp.down_proj"
    down, up = (trained[f"base_model.model.{name}.lora_{part}.default.weight"] for part in "AB")
    by_hand = before[f"{name}.weight"] + settings.lora.alpha / settings.lora.rank * up @ down
    torch.testing.assert_close(after[f"{name}.weight"], by_hand)


@pytest.mark.parametrize(("kind", "grouped"), [("projector", False), ("lora", True), ("full", False)])
def test_a_resumed_run_equals_an_uninterrupted_one(
    kind: str, grouped: bool, swapped: Path, data: Path, tmp_path: Path
) -> None:
    # 3 updates are an epoch of 12 conversations, so it is interrupted and ends in the midst of one
    settings = recipe(swapped, data, kind, steps=5, checkpoint_every=2, keep_checkpoints=9, group_by_length=grouped)
    train(settings, tmp_path / "whole")
    resumed = tmp_path / "resumed"
    train(settings, resumed)
    for name in ("checkpoint-4", "checkpoint-5"):
        for path in (resumed / "checkpoints" / name).iterdir():
            path.unlink()
    (resumed / "config.json").unlink()
    (resumed / "model.safetensors").unlink()
    train(settings, resumed, resume=True)
    whole, again = state_of(tmp_path / "whole"), state_of(resumed)
    for key, value in whole.items():
        torch.testing.assert_close(again[key], value, atol=1e-6, rtol=0, msg=key)
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (tmp_path / "whole", resumed)]
    losses = [[json.loads(line)["loss"] for line in each] for each in lines]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert len(losses[0]) == 5


def test_a_checkpoint_with_missing_tensors_is_no_fresh_start(swapped: Path, data: Path, tmp_path: Path) -> None:
    settings = recipe(swapped, data, "projector", checkpoint_every=2, keep_checkpoints=9)
    train(settings, tmp_path / "out")
    (tmp_path / "out" / "checkpoints" / "checkpoint-4" / "diva.sha256").unlink()  # as if killed while saving
    path = tmp_path / "out" / "checkpoints" / "checkpoint-2" / "trained.safetensors"
    state = load_file(path)
    save_file({f"language_model.{key}": value for key, value in state.items()}, path)
    seal(path.parent)
    with pytest.raises(Failed, match=r"checkpoint-2/trained\.safetensors:"):
        train(settings, tmp_path / "out", resume=True)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.unlink(), flip, lambda path: path.write_bytes(path.read_bytes()[:-1])],
    ids=["missing", "a flipped bit", "cut short"],
)
def test_each_file_of_a_checkpoint_that_is_damaged_makes_the_older_one_be_used(
    damage: Callable[[Path], None], swapped: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, out = recipe(swapped, data, "projector", checkpoint_every=2), tmp_path / "out"
    train(settings, out)
    before = (out / "model.safetensors").read_bytes()
    newest = out / "checkpoints" / "checkpoint-4"
    names = sorted(path.name for path in newest.iterdir() if path.name != "diva.sha256")
    assert {"optimizer.pt", "rng_state.pth", "scheduler.pt", "trained.safetensors", "trainer_state.json"} <= {
        *names
    }
    shutil.copytree(out, tmp_path / "kept")
    for name in names:
        damage(newest / name)
        found, (said,) = RunFolder(out).newest_checkpoint()
        assert found == out / "checkpoints" / "checkpoint-2", name
        assert f"checkpoint-4: {name} " in said
        shutil.copy(tmp_path / "kept" / "checkpoints" / "checkpoint-4" / name, newest / name)
    damage(newest / "optimizer.pt")
    train(settings, out, resume=True)
    assert "checkpoint-4: optimizer.pt " in capsys.readouterr().err.replace("\n", " ")
    assert (out / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert RunFolder(out).newest_checkpoint() == (newest, [])
    for path in (out / "checkpoints").iterdir():
        damage(path / "optimizer.pt")
    with pytest.raises(Damaged, match=r"checkpoint-2: optimizer\.pt"):
        train(settings, out, resume=True)


def test_a_checkpoint_that_a_full_disk_refuses_is_a_sentence_and_leaves_nothing(
    swapped: Path, data: Path, tmp_path: Path
) -> None:
    settings = recipe(swapped, data, "projector", steps=1)
    train(settings, tmp_path / "whole")
    room = (tmp_path / "whole" / "checkpoints" / "checkpoint-1" / "optimizer.pt").stat().st_size - 1
    with full_disk(room), pytest.raises(RunError, match=r"^\S+/checkpoint-1: cannot be written \(.*--resume$"):
        train(settings, tmp_path / "out")
    assert list((tmp_path / "out" / "checkpoints").iterdir()) == []
    train(settings, tmp_path / "out", resume=True)
    ours, theirs = (tmp_path / name / "model.safetensors" for name in ("out", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_second_training_in_the_same_folder_is_refused_and_nothing_is_left_of_the_lock(
    swapped: Path, data: Path, tmp_path: Path
) -> None:
    settings = recipe(swapped, data, "projector", steps=1)
    with locked(tmp_path / "out"), pytest.raises(Occupied, match="out:"):
        train(settings, tmp_path / "out")
    train(settings, tmp_path / "out")
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_run_is_neither_overwritten_nor_changed_underway(swapped: Path, data: Path, tmp_path: Path) -> None:
    train(recipe(swapped, data, "projector"), tmp_path / "out")
    with pytest.raises(Occupied, match="--resume"):
        train(recipe(swapped, data, "projector"), tmp_path / "out")
    with pytest.raises(Changed, match=r"training\.lr:"):
        train(recipe(swapped, data, "projector", lr=1e-3), tmp_path / "out", resume=True)


def test_a_run_goes_on_with_the_model_and_the_data_that_it_began_with(
    llava_folder: Path, tower_folder: Path, data: Path, tmp_path: Path
) -> None:
    model, own = tmp_path / "swapped", Path(shutil.copytree(data, tmp_path / "data"))
    swap(llava_folder, str(tower_folder), model)
    settings = recipe(model, own, "projector")
    train(settings, tmp_path / "out")
    before = (tmp_path / "out" / "diva_swap.json").read_bytes()
    swap(llava_folder, str(tiny_clip(tmp_path / "tower", seed=9)), model)
    with pytest.raises(Changed, match="swapped:"):
        train(settings, tmp_path / "out", resume=True)
    swap(llava_folder, str(tower_folder), model)
    train(settings, tmp_path / "out", resume=True)
    records = json.loads((own / "captions.json").read_text())
    (own / "captions.json").write_text(json.dumps(records[::-1]))
    with pytest.raises(Changed, match=r"captions\.json:"):
        train(settings, tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "diva_swap.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["projector", "lora"])
def test_a_run_at_its_last_step_trains_no_more(kind: str, swapped: Path, data: Path, tmp_path: Path) -> None:
    settings, out = recipe(swapped, data, kind, steps=4), tmp_path / "out"  # in the midst of the second epoch
    train(settings, out)
    names = ("model.safetensors", "diva_swap.json", "metrics.jsonl")
    before = [(out / name).read_bytes() for name in names]
    (out / "config.json").unlink()
    train(settings, out, resume=True)
    assert [(out / name).read_bytes() for name in names] == before
    assert (out / "config.json").is_file()


@pytest.mark.parametrize("kind", ["projector", "lora", "full"])
def test_the_record_knows_what_was_trained_by_its_weights(
    kind: str, swapped: Path, data: Path, tmp_path: Path
) -> None:
    found = []
    for number, lr in enumerate((1e-2, 1e-2, 2e-2)):
        train(recipe(swapped, data, kind, steps=2, lr=lr), tmp_path / str(number))
        record = read_record(tmp_path / str(number))
        assert record is not None
        found.append(record.stages[0].weights_sha256)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("write", [tiny_clip, tiny_siglip])
def test_images_that_are_not_padded_are_as_the_tower_itself_wants_them(
    write: Callable[[Path], Path], llava_folder: Path, data: Path, tmp_path: Path
) -> None:
    tower = str(write(tmp_path / "tower"))
    swap(llava_folder, tower, tmp_path / "swapped", fresh_projector=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "swapped")
    processor.image_processor = AutoImageProcessor.from_pretrained(tmp_path / "swapped", backend="pil")
    section = DataSection(conversations=str(data / "captions.json"), images=str(data), template="plain", pad=False)
    sample = ConversationData(section, processor, seed=0)[2]
    with Image.open(data / "2.jpg") as image:
        torch.testing.assert_close(
            sample["pixel_values"][0], load_clip(tower).input.image_transform()(image), atol=1e-5, rtol=0
        )


def test_accumulated_batches_and_recomputed_activations_change_nothing(
    swapped: Path, data: Path, tmp_path: Path
) -> None:
    train(recipe(swapped, data, "full", steps=2, micro_batch=4), tmp_path / "plain")
    train(recipe(swapped, data, "full", steps=2, micro_batch=1, grad_checkpointing=False), tmp_path / "small")
    first, second = state_of(tmp_path / "plain"), state_of(tmp_path / "small")
    for key in (f"{PROJECTOR}linear_1.weight", f"{LANGUAGE}layers.0.mlp.up_proj.weight"):
        torch.testing.assert_close(first[key], second[key], atol=2e-4, rtol=0)


def test_a_batch_without_images_is_the_language_models_alone(swapped: Path, data: Path) -> None:
    processor = AutoProcessor.from_pretrained(swapped)
    model = LlavaForConditionalGeneration.from_pretrained(swapped)
    section = DataSection(conversations=str(data / "talks.json"), images=str(data), template="vicuna_v1")
    samples = ConversationData(section, processor, seed=0)
    collate = Collator(
        pad=processor.tokenizer.pad_token_id,
        image=model.config.image_token_id,
        blank=samples.blank,
    )
    batch = collate([samples[3], samples[7]])
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    loss = model(**batch).loss
    ids, labels = samples[3]["input_ids"][None], samples[3]["labels"][None]
    torch.testing.assert_close(loss, model(input_ids=ids, labels=labels).loss)
    loss.backward()
    weight = model.model.multi_modal_projector.linear_1.weight
    assert weight.grad is not None
    assert weight.grad.abs().max() == 0


def test_shuffled_images_are_every_one_another_records(swapped: Path, data: Path) -> None:
    processor = AutoProcessor.from_pretrained(swapped)
    section = DataSection(conversations=str(data / "captions.json"), images=str(data), template="plain")
    own, dealt = (
        ConversationData(section.model_copy(update={"shuffle_images": shuffle}), processor, seed=0)
        for shuffle in (False, True)
    )
    images = [[sample["pixel_values"] for sample in (each[n] for n in range(RECORDS))] for each in (own, dealt)]
    assert not any(torch.equal(first, second) for first, second in zip(*images, strict=True))
    sums = [sorted(float(image.sum()) for image in each) for each in images]
    assert sums[0] == sums[1]
    assert all(torch.equal(own[n]["input_ids"], dealt[n]["input_ids"]) for n in range(RECORDS))


def test_the_projector_learns_at_its_own_rate(swapped: Path, data: Path, tmp_path: Path) -> None:
    train(recipe(swapped, data, "lora", projector_lr=1e-9, steps=2), tmp_path / "out")
    before, after = state_of(swapped), state_of(tmp_path / "out")
    torch.testing.assert_close(
        before[f"{PROJECTOR}linear_1.weight"], after[f"{PROJECTOR}linear_1.weight"], atol=1e-8, rtol=0
    )
    assert not torch.equal(
        before[f"{LANGUAGE}layers.0.mlp.up_proj.weight"], after[f"{LANGUAGE}layers.0.mlp.up_proj.weight"]
    )


def test_the_second_stage_on_a_random_projector_is_warned_of(
    swapped: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(recipe(swapped, data, "lora", steps=1), tmp_path / "out")
    assert "has a random projector; train stage 1 first" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_in_one_sentence(
    workers: int, swapped: Path, data: Path, tmp_path: Path
) -> None:
    records = json.loads((data / "captions.json").read_text())[:4]
    records[2]["image"] = "torn.jpg"
    (tmp_path / "captions.json").write_text(json.dumps(records))
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes((data / f"{number}.jpg").read_bytes())
    (tmp_path / "3.jpg").write_bytes((data / "3.jpg").read_bytes())
    (tmp_path / "torn.jpg").write_bytes((data / "2.jpg").read_bytes()[:300])
    settings = recipe(swapped, tmp_path, "projector")
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"workers": workers})})
    with pytest.raises(RunError) as caught:
        train(settings, tmp_path / "out")
    said = rf"{tmp_path / 'torn.jpg'}: the image of record '2' cannot be read \([^\n]+\); fetch it again"
    assert re.fullmatch(said, str(caught.value))
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"model": "nowhere"}, pytest.raises(Mismatch, match=r"model: nowhere.*LLaVA")),
        (
            {"training": {"steps": 1, "lr": 1, "global_batch": 5, "micro_batch": 2, "precision": "fp32"}},
            pytest.raises(Invalid, match=r"training\.global_batch:"),
        ),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_before_anything_is_written(
    changes: dict[str, Any], refused: pytest.RaisesExc[Exception], swapped: Path, data: Path, tmp_path: Path
) -> None:
    fields = recipe(swapped, data, "projector").model_dump() | changes
    with refused:
        train(LlavaRecipe.model_validate(fields), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (0, r"/0\.jpg: .*12.*12.*data\.images"),
        (10, r"/10\.jpg: .*2.*12"),
    ],
)
def test_every_image_is_looked_for_before_the_run(
    there: int, says: str, swapped: Path, data: Path, tmp_path: Path
) -> None:
    for number in range(there):
        shutil.copy(data / f"{number}.jpg", tmp_path)
    if there:
        (tmp_path / "10.jpg").touch()
        (tmp_path / "11.jpg").symlink_to("/dev/zero")
    settings = recipe(swapped, data, "projector")
    wrong = settings.model_copy(update={"data": settings.data.model_copy(update={"images": str(tmp_path)})})
    with pytest.raises(Missing, match=says):
        train(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()
