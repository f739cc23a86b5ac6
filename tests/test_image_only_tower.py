"""An image tower without text, as a user brings it: one file through every part of the suite, to the report."""

import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

import diva
from diva.errors import InputError
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_ade20k
from diva.recipes import load_recipe
from diva.results import read_result, write_result
from diva.towers import load_clip
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from diva_downstream.llava.train import train as train_llava
from diva_downstream.segmentation.command import Sizes
from diva_downstream.segmentation.command import measure as measure_segmentation
from diva_downstream.segmentation.command import train as train_segmentation
from tests.downstream.llava.test_swap import ask
from tests.downstream.llava.test_train import moved, recipe
from tests.fixtures.image_only import write_timm
from tests.fixtures.images import crops, write_shards
from tests.fixtures.llava import tiny_llava
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.recipes import write_recipe_file
from tests.fixtures.zero_shot import write_digits

SIDE = 56  # pixels; 4 × 4 patches of 14


def test_a_dinov2_from_a_file_goes_through_every_part_of_the_suite(teacher_folder: Path, tmp_path: Path) -> None:
    write_timm(tmp_path / "dino", "vit_small_patch14_dinov2")
    file = str(tmp_path / "dino" / "model.safetensors")

    shards = write_shards(tmp_path / "images", n_shards=1, per_shard=8, side=60)
    short = write_recipe_file(
        tmp_path / "short.yaml", tower=file, teacher=teacher_folder, source=f"{shards}/00000.tar"
    )
    run = tmp_path / "run"
    diva.train(load_recipe(str(short), ["condition.combine=mean_text"]), run)
    AcceleratorState._reset_state(reset_partial_state=True)
    base, trained = (load_clip(place).tower.state_dict() for place in (file, str(run)))
    assert sum(not torch.equal(value, base[key]) for key, value in trained.items()) > 20

    language, talks = tiny_llava(tmp_path / "llava"), tmp_path / "talks"
    talks.mkdir()
    said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A picture."}]
    for number, image in enumerate(crops(4, 40)):
        image.save(talks / f"{number}.jpg")
    records = [{"id": str(number), "image": f"{number}.jpg", "conversations": said} for number in range(4)]
    (talks / "captions.json").write_text(json.dumps(records))
    swapped = tmp_path / "swapped"
    with pytest.raises(InputError, match="--tower: differs in family from the tower that the projector"):
        swap(language, str(run), swapped)
    swap(language, str(run), swapped, fresh_projector=True)
    tokens, logits = ask(swapped)
    assert (tokens, bool(logits.isfinite().all())) == (16, True)
    train_llava(
        recipe(swapped, talks, "projector", tower={"train": "full", "lr": 1e-3}, steps=2), tmp_path / "stage"
    )
    assert moved(swapped, tmp_path / "stage") == {"model.multi_modal_projector.", "model.vision_tower."}
    assert not load_clip(str(tmp_path / "stage")).has_text
    record = read_record(tmp_path / "stage")
    assert record is not None
    assert record.tower_sha256 == load_clip(str(tmp_path / "stage")).sha256

    write_ade20k(draw(8, generator(1)), draw(2, generator(2)), tmp_path / "world")
    head, sizes = tmp_path / "head", Sizes(iterations=2, crop=SIDE, batch=2, workers=0)
    train_segmentation(
        str(run),
        head="linear",
        data=tmp_path / "world",
        out=head,
        checkpoint=None,
        dataset="ade20k",
        schedule="20k",
        sizes=sizes,
        seed=0,
        overrides=(),
        finetune=False,
        resume=False,
    )
    results = tmp_path / "results"
    measure_segmentation(
        str(head),
        data=tmp_path / "world",
        out=results / "segmentation.json",
        checkpoint=None,
        against=None,
        against_checkpoint=None,
        dataset=None,
        sizes=Sizes(workers=0),
        overrides=(),
    )
    assert read_result(results / "segmentation.json").subject.sha256 == load_clip(str(run)).sha256

    digits = write_digits(tmp_path / "digits", 120)
    probes = diva.evaluate("probe", str(run), digits, against=file, device="cpu", neighbours=5)
    write_result(probes, results / "probe.json")
    with pytest.raises(InputError, match="has an image tower alone, and a text tower is needed"):
        diva.evaluate("mmvp-vlm", str(run), write_mmvp_folder(tmp_path / "mmvp", 1), device="cpu")

    page = diva.report([results, run], tmp_path / "report").with_suffix(".md").read_text()
    for figure in ("linear", "k-NN", "NMI", "ARI", "mIoU"):
        assert figure in page
