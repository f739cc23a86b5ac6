"""`diva seg train` and `diva seg eval` on both layouts, from a fresh run to a comparison with pictures."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.visualization import Visualizer
from PIL import Image
from safetensors.torch import load_file, save_file

from diva.atomic import temporary_name
from diva.errors import Changed, Damaged, InputError, Invalid, Mismatch, Occupied, RunError, Unknown
from diva.lock import locked
from diva.miniworld.vocabulary import CLASSES
from diva.results import Result, read_result
from diva.towers import clip
from diva_downstream.segmentation.areas import Area
from diva_downstream.segmentation.command import Sizes, measure, train
from diva_downstream.segmentation.scores import scores_of
from tests.fixtures.contract import every_figure_is_on_the_page

SMALL = Sizes(iterations=6, crop=48, batch=4, workers=0)
SAN = ("model.adapter.patch_size=8", "model.adapter.embed_dims=32", "model.adapter.depth=4")
SIDE = (*SAN, "model.adapter.heads=4", "model.queries=10", "model.points=64")
NARROW = ("model.decode_head.channels=16", "model.auxiliary_head.channels=16")
HEADS = {"linear": ("ade20k", ()), "upernet": ("pascal-context-59", NARROW), "san": ("pascal-context-60", SIDE)}
MARGIN = 2.0  # points of mIoU that training a tower is worth to a probe, at least


def run(tower: Path, head: str, world: Path, out: Path, **changes: Any) -> Path:
    """Train a head as the verb does, and return its folder."""
    dataset, overrides = HEADS.get(head, ("ade20k", ()))
    options: dict[str, Any] = {
        "checkpoint": None,
        "dataset": dataset,
        "schedule": "20k",
        "sizes": SMALL,
        "seed": 0,
        "overrides": overrides,
        "finetune": False,
        "resume": False,
    }
    train(str(tower), head=head, data=world, out=out, **options | changes)
    return out


def evaluate(tower: Path, world: Path, **changes: Any) -> None:
    options: dict[str, Any] = {
        "checkpoint": None,
        "against": None,
        "against_checkpoint": None,
        "dataset": None,
        "out": None,
        "sizes": Sizes(workers=0),
        "overrides": (),
    }
    measure(str(tower), data=world, **options | changes)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "iter_6" / "checkpoint.pth", weights_only=True)["state_dict"]


def areas_in(result: Result, classes: int) -> np.ndarray:
    """Read each image's pixels back from a result's items, [N, 5, classes]."""
    areas = np.zeros((len(result.items), len(Area), classes), np.int64)
    for image, item in zip(areas, result.items, strict=True):
        present = np.array(item.details["classes"], int)
        for row in Area:
            image[row, present] = np.array(item.details[row.name.lower()], int)
    return areas


@pytest.fixture(scope="module")
def finished(world: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear probe after its six iterations."""
    return run(trained, "linear", world, tmp_path_factory.mktemp("runs") / "linear")


