"""`diva data judge` and the runs that read its verdicts."""

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from diva.cli import app
from diva.errors import BadData, Changed, Failed, InputError, Mismatch, Missing, Occupied
from diva.exporting.command import export
from diva.recipes import load_recipe
from diva.training import train
from diva.verdicts.agreement import Agreement
from tests.fixtures.mmvp import write_questions
from tests.fixtures.teachers import tiny_stable_diffusion
from tests.fixtures.towers import tiny_clip
from tests.training.conftest import WriteRecipe
from tests.training.test_run import metrics, wait_for

LIST = {
    "caption": "a {colour} {noun}, {side}",
    "groups": {
        "noun": {"taught": "tower", "alternatives": ["cat", "rocket"], "text": "a photo of a {noun}"},
        "colour": {"alternatives": ["red", "green", "blue"], "text": "a photo of a {colour} {noun}"},
        "side": {"alternatives": ["on the left", "on the right"], "text": "a photo of a {noun} {side}"},
    },
}
OBJECTIVE = {"type": "statements", "checked": 0.5}


@pytest.fixture
def recipe(write_tiny: WriteRecipe, tmp_path: Path) -> Path:
    """Return a recipe's file; its teacher is a copy, which a test may remove."""
    statements = tmp_path / "list.yaml"
    statements.write_text(yaml.safe_dump(LIST, sort_keys=False))
    path = write_tiny(
        condition=None,
        feedback={"samples_per_image": 1},
        objective=OBJECTIVE | {"statements": str(statements)},
        stages=[{"train": ["tower"], "steps": 6, "warmup": 0.0, "optimizer": {"type": "adamw", "lr": 1e-3}}],
    )
    document = yaml.safe_load(path.read_text())
    document["denoiser"]["path"] = shutil.copytree(document["denoiser"]["path"], tmp_path / "teacher").as_posix()
    path.write_text(yaml.safe_dump(document))
    return path


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "tower" / "open_clip_model.safetensors")


def judge(recipe: Path, out: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["data", "judge", str(recipe), *words, "--out", str(out)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_run_reads_verdicts_without_its_teacher_or_its_images_and_learns_them(
    recipe: Path, tmp_path: Path
) -> None:
    said = judge(recipe, tmp_path / "verdicts")
    assert "00003.tar (4 of 4): 8 images, 0 skipped" in said
    assert "32 images were judged" in said
    shutil.rmtree(tmp_path / "teacher")
    resolved = load_recipe(str(recipe), [f"data.verdicts={tmp_path / 'verdicts'}", "data.source=nowhere"])
    train(resolved, tmp_path / "run")
    losses = [line["loss"] for line in metrics(tmp_path / "run")]
    assert min(losses[3:]) < losses[0]
    start = load_file(Path(resolved.tower.name) / "open_clip_model.safetensors")
    changed = {name for name, value in start.items() if not value.equal(weights(tmp_path / "run")[name])}
    assert changed
    assert all(name.startswith("visual.") for name in changed)
    assert not (tmp_path / "run" / "projection.safetensors").exists()
    export(tmp_path / "run", tmp_path / "exported", to="open_clip")
    assert (
        r"- Verdicts: stable\_diffusion, objective statements." in (tmp_path / "exported" / "README.md").read_text()
    )


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "verdicts")
    resolved = load_recipe(str(recipe), [f"data.verdicts={tmp_path / 'verdicts'}", "training.checkpoint_every=3"])
    train(resolved, tmp_path / "whole")
    AcceleratorState._reset_state(reset_partial_state=True)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "whole" / "checkpoints" / "step-00000003", killed / "checkpoints" / "step-00000003")
    for name in ("recipe.yaml", "metrics.jsonl"):
        shutil.copy(tmp_path / "whole" / name, killed)
    train(resolved, killed, resume=True)
    ours, theirs = weights(killed), weights(tmp_path / "whole")
    assert all(ours[name].equal(value) for name, value in theirs.items())


def test_a_killed_judge_goes_on_to_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    slow, out = "objective.samples=8", tmp_path / "part"
    judge(recipe, tmp_path / "whole", slow)
    killed = multiprocessing.get_context("fork").Process(target=judge, args=(recipe, out, slow))
    killed.start()
    wait_for(lambda: (out / "00001_stats.json").exists())
    killed.kill()
    killed.join()
    assert 1 <= len(list(out.glob("*.tar"))) < 4
    judge(recipe, out, slow)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }


def test_the_table_says_how_often_two_draws_agree_and_how_many_abstain(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "all", "objective.checked=1.0")
    found = Agreement.model_validate_json((tmp_path / "all" / "agreement.json").read_bytes())
    assert (found.images, found.checked, set(found.groups)) == (32, 32, {"colour", "side"})
    source = open_verdicts_of(tmp_path / "all")
    for name, span in (("colour", slice(2, 5)), ("side", slice(5, 7))):
        group = found.groups[name]
        agreed = [first[span].argmin() == second[span].argmin() for first, _, second in source]
        own = [first[span].argmin() == logits[span].argmax() for first, logits, _ in source]
        assert (group.abstained, group.chance) == (0.0, pytest.approx(100 / (span.stop - span.start)))
        assert group.agreed == pytest.approx(100 * sum(agreed) / 32)
        assert group.as_the_tower == pytest.approx(100 * sum(own) / 32)
    judge(recipe, tmp_path / "all", "objective.checked=1.0", "objective.margin=1000")
    found = Agreement.model_validate_json((tmp_path / "all" / "agreement.json").read_bytes())
    assert [(group.abstained, group.agreed) for group in found.groups.values()] == [(100.0, None)] * 2


