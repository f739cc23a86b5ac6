"""Each method's miniature recipe through the one trainer: what it writes, and that a resumed run goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor

from diva.errors import Changed, Damaged, Invalid, Mismatch, Unknown, Unsupported
from diva.pipelines.load import load_pipeline
from diva.recipes import Recipe, load_recipe, write_recipe
from diva.run_folder import RunFolder
from diva.seal import seal
from diva.towers import load_clip
from diva.training import train
from diva.training.adapt import plain_state
from diva.training.build import build_accelerator, build_trainer
from diva.training.run import _find_checkpoint
from tests.fixtures.image_only import write_timm
from tests.fixtures.teachers import tiny_dit
from tests.fixtures.towers import state_of, tiny_clip, transformers_model, write_today

Load = Callable[..., Recipe]
STEPS = 3  # updates of a stage
# method → its first recipe, and what trains in it
METHODS = {
    "diva/quickstart": ["projection.safetensors"],
    "dcr/quickstart": ["projection.safetensors"],
    "genhancer/quickstart": ["projection.safetensors", "denoiser"],
    "un2clip/quickstart-decoder": ["denoiser"],
}


@pytest.fixture
def load(tower_folder: Path, teacher_folder: Path, shards: Path) -> Load:
    """Load a packaged miniature recipe, with tiny networks in the place of the miniature ones and short stages."""

    def load(name: str, *overrides: str) -> Recipe:
        stages = [f"stages.{number}.steps={STEPS}" for number in range(len(load_recipe(name).stages))]
        paths = [f"tower.name={tower_folder}", f"data.source={shards}/{{00000..00003}}.tar"]
        if "fit_images: null" not in overrides:
            paths.append(f"denoiser.path={teacher_folder}")
        small = ["data.image_size=32", "training.global_batch=4", "training.micro_batch=2", "training.log_every=1"]
        small += ["training.checkpoint_every=2", "training.keep_checkpoints=9", "diagnostics.images=4"]
        return load_recipe(name, [*paths, *small, *stages, *overrides])

    return load


def tensors(run: Path) -> dict[str, Tensor]:
    return {
        f"{path.relative_to(run)}:{name}": value
        for path in sorted(run.rglob("*.safetensors"))
        if "checkpoints" not in path.parts
        for name, value in load_file(path).items()
    }


def lines(run: Path) -> list[dict[str, object]]:
    measured = {"images_per_second", "memory_gib"}
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in measured} for line in read]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_and_goes_on_exactly_from_any_of_its_checkpoints(
    name: str, load: Load, tmp_path: Path
) -> None:
    recipe, whole = load(name, "training.ema_decay=0.9", "diagnostics.every=2"), tmp_path / "whole"
    train(recipe, whole)
    written = tensors(whole)
    assert {key.split(":")[0].split("/")[0] for key in written} == {*METHODS[name], "tower", "tower-ema"}
    total = STEPS * len(recipe.stages)
    assert [line["step"] for line in lines(whole)] == list(range(1, total + 1))
    for kept in RunFolder(whole).checkpoints()[:-1]:
        AcceleratorState._reset_state(reset_partial_state=True)
        killed = tmp_path / kept.name
        killed.mkdir()
        for path in ("recipe.yaml", "metrics.jsonl"):
            shutil.copy(whole / path, killed)
        copied = shutil.copytree(kept, killed / "checkpoints" / kept.name)
        (copied / "random_states_0.pkl").unlink()  # of accelerate; nothing draws from these generators
        seal(copied)
        train(recipe, killed, resume=True)
        assert lines(killed) == lines(whole)
        again = tensors(killed)
        assert again.keys() == written.keys()
        assert all(torch.equal(again[key], written[key]) for key in written)


def test_only_what_a_stage_names_changes(load: Load, tmp_path: Path, tower_folder: Path) -> None:
    """GenHancer's first stage trains projection and denoiser, its second the tower's low-rank updates alone."""
    recipe = load("genhancer/quickstart")
    train(recipe, tmp_path / "both")
    AcceleratorState._reset_state(reset_partial_state=True)
    first = recipe.model_copy(update={"stages": recipe.stages[:1]})
    train(first, tmp_path / "first")
    both, one = tensors(tmp_path / "both"), tensors(tmp_path / "first")
    changed = {key for key in both if not torch.equal(both[key], one[key])}
    start = load_file(tower_folder / "open_clip_model.safetensors")
    assert all(torch.equal(value, one[f"tower/open_clip_model.safetensors:{key}"]) for key, value in start.items())
    names = {key.split(":")[1] for key in changed}
    assert {key.split(":")[0] for key in changed} == {"tower/open_clip_model.safetensors"}
    blocks = {name for name in names if ".resblocks." in name}
    assert blocks == names
    assert {name.split(".", 4)[4] for name in names} == {
        f"{layer}{part}"
        for layer in ("attn.in_proj_", "attn.out_proj.", "mlp.c_fc.", "mlp.c_proj.")
        for part in ("weight", "bias")
    }


def test_the_ablation_s_dit_is_judged_by_a_projected_vector_and_left_as_it_is(
    load: Load, tmp_path: Path, tower_folder: Path
) -> None:
    dit = tiny_dit(tmp_path / "dit")
    tiny = ("tower.checkpoint=null", f"denoiser.path={dit}", "data.workers=0", "data.streams=4")
    train(load("diva/openai-vit-l14-224-dit", *tiny), tmp_path / "run")
    trained = tensors(tmp_path / "run")
    tower, projection = "tower/open_clip_model.safetensors", "projection.safetensors"
    assert {key.split(":")[0] for key in trained} == {tower, projection}
    # from the tower's joint space, 32 wide, to the transformer's width, 2 heads of 16
    assert trained[f"{projection}:projection.weight"].shape == (32, 32)
    start = load_file(tower_folder / "open_clip_model.safetensors")
    changed = {name for name, value in start.items() if not torch.equal(trained[f"{tower}:{name}"], value)}
    assert changed
    assert all(name.startswith("visual.") for name in changed)


@pytest.mark.slow
def test_two_processes_train_a_denoiser_and_then_a_tower_as_one_process_does(load: Load, tmp_path: Path) -> None:
    recipe = load("genhancer/quickstart", "tower.adapt.dropout=0.0", "diagnostics.every=2")
    write_recipe(recipe, tmp_path / "mine.yaml")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*launch, "-m", "diva.cli", "train", tmp_path / "mine.yaml", "--out", tmp_path / "two"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        stderr=subprocess.DEVNULL,
        check=True,
    )
    train(recipe, tmp_path / "one")
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(lines(tmp_path / "two"), lines(tmp_path / "one"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_the_written_tower_is_the_trained_one_with_its_updates_merged(load: Load, tmp_path: Path) -> None:
    recipe = load("dcr/quickstart")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    clip = load_clip(recipe.tower.name)
    trainer = build_trainer(recipe, build_accelerator(recipe, tmp_path), clip, tmp_path / "run")
    trainer.run(None)
    trained = trainer.student.tower.eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted, before = trained(pixels), clip.tower(pixels)
        clip.tower.load_state_dict(plain_state(trained))
        found = clip.tower(pixels)
    assert (wanted.pooled - before.pooled).abs().max() > 1e-4
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-5


def test_a_decoder_of_an_earlier_run_serves_the_tower_that_it_was_trained_for_and_no_other(
    load: Load, tmp_path: Path
) -> None:
    train(load("un2clip/quickstart-decoder"), tmp_path / "decoder")
    makes = load_pipeline(None, load_recipe("un2clip/openai-vit-l14-224")).steps["decoder"].makes
    assert makes
    assert all((tmp_path / "decoder" / made).is_file() for made in makes)
    AcceleratorState._reset_state(reset_partial_state=True)
    second = load("un2clip/quickstart", f"denoiser.path={tmp_path / 'decoder' / 'denoiser'}")
    train(second, tmp_path / "tower")
    assert [line["stage"] for line in lines(tmp_path / "tower")] == ["stage 1/1"] * STEPS
    assert not (tmp_path / "tower" / "denoiser").exists()
    AcceleratorState._reset_state(reset_partial_state=True)
    anew = load("un2clip/quickstart-decoder", f"denoiser.path={tmp_path / 'decoder' / 'denoiser'}")
    with pytest.raises(Mismatch, match=r"denoiser\.fit_images: .*fit_images=null"):
        train(anew, tmp_path / "refused")
    AcceleratorState._reset_state(reset_partial_state=True)
    other = tiny_clip(tmp_path / "other", seed=5)
    foreign = second.model_copy(update={"tower": second.tower.model_copy(update={"name": str(other)})})
    says = r"denoiser\.path: .*un2clip/quickstart-decoder"
    with pytest.raises(Mismatch, match=says) as caught:
        train(foreign, tmp_path / "refused")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "refused").exists()


def test_a_projection_of_an_earlier_run_is_taken_over_for_its_tower_and_no_other(
    load: Load, tmp_path: Path, tower_folder: Path
) -> None:
    recipe = load("dcr/quickstart", "training.precision=fp32")
    first = recipe.model_copy(update={"stages": recipe.stages[:1]})
    train(first, tmp_path / "first")
    weights = tmp_path / "first" / "projection.safetensors"
    second = recipe.model_copy(
        update={
            "stages": recipe.stages[1:],
            "condition": recipe.condition.model_copy(update={"weights": str(weights)}),
        }
    )
    AcceleratorState._reset_state(reset_partial_state=True)
    trainer = build_trainer(
        second, build_accelerator(second, tmp_path), load_clip(str(tower_folder)), tmp_path / "second"
    )
    taken = trainer.student.condition.state_dict()
    assert all(torch.equal(value, taken[key]) for key, value in load_file(weights).items())

    AcceleratorState._reset_state(reset_partial_state=True)
    other = second.model_copy(
        update={"tower": second.tower.model_copy(update={"name": str(tiny_clip(tmp_path / "other", seed=5))})}
    )
    with pytest.raises(Mismatch, match=r"projection\.safetensors.*dcr/quick"):
        train(other, tmp_path / "refused")
    AcceleratorState._reset_state(reset_partial_state=True)
    mismatch = load("diva/quickstart", f"condition.weights={weights}")
    with pytest.raises(Mismatch, match=r"projection\.safetensors:"):
        train(mismatch, tmp_path / "refused")


@pytest.mark.parametrize(
    ("override", "refused"),
    [
        ("condition.weights=nowhere.safetensors", pytest.raises(Damaged, match=r"nowhere.safetensors")),
        ("training.micro_batch=1", pytest.raises(Invalid, match=r"training.micro_batch: 1")),
        ("tower.adapt={type: lora, targets: [q_prj]}", pytest.raises(Unknown, match="'q_prj'")),
        ("condition={type: image_embedding}", pytest.raises(Mismatch, match="image_embedding")),
        ("condition={type: class_vector}", pytest.raises(Mismatch, match="vector")),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    load: Load, tmp_path: Path, override: str, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused as caught:
        train(load("dcr/quickstart", override), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_stage_that_could_train_nothing_is_refused(load: Load, tmp_path: Path) -> None:
    stages = "[{train: [projection], steps: 1}, {train: [denoiser], steps: 1}]"
    recipe = load("un2clip/quickstart-decoder", f"stages={stages}")
    with pytest.raises(Mismatch, match=r"stages\.train:"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "dropout", "kept"), [("dcr", 0.0, True), ("genhancer", 0.1, True), ("genhancer", 0.0, False)]
)
def test_a_resumed_run_keeps_the_micro_batch_that_its_losses_or_dropout_belong_to(
    load: Load, tmp_path: Path, name: str, dropout: float, kept: bool
) -> None:
    drop = f"tower.adapt.dropout={dropout}"
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-00000001" / "position.json").touch()
    seal(tmp_path / "checkpoints" / "step-00000001")
    write_recipe(load(f"{name}/quickstart", drop), tmp_path / "recipe.yaml")
    now = load(f"{name}/quickstart", drop, "training.micro_batch=4")
    with pytest.raises(Changed, match=r"training\.micro_batch:") if kept else nullcontext():
        _find_checkpoint(now, RunFolder(tmp_path), resume=True)


def test_dropout_depends_on_the_images_of_a_micro_batch_and_on_nothing_drawn_before(
    load: Load, tmp_path: Path
) -> None:
    recipe = load("dcr/quickstart")
    trainer = build_trainer(recipe, build_accelerator(recipe, tmp_path), load_clip(recipe.tower.name), tmp_path)
    state = trainer.prepare(1)
    for name, parameter in trainer.student.tower.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)  # they start as zeros, so that nothing shows what is dropped
    micro_batch = next(trainer.prefetcher)
    other = micro_batch._replace(batch=micro_batch.batch._replace(indices=micro_batch.batch.indices + 1))
    with torch.no_grad():
        first, elsewhere, again = (trainer._losses(state.modules[0], p) for p in (micro_batch, other, micro_batch))
    assert torch.equal(first, again)
    assert not torch.equal(first, elsewhere)


def test_an_anchor_holds_the_embeddings_nearer_to_the_original_ones(load: Load, tmp_path: Path) -> None:
    drift = {}
    for weight in (0.0, 100.0):
        overrides = (f"preservation.anchor={weight}", "diagnostics.every=1", "stages.1.optimizer.lr=1e-3")
        train(load("diva/quickstart", *overrides), tmp_path / str(weight))
        AcceleratorState._reset_state(reset_partial_state=True)
        drift[weight] = float(str(lines(tmp_path / str(weight))[-1]["drift"]))
    assert 0 < drift[100.0] < 0.7 * drift[0.0]


ONE_UPDATE = ["stages.0.steps=1", "stages.1.steps=1", "stages.1.warmup=0.0", "stages.1.schedule=constant"]
ONE_UPDATE += ["diagnostics.every=null"]
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("diva/quickstart", "pe-core"),
        ("genhancer/quickstart", "eva02"),
        pytest.param("genhancer/quickstart", "pe-core", marks=SLOW),
        pytest.param("diva/quickstart", "eva02", marks=SLOW),
        pytest.param("diva/quickstart", "mobileclip-b", marks=SLOW),
        pytest.param("genhancer/quickstart", "mobileclip-b", marks=SLOW),
    ],
)
def test_a_trunk_with_its_projection_inside_is_trained_by_an_update(
    name: str, kind: str, load: Load, tmp_path: Path
) -> None:
    folder = write_today(tmp_path / kind, kind)
    train(load(name, f"tower.name={folder}", *ONE_UPDATE), tmp_path / "run")
    start, trained = (load_file(path / "open_clip_model.safetensors") for path in (folder, tmp_path / "run/tower"))
    changed = {key for key, value in start.items() if not torch.equal(trained[key], value)}
    assert trained.keys() == start.keys()
    assert {"visual.trunk.head.weight", "visual.trunk.blocks.0.mlp.fc2.weight"} <= changed
    assert all(key.startswith("visual.trunk.") for key in changed)


def test_a_resnet_is_trained_by_methods_that_read_the_pooled_token_alone(load: Load, tmp_path: Path) -> None:
    folder = write_today(tmp_path / "resnet", "resnet")
    short = (f"tower.name={folder}", *ONE_UPDATE)
    train(load("genhancer/quickstart", *short, "tower.adapt={type: whole}"), tmp_path / "run")
    start, trained = (load_file(path / "open_clip_model.safetensors") for path in (folder, tmp_path / "run/tower"))
    changed = {key for key, value in start.items() if not torch.equal(trained[key], value)}
    assert "visual.attnpool.c_proj.weight" in changed
    assert all(key.startswith("visual.") and "running_" not in key for key in changed)
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(Mismatch, match=r"condition\.tokens:"):
        train(load("diva/quickstart", *short), tmp_path / "patches")


@pytest.mark.parametrize("kind", ["dinov3", pytest.param("CLIPVisionModel", marks=SLOW)])
def test_an_image_tower_without_text_is_trained_in_its_own_space(kind: str, load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    if kind == "dinov3":
        write_timm(folder, "vit_small_patch16_dinov3")
    else:
        transformers_model(kind).save_pretrained(folder)
    train(load("diva/quickstart", f"tower.name={folder}", *ONE_UPDATE), tmp_path / "run")
    base, trained = (load_clip(str(path)).tower for path in (folder, tmp_path / "run"))
    state = base.state_dict()
    assert trained.state_dict().keys() == state.keys()
    assert sum(not torch.equal(value, state[key]) for key, value in trained.state_dict().items()) > 20
    assert load_file(tmp_path / "run" / "projection.safetensors")["projection.weight"].shape[1] == base.width


def test_an_image_tower_that_no_format_holds_is_refused_before_it_is_trained(load: Load, tmp_path: Path) -> None:
    folder = write_today(tmp_path / "convnext", "convnext")
    image = {key: value for key, value in state_of(folder).items() if key.startswith("visual.")}
    save_file(image, folder / "open_clip_model.safetensors")
    short = (f"tower.name={folder}", *ONE_UPDATE, "tower.adapt={type: whole}")
    says = r"convnext: transformers has no model .*; give the whole model, with its text tower$"
    with pytest.raises(Unsupported, match=says):
        train(load("genhancer/quickstart", *short), tmp_path / "run")
    assert not (tmp_path / "run").exists()
