"""Whole runs of tiny models: what they write, and how they stop and go on."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from diva.errors import Changed, Failed, InputError, Mismatch, Occupied, RunError, WriteFailed
from diva.exporting.note import read_note
from diva.recipes import Recipe, load_recipe
from diva.run_folder import RunFolder
from diva.towers import load_clip
from diva.training import train
from diva.training.build import build_accelerator, build_trainer
from diva.training.metrics import Metrics
from diva.training.run import _refuse_other_processes
from tests.fixtures.full_disk import full_disk
from tests.training.conftest import WriteRecipe

Tiny = Callable[..., Recipe]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "tower" / "open_clip_model.safetensors") | load_file(run / "projection.safetensors")


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_equal(run: Path, other: Path) -> None:
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    measured = {"images_per_second", "memory_gib"}
    timeless = [[{k: v for k, v in line.items() if k not in measured} for line in metrics(r)] for r in (run, other)]
    assert timeless[0] == timeless[1]


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the run did not get there in time"
        time.sleep(0.05)


@pytest.mark.parametrize("adapt", [[], ["tower.adapt={type: lora, rank: 2, dropout: 0.1}"]])
def test_the_tower_of_every_checkpoint_is_kept_and_training_does_not_notice(
    tiny: Tiny, tmp_path: Path, adapt: list[str]
) -> None:
    fields = [*adapt, "training.checkpoint_every=2", "stages.0.warmup=0", "stages.0.schedule=constant"]
    train(tiny(*fields, "stages.0.steps=6", "training.keep_towers=true"), tmp_path / "kept")
    train(tiny(*fields, "stages.0.steps=6"), tmp_path / "plain")
    train(tiny(*fields, "stages.0.steps=4"), tmp_path / "shorter")  # the rate is constant, so it is the same run
    assert_equal(tmp_path / "kept", tmp_path / "plain")
    towers = {path.name: path for path in (tmp_path / "kept" / "towers").iterdir()}
    assert sorted(towers) == [f"step-{step:08d}" for step in (2, 4, 6)]
    for kept, run in (("step-00000004", "shorter"), ("step-00000006", "plain")):
        ours, theirs = (
            load_file(path / "open_clip_model.safetensors") for path in (towers[kept], tmp_path / run / "tower")
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert load_clip(str(towers["step-00000002"])).sha256 != load_clip(str(towers["step-00000004"])).sha256
    assert read_note(towers["step-00000002"]) == read_note(tmp_path / "kept" / "tower")


def test_a_finished_run_without_checkpoints_is_left_as_it_is(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny("stages.0.steps=2"), run)
    shutil.rmtree(run / "checkpoints")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    train(tiny("stages.0.steps=2"), run, resume=True)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    with pytest.raises(Changed, match="stages:"):
        train(tiny("stages.0.steps=3"), run, resume=True)


def test_the_same_run_leaves_the_same_files(tiny: Tiny, tmp_path: Path) -> None:
    for name in "abc":
        train(tiny("stages.0.steps=1", "name=same"), tmp_path / name)
    for file in ("projection.safetensors", "tower/open_clip_model.safetensors"):
        assert len({(tmp_path / name / file).read_bytes() for name in "abc"}) == 1


def test_processes_that_nothing_joins_do_not_train_side_by_side(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(Mismatch, match=r"WORLD_SIZE: 8.*GPU"):
        train(tiny(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_killed_midway_and_resumed_ends_as_an_uninterrupted_one(
    write_tiny: WriteRecipe, tmp_path: Path
) -> None:
    path = write_tiny()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(load_recipe(str(path)), whole)

    command = [Path(sys.executable).with_name("diva"), "train", path, "--out", killed]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    wait_for(lambda: RunFolder(killed).checkpoints() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "tower").exists()
    assert len(metrics(killed)) < 20

    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2')  # a line that was being written
    train(load_recipe(str(path)), killed, resume=True)
    assert_equal(whole, killed)
    assert [line["step"] for line in metrics(killed)] == list(range(1, 21))

    # what the folder holds
    assert load_recipe(str(killed / "recipe.yaml")) == load_recipe(str(path))
    before = load_file(Path(load_recipe(str(path)).tower.name) / "open_clip_model.safetensors")
    after = weights(killed)
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert moved == {key for key in before if key.startswith("visual.")}
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{killed / 'tower'}")
    torch.testing.assert_close(model.state_dict()["visual.proj"], after["visual.proj"])
    assert len(RunFolder(killed).checkpoints()) == 2


def test_sigterm_saves_and_the_run_goes_on_where_it_stopped(
    tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny("training.checkpoint_every=100", "training.ema_decay=0.9", "training.micro_batch=4")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(recipe, whole)

    def ask_to_stop() -> None:
        wait_for(lambda: (stopped / "metrics.jsonl").is_file() and len(metrics(stopped)) >= 3)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask_to_stop).start()
    before = signal.getsignal(signal.SIGTERM)
    train(recipe, stopped)
    assert signal.getsignal(signal.SIGTERM) is before
    (saved,) = RunFolder(stopped).checkpoints()
    step = int(saved.name.removeprefix("step-"))
    assert 3 <= step < 20
    assert not (stopped / "tower").exists()
    assert f"stopped at step {step} as asked" in capfd.readouterr().err

    train(recipe, stopped, resume=True)
    assert f"resuming from step {step} (" in capfd.readouterr().err
    assert_equal(whole, stopped)
    averaged = [load_file(run / "tower-ema" / "open_clip_model.safetensors") for run in (whole, stopped)]
    assert all(torch.equal(averaged[0][key], averaged[1][key]) for key in averaged[0])
    assert not torch.equal(averaged[0]["visual.proj"], weights(whole)["visual.proj"])


def test_a_run_stopped_in_its_first_stage_goes_through_the_second(tiny: Tiny, tmp_path: Path) -> None:
    stages = [
        {"train": ["projection"], "steps": 6, "optimizer": {"type": "adamw", "lr": 1e-3}},
        {"train": ["tower", "projection"], "steps": 4, "optimizer": {"type": "sgd", "lr": 1e-2}, "warmup": 0.0},
    ]
    recipe = tiny(stages=stages)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(recipe, whole)
    lines = metrics(whole)
    assert [line["grad_norm_tower"] > 0 for line in lines] == [False] * 6 + [True] * 4
    cosine = [math.cos(math.pi * done / 4) for done in range(4)]
    assert [line["lr"] for line in lines[6:]] == pytest.approx([1e-2 * (1 + c) / 2 for c in cosine])

    train(recipe, stopped)
    for path in RunFolder(stopped).checkpoints()[1:]:
        path.rename(path.with_name("later"))
    for name in ("tower", "projection.safetensors"):
        (stopped / name).rename(stopped / f"old-{name}")
    assert [path.name for path in RunFolder(stopped).checkpoints()] == ["step-00000005"]
    train(recipe, stopped, resume=True)
    assert_equal(whole, stopped)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny("stages.0.optimizer.lr=1e38", "stages.0.warmup=0.7", "training.checkpoint_every=1")
    with pytest.raises(RunError) as caught:
        train(recipe, tmp_path / "run")
    said = str(caught.value)
    assert re.search(r"step \d+: the loss is \[nan, nan\]", said)
    assert re.search(r"the last good checkpoint is .*step-0000000\d", said)
    assert len(re.findall(r"0000\d{5}", said.split("the batch was")[1])) == recipe.training.global_batch


def test_weights_that_the_last_update_has_spoilt_are_not_saved(tiny: Tiny, tmp_path: Path) -> None:
    recipe, run = tiny("stages.0.steps=1"), tmp_path / "run"
    trainer = build_trainer(recipe, build_accelerator(recipe, run), load_clip(recipe.tower.name), run)
    next(trainer.student.tower.parameters()).register_hook(lambda gradient: gradient * math.nan)
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(Failed, match=r"1.*norm.*gradient.*nan"):
        trainer.run(None)
    assert list((run / "checkpoints").iterdir()) == []


def test_metrics_that_cannot_be_written_stop_the_run_in_one_sentence(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "gone" / "metrics.jsonl"
    with (
        Metrics(build_accelerator(tiny(), tmp_path), path, total=1, start=0) as metrics,
        pytest.raises(WriteFailed, match=r"gone/metrics\.jsonl:"),
    ):
        metrics.write(1, "stage 1/1", 4, {"loss": 1.0})


def test_a_tracker_is_told_the_recipe_and_writes_into_the_run_s_folder(
    write_tiny: WriteRecipe, tmp_path: Path
) -> None:
    # the library is a large one: this one has of it what accelerate calls
    (tmp_path / "site" / "wandb-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "wandb-1.0.dist-info" / "METADATA").write_text("Name: wandb\nVersion: 1.0\n")
    (tmp_path / "site" / "wandb.py").write_text(WANDB)
    command = [Path(sys.executable).with_name("diva"), "train", write_tiny(), "--out", tmp_path / "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path / "site")}
    subprocess.run([*command, "training.trackers=[wandb]", "stages.0.steps=1"], env=environment, check=True)
    told = json.loads((tmp_path / "run" / "told.json").read_text())
    assert (told["project"], told["name"], told["config"]["seed"]) == ("diva", "tiny", 7)
    assert told["logged"] == [1]


WANDB = """
import json, pathlib