@pytest.mark.parametrize("head", HEADS)
def test_a_head_trains_is_saved_goes_on_after_a_stop_as_if_there_was_none_and_is_measured(
    head: str, world: Path, trained: Path, tmp_path: Path
) -> None:
    whole = run(trained, head, world, tmp_path / "whole")
    stopped = Path(shutil.copytree(whole, tmp_path / "stopped"))
    shutil.rmtree(stopped / "iter_6")  # as if it had ended just after the checkpoint before, and been moved since
    resumed = run(trained, head, world, stopped, resume=True)
    expected, found = weights(whole), weights(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    dataset = HEADS[head][0]
    evaluate(resumed, world, out=tmp_path / "result.json")
    result = read_result(tmp_path / "result.json")
    assert (result.measured, result.data.name) == (f"segmentation/{dataset}", dataset)
    assert result.protocol.startswith(
        f"{head} · trained on {dataset} · iterations 6 · batch 4 · tower frozen · crop 48"
    )
    assert every_figure_is_on_the_page([tmp_path / "result.json"], tmp_path / "report") > 10
    assert result.subject.source == str(trained)
    assert len(result.items) == result.metrics["mIoU"].n == 24
    classes = len(CLASSES) + (dataset == "pascal-context-60")
    scores = scores_of(areas_in(result, classes).sum(0))
    assert result.metrics["mIoU"].value == pytest.approx(float(scores.mean_iou))
    assert result.metrics["boundary_mIoU"].value == pytest.approx(float(scores.mean_boundary_iou))
    assert result.metrics["image_IoU"].value == pytest.approx(
        100 * np.mean([each.outcome for each in result.items])
    )
    low, high = result.metrics["mIoU"].interval or (0, 0)
    assert low <= result.metrics["mIoU"].value <= high


@pytest.mark.parametrize("dataset", ["ade20k", "pascal-context-59"])
def test_without_training_two_towers_are_measured_side_by_side(
    dataset: str, world: Path, trained: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "free.json"
    evaluate(trained, world, dataset=dataset, against=str(untrained), out=out, sizes=Sizes(crop=48, workers=0))
    result = read_result(out)
    assert result.protocol == "training-free · crop 48"
    assert result.baseline is not None
    assert result.baseline.subject.source == str(untrained)
    by_pixels, by_image = result.comparisons
    assert (by_pixels.metric, by_image.metric) == ("mIoU", "image_IoU")
    for comparison in result.comparisons:
        difference = result.metrics[comparison.metric].value - result.baseline.metrics[comparison.metric].value
        low, high = comparison.interval or (0, 0)
        assert comparison.difference == pytest.approx(difference)
        assert low <= difference <= high
    with Image.open(out.with_suffix(".sheet.png")) as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > sheet.width > 600  # six rows of four
    assert [path.name for path in out.parent.iterdir() if path.suffix not in (".json", ".png")] == []
    shown = capsys.readouterr().out
    assert "boundary_mIoU" in shown
    assert "mIoU: difference " in shown


@pytest.mark.parametrize("head", ["training-free", "san"])
def test_the_tower_is_loaded_once(
    head: str, world: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, assemble = [], clip.assemble
    monkeypatch.setattr(clip, "assemble", lambda *given: loaded.append(given) or assemble(*given))
    if head == "san":
        run(trained, head, world, tmp_path / "run", sizes=SMALL._replace(iterations=1))
        (config,) = (tmp_path / "run").glob("*.py")  # which the Runner writes down
        assert f"tower='{trained}'" in config.read_text()
    else:
        evaluate(trained, world, dataset="ade20k", sizes=Sizes(crop=48, workers=0))
    assert len(loaded) == 1


def test_a_linear_probe_reads_more_off_a_trained_tower_than_off_an_untrained_one(
    world: Path, trained: Path, untrained: Path, tmp_path: Path
) -> None:
    # the block before the last: a CLIP's last one gives its places away to the pooled token
    steps = ("model.backbone.out_blocks=[-2]", "optim_wrapper.optimizer.lr=0.005")
    plain = ("train_dataloader.dataset.pipeline.2.ratio_range=[1.0, 1.0]",)  # scenes of one size
    options = {"sizes": SMALL._replace(iterations=100, batch=16), "overrides": (*steps, *plain)}
    after, before = (
        run(tower, "linear", world, tmp_path / name, **options)
        for name, tower in (("after", trained), ("before", untrained))
    )
    evaluate(after, world, against=str(before), out=tmp_path / "result.json")
    (comparison, _) = read_result(tmp_path / "result.json").comparisons
    assert comparison.difference > MARGIN
    assert comparison.interval is not None
    assert comparison.interval[0] > 0


def test_a_run_continues_from_the_newest_checkpoint_that_is_whole(
    finished: Path, world: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, copy = weights(finished), Path(shutil.copytree(finished, tmp_path / "copy"))
    newest = copy / "iter_6" / "checkpoint.pth"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight
    newest.write_bytes(content)
    damage = "iter_6: checkpoint.pth has changed since it was written"
    with pytest.raises(Invalid, match=rf"5.*6.*\(.*{damage}\).*--resume"):
        evaluate(copy, world)
    run(trained, "linear", world, copy, resume=True)
    assert f"{damage}; continuing after 5 iterations" in capsys.readouterr().err
    found = weights(copy)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert sorted(path.name for path in copy.glob("iter_*")) == ["iter_5", "iter_6"]
    evaluate(copy, world)


def test_a_second_training_in_a_folder_is_refused(world: Path, trained: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(Occupied, match="run:"),
    ):
        run(trained, "linear", world, tmp_path / "run")
    assert not (tmp_path / "run" / "segmentation.json").exists()


def test_a_training_that_was_killed_while_it_wrote_its_record_begins_anew(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = temporary_name(tmp_path / "run" / "segmentation.json")
    half = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    half.parent.mkdir()
    half.write_text("{")
    run(trained, "linear", world, tmp_path / "run", resume=True)
    assert not half.exists()
    assert (tmp_path / "run" / "iter_6").is_dir()


def test_a_tower_that_is_not_finite_is_neither_trained_on_nor_measured(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    spoilt = Path(shutil.copytree(trained, tmp_path / "spoilt"))
    state = load_file(spoilt / "open_clip_model.safetensors")
    state["visual.ln_post.weight"][0] = torch.nan
    save_file(state, spoilt / "open_clip_model.safetensors")
    with pytest.raises((InputError, RunError), match=r"not finite|the loss is nan"):
        run(spoilt, "linear", world, tmp_path / "run")
    with pytest.raises(Damaged, match="not finite"):
        evaluate(spoilt, world, dataset="ade20k", sizes=Sizes(crop=48, workers=0))


@pytest.mark.parametrize(
    "changes",
    [
        {"overrides": {"model": {"type": "subprocess.Popen", "args": ["true"]}}},
        {"overrides": {"model.type": "subprocess.Popen"}},
        {"overrides": {"model.decode_head.loss_decode": [{"type": "subprocess.Popen"}]}},
        {"overrides": {"custom_imports.imports": ["antigravity"]}},
        {"overrides": {"model.type": 1}},
        {"overrides": {"model.backbone.nothing": 1}},
        {"overrides": {"model.decode_head.in_channels": 1e400}},
        {"overrides": []},
        {"crop": 10**9},
        {"iterations": -1},
        {"head": "subprocess.Popen"},
        {"dataset": "../ade20k"},
        {"classes": 5},
        {"hooks": ["antigravity"]},
    ],
)
def test_a_record_that_no_run_of_ours_wrote_builds_nothing(
    changes: dict[str, Any], finished: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    record = json.loads((copy / "segmentation.json").read_text())
    (copy / "segmentation.json").write_text(json.dumps(record | changes))
    monkeypatch.setattr("subprocess.Popen", None)  # a call would be a TypeError
    with pytest.raises(InputError) as told:
        evaluate(copy, world)
    assert "\n" not in str(told.value)


def test_a_number_that_mmseg_cannot_use_is_one_sentence_with_its_field(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=r"^model\.decode_head\.num_classes:"):
        run(trained, "linear", world, tmp_path / "run", overrides=("model.decode_head.num_classes=-1",))


def test_a_trained_tower_moves_with_its_head_and_goes_into_the_checkpoint(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    tuned = weights(run(trained, "linear", world, tmp_path / "tuned", finetune=True))
    kept = [key for key in tuned if key.endswith("positional_embedding")]
    assert kept
    before = load_file(trained / "open_clip_model.safetensors")["visual.positional_embedding"]
    assert not torch.equal(tuned[kept[0]], before)


def test_a_probe_cannot_be_asked_for_other_classes_than_it_was_trained_on(finished: Path, world: Path) -> None:
    with pytest.raises(Mismatch, match=r"linear: .*18.*pascal-context-60.*19"):
        evaluate(finished, world, dataset="pascal-context-60")


def test_a_label_of_no_class_stops_the_run_with_the_files_name(finished: Path, world: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world, tmp_path / "copy"))
    labels = sorted((copy / "ADEChallengeData2016/annotations/validation").iterdir())[3]
    Image.fromarray(np.full((48, 48), 77, np.uint8)).save(labels)
    for workers in (0, 1):
        with pytest.raises(Invalid, match=rf"^{labels}: .*77.*18") as told:
            evaluate(finished, copy, sizes=Sizes(workers=workers), out=tmp_path / "result.json")
        assert "\n" not in str(told.value)
    assert not (tmp_path / "result.json").exists()


def test_a_head_of_another_number_of_classes_is_one_sentence(finished: Path, world: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    record = json.loads((copy / "segmentation.json").read_text())
    overrides = {"model.decode_head.num_classes": 19}
    (copy / "segmentation.json").write_text(json.dumps(record | {"overrides": overrides}))
    with pytest.raises(Mismatch, match=r"iter_6/checkpoint.pth: .*mismatch"):
        evaluate(copy, world)


def test_a_tower_that_changed_since_and_a_run_that_is_not_finished_are_refused(
    finished: Path, world: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    shutil.rmtree(copy / "iter_6")
    with pytest.raises(Invalid, match=r"5.*6.*--resume"):
        evaluate(copy, world)
    record = json.loads((copy / "segmentation.json").read_text())
    (copy / "segmentation.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    with pytest.raises(Changed, match=r"segmentation\.json:"):
        evaluate(copy, world)
    (copy / "segmentation.json").write_text("{}")
    with pytest.raises(Invalid, match=r"segmentation\.json: tower: Field"):
        evaluate(copy, world)


@pytest.mark.parametrize(
    ("head", "changes", "refused"),
    [
        ("linear", {"schedule": "30k"}, pytest.raises(Unknown, match="--schedule: '30k'")),
        ("linear", {"sizes": SMALL._replace(batch=0)}, pytest.raises(Invalid, match=r"--batch: 0.*1")),
        (
            "linear",
            {"sizes": SMALL._replace(crop=50)},
            pytest.raises(Invalid, match=r"--crop: 50.*8.*48"),
        ),
        (
            "linear",
            {"overrides": ("model.backbon=1",)},
            pytest.raises(Unknown, match=r"model.backbon: 'backbon'.*'backbone'"),
        ),
        (
            "linear",
            {"overrides": ("model.backbone",)},
            pytest.raises(Invalid, match=r"model.backbone: .*KEY=VALUE"),
        ),
        ("linear", {"overrides": ("model.backbone.frozen.x=1",)}, pytest.raises(Invalid, match="True")),
        ("linear", {"overrides": ("model.backbone.out_blocks.9=1",)}, pytest.raises(Invalid, match=r"'9'.*1")),
        (
            "linear",
            {"overrides": ("optim_wrapper.type=os.system",)},
            pytest.raises(Invalid, match=r"optim_wrapper.type: 'os.system'"),
        ),
        (
            "linear",
            {"overrides": ("optim_wrapper.type=1",)},
            pytest.raises(Invalid, match=r"optim_wrapper.type: 1.*'OptimWrapper'"),
        ),
        (
            "linear",
            {"overrides": ("model.backbone=1",)},
            pytest.raises(Invalid, match=r"model.backbone: 1.*{'type'"),
        ),
        ("linear", {"overrides": ("model.backbone.frozen=1",)}, pytest.raises(Invalid, match=r"frozen: 1.*True")),
        (
            "linear",
            {"overrides": ("model.decode_head.num_classes=1.5",)},
            pytest.raises(Invalid, match=r"num_classes: 1.5.*18"),
        ),
        (
            "linear",
            {"overrides": ("train_dataloader.num_workers=1000000",)},
            pytest.raises(Invalid, match="num_workers: "),
        ),
        ("linear", {"overrides": ("optim_wrapper.optimizer.lr=NaN",)}, pytest.raises(Invalid, match="lr: 'NaN'")),
        ("san", {"finetune": True}, pytest.raises(Mismatch, match="--finetune: SAN")),
    ],
)
def test_an_option_that_cannot_be_used_is_named_before_anything_is_written(
    head: str,
    changes: dict[str, Any],
    refused: pytest.RaisesExc[Exception],
    world: Path,
    trained: Path,
    tmp_path: Path,
) -> None:
    with refused as told:
        run(trained, head, world, tmp_path / "run", **changes)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_not_gone_on_with(world: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(Occupied, match="--out"):
        run(trained, "linear", world, tmp_path / "run", resume=True)


def test_a_run_is_neither_overwritten_nor_gone_on_with_in_another_way(
    finished: Path, world: Path, trained: Path
) -> None:
    with pytest.raises(InputError, match="already holds a run; continue it with --resume or choose another --out"):
        run(trained, "linear", world, finished)
    with pytest.raises(InputError, match=r"batch: differs from the value in .*linear; .*set it back"):
        run(trained, "linear", world, finished, resume=True, sizes=SMALL._replace(batch=8))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "--dataset: is required"),
        ({"dataset": "ade20k", "out": Path("a.txt")}, r"--out: a\.txt: "),
        ({"against_checkpoint": Path("a.pt")}, r"--against-checkpoint: a\.pt has no tower"),
    ],
)
def test_a_measurement_that_cannot_be_made_is_one_sentence(
    changes: dict[str, Any], sentence: str, world: Path, trained: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        evaluate(trained, world, **changes)


def test_runs_of_one_process_share_no_visualizer(finished: Path) -> None:
    assert finished.is_dir()
    assert not Visualizer.check_instance_created("visualizer")  # it would write to the first run's folder for ever


def test_a_run_is_measured_as_it_was_trained(finished: Path, world: Path) -> None:
    with pytest.raises(InputError, match="already has its own tower and sizes; do not give others"):
        evaluate(finished, world, sizes=Sizes(crop=96))


def test_what_cannot_be_trained_is_said(world: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--head: 'training-free' cannot be trained; valid: linear, san, upernet"):
        run(trained, "training-free", world, tmp_path / "a")