def test_a_damaged_verdict_is_told_and_so_is_that_no_image_was_judged(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "verdicts")
    shard = tmp_path / "verdicts" / "00000.tar"
    content = bytearray(shard.read_bytes())
    content[content.index(b"NUMPY") + 128] ^= 1  # of the numbers behind the head of the first array
    shard.write_bytes(content)
    with pytest.raises(BadData, match=r"00000\.tar"):
        judge(recipe, tmp_path / "verdicts")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(Failed, match="broken"):
        judge(recipe, tmp_path / "none", f"data.source={tmp_path / 'broken'}", "data.max_bad_share=1.0")


def open_verdicts_of(folder: Path) -> list[np.ndarray]:
    """Read the verdicts with webdataset alone."""
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    return [sample["0.verdicts.npy"] for sample in webdataset.WebDataset(shards, shardshuffle=False).decode()]


def test_verdicts_on_something_else_are_refused(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "verdicts")
    other = LIST | {"caption": "one {colour} {noun}, {side}"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    for override, says in (
        ("objective.samples=2", "was made with samples 1, and the recipe has 2"),
        ("denoiser.timesteps=[300,900]", r"was made with timesteps \(0, 1000\), and the recipe has \(300, 900\)"),
        ("data.image_size=40", "was made with image_size 32, and the recipe has 40"),
        (f"objective.statements={tmp_path / 'other.yaml'}", "holds verdicts of another list of statements"),
    ):
        stale = load_recipe(str(recipe), [f"data.verdicts={tmp_path / 'verdicts'}", override])
        with pytest.raises(Changed, match=f"^data.verdicts: .*{says}.*.*'diva data judge'"):
            train(stale, tmp_path / "run")
        with pytest.raises(Changed, match=f"^--out: .*{says}.*.*--out"):
            judge(recipe, tmp_path / "verdicts", override)


def test_verdicts_for_another_tower_or_by_another_teacher_are_refused(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "verdicts")
    other = f"tower.name={tiny_clip(tmp_path / 'other', seed=5)}"
    with pytest.raises(Changed, match="verdicts:"):
        train(load_recipe(str(recipe), [f"data.verdicts={tmp_path / 'verdicts'}", other]), tmp_path / "run")
    tiny_stable_diffusion(tmp_path / "other-teacher", seed=4)
    with pytest.raises(Occupied, match=r"teacher_sha256.*--out"):
        judge(recipe, tmp_path / "verdicts", f"denoiser.path={tmp_path / 'other-teacher'}")


def test_a_run_without_verdicts_and_a_judge_that_reads_no_text_are_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"^data.verdicts: .*judge's verdicts; run 'diva"):
        train(load_recipe(str(recipe)), tmp_path / "run")
    with pytest.raises(Mismatch, match=r"^denoiser.type: rectified_flow.*Stable Diffusion"):
        judge(recipe, tmp_path / "verdicts", "denoiser.type=rectified_flow")
    with pytest.raises(Mismatch, match=r"^objective.type: mse"):
        judge(recipe, tmp_path / "verdicts", "objective={type: mse}", "condition={type: pooled_broadcast}")
    assert not (tmp_path / "verdicts").exists()


def test_parts_that_do_not_fit_an_objective_without_a_denoiser_are_refused(recipe: Path, tmp_path: Path) -> None:
    judge(recipe, tmp_path / "verdicts")
    for override, says in (
        ("condition={type: pooled_broadcast}", "'objective.type' needs no condition: set condition=null"),
        ("objective={type: mse}", "'objective.type' needs a condition"),
        ("feedback.shuffle_condition=true", "'feedback.shuffle_condition': this recipe has no condition"),
        ("stages.0.train=[projection]", "stages.train: projection has nothing to train here"),
    ):
        with pytest.raises(InputError, match=says):
            train(load_recipe(str(recipe), [f"data.verdicts={tmp_path / 'verdicts'}", override]), tmp_path / "run")


def test_statements_of_a_benchmark_are_warned_of(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    write_questions(tmp_path / "bench", [(1, "Color", "The red cat."), (2, "Color", "The blue cat.")])
    said = judge(recipe, tmp_path / "verdicts", "--benchmark", str(tmp_path / "bench"))
    assert "warning: 'a photo of a red cat' and perhaps more of" in " ".join(said.split())
    (tmp_path / "other").mkdir()
    write_questions(tmp_path / "other", [(1, "Color", "The red horse.")])
    assert "warning" not in judge(recipe, tmp_path / "verdicts", "--benchmark", str(tmp_path / "other"))