class Run:
    def __init__(self, **told):
        self.told = {**told, "logged": []}

    def log(self, values, step):
        self.told["logged"].append(step)

    def finish(self):
        pathlib.Path(self.told["dir"], "told.json").write_text(json.dumps(self.told))

def init(**told):
    return Run(**told)
"""


def test_a_recipe_or_metrics_of_somebody_s_own_are_not_replaced(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("# mine\nextends: diva/quickstart\n")
    with pytest.raises(Occupied, match=r"recipe\.yaml:"):
        train(tiny("stages.0.steps=1"), tmp_path)
    (tmp_path / "recipe.yaml").rename(tmp_path / "metrics.jsonl")
    with pytest.raises(Occupied, match=r"metrics\.jsonl:"):
        train(tiny("stages.0.steps=1"), tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text().startswith("# mine")


def test_a_checkpoint_with_a_file_of_somebody_s_own_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    recipe = ("training.checkpoint_every=1", "training.keep_checkpoints=2")
    train(tiny("stages.0.steps=2", *recipe), tmp_path)
    first, _ = RunFolder(tmp_path).checkpoints()
    (first / "notes.txt").write_text("mine")
    (tmp_path / "tower").rename(tmp_path / "old-tower")
    (tmp_path / "recipe.yaml").write_text((tmp_path / "recipe.yaml").read_text().replace("steps: 2", "steps: 4"))
    train(tiny("stages.0.steps=4", *recipe), tmp_path, resume=True)
    assert [path.name for path in RunFolder(tmp_path).checkpoints()] == [
        first.name,
        "step-00000003",
        "step-00000004",
    ]


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_half_written(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny("stages.0.steps=5"), run)
    (kept,) = RunFolder(run).checkpoints()
    (run / "tower").rename(run / "old-tower")
    with full_disk(100_000), pytest.raises(RunError, match=r"run/tower: cannot be written \("):
        train(tiny("stages.0.steps=5"), run, resume=True)
    assert not (run / "tower").exists()
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("steps: 5", "steps: 20"))
    told = pytest.raises(RunError, match=r"step-00000010: the checkpoint could not be .*the last good one is")
    with full_disk(100_000), told:
        train(tiny(), run, resume=True)
    assert [path.name for path in (run / "checkpoints").iterdir()] == [kept.name]


def test_the_length_of_a_stage_may_be_given_in_images_or_epochs(tiny: Tiny, tmp_path: Path) -> None:
    for length, steps in (("images", 9), ("epochs", 0.25)):
        stages = [{length: steps, "optimizer": {"type": "sgd"}}]
        train(tiny(stages=stages), tmp_path / length)
    assert len(metrics(tmp_path / "images")) == 3  # 9 images in batches of 4
    assert len(metrics(tmp_path / "epochs")) == 2  # a quarter of 32 images


def test_bf16_training_follows_float32(tiny: Tiny, tmp_path: Path) -> None:
    stages = [{"steps": 4, "warmup": 0.0, "optimizer": {"type": "sgd", "lr": 1e-2}}]
    train(tiny(stages=stages), tmp_path / "fp32")
    AcceleratorState._reset_state(reset_partial_state=True)
    train(tiny("training.precision=bf16", "training.frozen_dtype=bfloat16", stages=stages), tmp_path / "bf16")
    for exact, rounded in zip(metrics(tmp_path / "fp32"), metrics(tmp_path / "bf16"), strict=True):
        assert rounded["loss"] == pytest.approx(exact["loss"], rel=2e-2)
        assert rounded["grad_norm"] == pytest.approx(exact["grad_norm"], rel=0.2)
    assert load_clip(str(tmp_path / "bf16" / "tower")).model.state_dict()["visual.proj"].dtype == torch.float32


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.micro_batch=3", "training.global_batch: 4 is no multiple of micro_batch × processes"),
        ("condition.tokens.count=15", r"positions \(17\), but condition.tokens gives 16"),
        ("denoiser.path=nowhere", "denoiser.path: nowhere: has no unet, vae, text_encoder, tokenizer, scheduler"),
        ("denoiser.timesteps=[0,1001]", r"denoiser.timesteps: \[0, 1001\] is not a range within 0..1000"),
        ("data.source=nowhere/*.tar", "nowhere"),
        ("tower.name=nowhere", "nowhere"),
        ("training.trackers=[wandb]", "wandb is not installed; run pip install wandb"),
        ("condition.tokens={kind: none}", "nothing can be trained"),
    ],
)
def test_what_does_not_fit_is_said_before_training(tiny: Tiny, tmp_path: Path, override: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        train(tiny(override), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_overwritten_and_a_resumed_one_keeps_its_recipe(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny("stages.0.steps=5"), run)
    with pytest.raises(Occupied, match=r"--resume.*--out"):
        train(tiny(), run)
    with pytest.raises(Changed, match="stages:"):
        train(tiny(), run, resume=True)
    with pytest.raises(Changed, match=r"data.image_size:"):
        train(tiny("stages.0.steps=5", "data.image_size=48"), run, resume=True)
    (saved,) = RunFolder(run).checkpoints()
    shared = tiny("feedback.same_draws_on_every_process=true")
    _refuse_other_processes(shared, saved, 1)
    with pytest.raises(Changed, match=r"same_draws_on_every_process: .*1.*2"):
        _refuse_other_processes(shared, saved, 2)
