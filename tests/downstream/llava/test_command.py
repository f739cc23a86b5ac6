"""The verbs as a user types them, and a stage on two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from transformers import LlavaForConditionalGeneration
from typer.testing import CliRunner

from diva.cli import app
from diva.errors import InputError, Invalid
from diva.run_folder import RunFolder
from diva.towers import load_clip
from diva_downstream.llava.miniature import write_miniature
from diva_downstream.llava.swap import swap
from tests.fixtures.images import crops
from tests.training.test_run import wait_for


def write_stage(folder: Path, model: Path, *, micro_batch: int) -> Path:
    """Write a recipe with its data: the first stage on eight photographs, two updates of four."""
    records = []
    for number, image in enumerate(crops(8, 40)):
        image.save(folder / f"{number}.jpg")
        turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Red. " * (number + 1)}]
        records.append({"id": str(number), "image": f"{number}.jpg", "conversations": turns})
    (folder / "captions.json").write_text(json.dumps(records))
    recipe = {
        "name": "tiny",
        "model": str(model),
        "train": "projector",
        "data": {
            "conversations": str(folder / "captions.json"),
            "images": str(folder),
            "template": "plain",
            "workers": 0,
        },
        "training": {"steps": 2, "lr": 1e-2, "global_batch": 4, "micro_batch": micro_batch, "precision": "fp32"},
    }
    path = folder / f"recipe-{micro_batch}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def diva(*words: object) -> list[str]:
    return [sys.executable, "-m", "diva.cli", *map(str, words)]


@pytest.mark.slow  # two more processes have to load everything
def test_two_processes_train_what_one_trains(llava_folder: Path, tmp_path: Path) -> None:
    recipe = write_stage(tmp_path, llava_folder, micro_batch=2)
    ran = CliRunner().invoke(app, ["llava", "train", str(recipe), "--out", str(tmp_path / "one")])
    assert ran.exit_code == 0, ran.exception
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = diva("llava", "train", recipe, "--out", tmp_path / "two")
    subprocess.run([words[0], *launcher, *words[1:]], check=True, capture_output=True, timeout=300)
    one, two = (
        LlavaForConditionalGeneration.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two")
    )
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-5, rtol=0, msg=key)


def test_the_sharding_file_trains_a_whole_llava_as_one_process_does(llava_folder: Path, tmp_path: Path) -> None:
    recipe, changed = write_stage(tmp_path, llava_folder, micro_batch=2), ["train=full", "training.lr=1e-3"]
    words = ["llava", "train", str(recipe), *changed, "--out"]
    ran = CliRunner().invoke(app, [*words, str(tmp_path / "one")])
    assert ran.exit_code == 0, ran.exception
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "downstream/llava/fsdp.yaml"]
    own = ["--num_processes", "2", "--mixed_precision", "no", "--module", "tests.fixtures.sharded"]
    subprocess.run(
        [*launcher, *own, *words, str(tmp_path / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert list((tmp_path / "two" / "checkpoints").glob("*/pytorch_model_fsdp_0/*.distcp"))
    start, one, two = (
        LlavaForConditionalGeneration.from_pretrained(folder).state_dict()
        for folder in (llava_folder, tmp_path / "one", tmp_path / "two")
    )
    moved = torch.cat([(one[key] - start[key]).flatten() for key in start]).norm()
    apart = torch.cat([(one[key] - two[key]).flatten() for key in start]).norm()
    assert apart < 1e-2 * moved


@pytest.mark.slow  # three times two processes
def test_two_sharded_processes_killed_and_resumed_train_the_tower_as_one_does(
    llava_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    swap(llava_folder, str(tower_folder), tmp_path / "swapped")
    recipe = write_stage(tmp_path, tmp_path / "swapped", micro_batch=2)
    changed = [
        "train=full",
        "training.lr=1e-3",
        "tower.lr=1e-3",
        "training.steps=16",
        "training.checkpoint_every=2",
    ]
    words = ["llava", "train", str(recipe), *changed, "--out"]
    ran = CliRunner().invoke(app, [*words, str(tmp_path / "one")])
    assert ran.exit_code == 0, ran.exception
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "downstream/llava/fsdp.yaml"]
    own = ["--num_processes", "2", "--mixed_precision", "no", "--module", "tests.fixtures.sharded"]
    command = [*launcher, *own, *words, str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    run = RunFolder(tmp_path / "two")
    with subprocess.Popen(command, env=environment) as started:
        wait_for(run.checkpoints)
        for process in psutil.Process(started.pid).children(recursive=True):
            process.kill()
    assert not (run.path / "config.json").exists()
    subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True, timeout=300)
    start, one, two = (
        load_clip(str(folder)).model.state_dict() for folder in (tower_folder, tmp_path / "one", run.path)
    )
    moved = torch.cat([(one[key] - start[key]).flatten() for key in start]).norm()
    apart = torch.cat([(one[key] - two[key]).flatten() for key in start]).norm()
    assert moved > 0
    assert apart < 2e-2 * moved


def test_a_swap_and_a_conversion_by_their_verbs(llava_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    swapped, original = tmp_path / "swapped", tmp_path / "original"
    for words in (
        ["swap", str(llava_folder), "--tower", str(tower_folder), "--out", str(swapped)],
        ["convert", str(swapped), "--to", "original", "--out", str(original)],
    ):
        assert runner.invoke(app, ["llava", *words]).exit_code == 0
    assert json.loads((original / "config.json").read_text())["mm_vision_tower"] == str(original / "vision_tower")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = ["llava", "swap", str(tmp_path / "nothing"), "--tower", "x", "--out", str(tmp_path / "out")]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, InputError)
    assert str(error) == f"MODEL: {tmp_path / 'nothing'}: no such file or folder; check the path"


def test_the_sharding_file_is_one_that_accelerate_reads() -> None:
    config = load_config_from_file("downstream/llava/fsdp.yaml")
    assert str(config.distributed_type).endswith("FSDP")
    assert config.fsdp_config["fsdp_version"] == 2
    assert (config.num_processes, config.mixed_precision) == (8, "bf16")


def test_the_miniature_wants_conversations(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(Invalid, match=r"empty\.json:"):
        write_miniature([tmp_path / "empty.json"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
