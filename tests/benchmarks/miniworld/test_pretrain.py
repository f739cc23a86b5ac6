import json
from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline
from rich.console import Console
from safetensors.torch import load_file

from diva.errors import Changed, Failed, Missing, Occupied
from diva.miniworld.captions import full_captions
from diva.miniworld.render import render
from diva.miniworld.scene import draw, generator
from diva.towers import load_clip
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.miniworld import command, gates
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.pretrain import Settings, pretrain
from diva_benchmarks.miniworld.teacher import MiniatureTeacher

QUICK = Schedule(steps=4, batch=4, learning_rate=1e-3, save_every=2)
SETTINGS = Settings(clip_bare=QUICK, clip=QUICK, vae=QUICK, unet=QUICK, decoder=QUICK)
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _small_gates() -> None:
    patch = pytest.MonkeyPatch()
    for name in ("PAIRS", "ZERO_SHOT_PICTURES", "GRID_PICTURES", "GRID_TIMESTEPS"):
        patch.setattr(gates, name, 2)
    yield
    patch.undo()


def _pretrain(out: Path, settings: Settings = SETTINGS, seed: int = 5) -> gates.Gates:
    return pretrain(out, seed=seed, settings=settings, device=CPU)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, _small_gates: None) -> Path:
    out = tmp_path_factory.mktemp("bases") / "base"
    _pretrain(out)
    return out


def _weights(base: Path) -> dict[str, str]:
    return {str(path.relative_to(base)): file_sha256(path) for path in sorted(base.rglob("*.safetensors"))}


@pytest.mark.slow
def test_a_killed_pretraining_ends_with_the_same_bytes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    calls = 0
    noise_error = MiniatureTeacher.noise_error

    def dying(*args: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:  # between two checkpoints of the last network
            raise KilledError
        return noise_error(*args)

    monkeypatch.setattr(MiniatureTeacher, "noise_error", dying)
    with pytest.raises(KilledError):
        _pretrain(tmp_path / "base")
    assert not (tmp_path / "base" / "recipe.json").exists()
    monkeypatch.undo()
    _pretrain(tmp_path / "base")
    assert _weights(tmp_path / "base") == _weights(base)


def test_the_recipe_holds_seed_settings_versions_gates_and_the_hash_of_every_weights_file(base: Path) -> None:
    recipe = json.loads((base / "recipe.json").read_text())
    assert recipe["seed"] == 5
    assert Settings.model_validate(recipe["settings"]) == SETTINGS
    assert recipe["run"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert recipe["weights"] == _weights(base)
    assert len(recipe["weights"]) == 8  # one of the CLIP, three of the teacher, four of the decoder
    assert len(recipe["gates"]["pairs"]) == len(recipe["gates"]["rises"]) == 9
    assert sorted(path.name for path in base.iterdir()) == ["clip", "decoder", "recipe.json", "teacher"]


def test_open_clip_itself_loads_the_clip_and_its_tokenizer(base: Path) -> None:
    name = f"local-dir:{base / 'clip'}"
    model = open_clip.create_model_and_transforms(name)[0].eval()
    tokens = open_clip.get_tokenizer(name)(["a photo of a star"])
    assert tokens.shape == (1, model.context_length)
    ours = load_clip(str(base / "clip"))
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(tokens), ours.encode_text(["a photo of a star"]))
    assert ours.tower.patches == 36
    stored = load_file(base / "clip" / "open_clip_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_diffusers_itself_loads_the_teacher_and_draws_a_picture(base: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(base / "teacher")
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red star", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (48, 48, 3)


def test_the_latents_of_the_teacher_have_unit_deviation(base: Path) -> None:
    teacher = MiniatureTeacher.load(base / "teacher")
    latents = teacher.latents(render(draw(256, generator(77))).rgb)
    assert latents.shape == (256, 4, 12, 12)
    assert latents.std().item() == pytest.approx(1, abs=0.05)


def test_every_word_of_the_world_is_one_token_and_other_text_still_has_tokens(base: Path) -> None:
    teacher = MiniatureTeacher.load(base / "teacher")
    scenes = draw(50, generator(1))
    for caption in full_captions(scenes):
        assert len(teacher.tokenizer.tokenize(caption)) == len(caption.split())
    spelt = teacher.tokenizer.tokenize("a quick photograph!")
    assert "".join(spelt).replace("</w>", " ").split() == ["a", "quick", "photograph", "!"]


def test_a_base_of_another_seed_or_a_complete_one_is_not_overwritten(base: Path, tmp_path: Path) -> None:
    before = _weights(base)
    with pytest.raises(Occupied, match="base:"):
        _pretrain(base)
    assert _weights(base) == before
    (tmp_path / "begun" / ".pretraining").mkdir(parents=True)
    begun = {"seed": 6, "settings": SETTINGS.model_dump()}
    (tmp_path / "begun" / ".pretraining" / "settings.json").write_text(json.dumps(begun))
    with pytest.raises(Changed, match="seed:"):
        _pretrain(tmp_path / "begun")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    with pytest.raises(Occupied, match="notes:"):
        _pretrain(tmp_path / "notes")


def test_a_base_that_fails_a_gate_is_reported_after_its_table(base: Path) -> None:
    console = Console(record=True, width=120)
    with pytest.raises(Failed, match="base:"):
        command.run_gates(base, device=torch.device("cpu"), console=console)
    text = console.export_text()
    assert "Gates of the base" in text
    assert "fail" in text


def test_a_folder_without_a_teacher_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    with pytest.raises(Missing, match="has no folder teacher"):
        command.run_gates(tmp_path, device=torch.device("cpu"), console=Console(quiet=True))
