"""The command line as a user types it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import open_clip
import pytest

from diva import cli
from diva.errors import Unknown, kinds
from diva.recipes import load_recipe
from diva.results import read_result
from diva.tower_names import check_tower, tower_names
from diva.towers import ZOO
from diva_benchmarks.protocols import PROTOCOLS
from diva_downstream.llava.evaluation.benchmarks import DEFAULT
from tests.fixtures.full_disk import full_disk
from tests.fixtures.images import write_shards
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.recipes import write_recipe_file
from tests.fixtures.towers import tiny_clip


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


TRAINING = Path(__file__).parents[1] / "docs" / "training.md"
MINIATURE = files("diva.miniworld") / "bases" / "0" / "clip"
Command = Callable[..., Outcome]


@pytest.fixture
def diva(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in this process: its exit status and what it prints."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr("diva.progress.SHORT", 600)  # so that no slow machine has more to say
        monkeypatch.setattr(sys, "argv", ["diva", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as `main` sets it for good: undone here with the test
        capfd.readouterr()
        before = signal.getsignal(signal.SIGTERM)
        try:
            cli.main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        return Outcome(status, *capfd.readouterr())

    return run


def test_help_answers_without_loading_a_framework() -> None:
    script = "import sys, diva.cli; sys.argv = ['diva', '--help']\ntry: diva.cli.main()\nexcept SystemExit: pass\n"
    script += "assert not {'torch', 'transformers', 'scipy', 'pydantic'} & set(sys.modules), sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in ("train", "bench", "zoo", "data"))


MISTYPED = (
    "bench mmvp --tower {} --data .",
    "bench zero-shot --tower {} --data .",
    "train diva --tower {}",
    "recipes diva --tower {}",
    "run diva --tower {}",
    "data cache-latents diva --out out --tower {}",
    "llava swap . --tower {} --out out",
    "seg train --tower {} --head linear --dataset ade20k --data . --out out",
    "seg eval --tower {} --data .",
)
ELSEWHERE = {
    "bench mmvp --tower . --data . --against {}": "--against: ",
    "bench zero-shot --tower . --data . --text-from {}": "--text-from: ",
    "train diva/openai-vit-l14-224 tower.name={}": "tower.name: ",
}
MISSING = {
    "export {} --to open_clip --out out": "CHECKPOINT: ",
    "towers inspect {}": "FILE: ",
    "train diva/openai-vit-l14-224 tower.checkpoint={}": "tower.checkpoint: ",
    "train diva --tower . denoiser.path={}": "denoiser.path: ",
    "data cache-latents diva --out out --tower . denoiser.path=. data.source={}/*.tar": "data.source: ",
    "data inspect {}": "data.source: ",
    "bench mmvp --tower . --data {}": "--data: ",
    "bench zero-shot --tower . --data . --checkpoint {}": "--checkpoint: ",
    "seg eval --tower . --data . --against . --against-checkpoint {}": "--against-checkpoint: ",
    "visualize {} --out out": "RESULT: ",
    "report {} --out out": "RESULTS: ",
    "llava eval {} --data . --out out": "MODEL: ",
}


def test_what_is_mistyped_is_reported_by_its_option_before_a_framework_is_loaded(tmp_path: Path) -> None:
    commands = dict.fromkeys(MISTYPED, "--tower: ") | ELSEWHERE | MISSING
    script = "import sys, diva.cli\nfor words in sys.argv[1:]:\n sys.argv = ['diva', *words.split()]\n"
    script += " try: diva.cli.main()\n except SystemExit as stop: assert stop.code == 2\n"
    script += "assert not {'torch', 'transformers', 'open_clip', 'scipy', 'matplotlib'} & set(sys.modules)"
    words = [each.format("openai-vit-l14-2244") for each in commands]
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (command, where), sentence in zip(commands.items(), done.stderr.splitlines(), strict=True):
        assert sentence.startswith(f"diva: {where}"), (command, sentence)
        if command not in MISSING:
            assert sentence.endswith("did you mean 'openai-vit-l14-224'? [unknown]"), (command, sentence)
    assert list(tmp_path.iterdir()) == []


def test_the_names_that_are_known_at_once_are_those_of_the_zoo_and_of_open_clip() -> None:
    own = [name for name in open_clip.list_models() if not name.startswith("Tiny-")]  # which tests add
    assert set(tower_names()) == {"quickstart", *ZOO, *own}
    with pytest.raises(Unknown, match=r"--tower: 'a{300}'"):
        check_tower("a" * 300, "--tower")


def test_the_installed_command_names_what_is_wrong_and_leaves_nothing(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("diva")
    done = subprocess.run(
        [command, "train", "diva/openai-vit-l14-224", "training.micro_bach=8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "300"},
    )
    assert done.returncode == 2
    assert done.stderr == (
        "diva: diva/openai-vit-l14-224: training: unknown field 'micro_bach'; did you mean 'micro_batch'?"
        " [invalid]\n"
    )
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_a_command_in_a_sentence_and_what_is_half_written_goes(diva: Command, tmp_path: Path) -> None:
    def end_it_while_it_writes() -> None:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".model.*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    ending = threading.Thread(target=end_it_while_it_writes)
    ending.start()
    found = diva("export", MINIATURE, "--to", "transformers", "--out", tmp_path / "model")
    ending.join()
    sentence = "diva: ended by SIGTERM; start it again, with --resume where the command has it"
    assert (found.status, found.err.splitlines()[-1]) == (143, sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_that_a_full_disk_refuses_is_no_fault_of_the_tower(diva: Command, tmp_path: Path) -> None:
    with full_disk(200):
        found = diva("export", MINIATURE, "--to", "transformers", "--out", tmp_path / "model")
    assert found.status == 1
    assert found.err == (
        "diva: a temporary file or a log: cannot be written (File too large); free the disk and start again\n"
    )


def test_zoo_prints_every_tower(diva: Command) -> None:
    done = diva("zoo")
    assert done.status == 0
    for entry in ZOO.values():
        assert entry.name in done.out
        assert entry.hub in done.out
        assert f"{entry.parameters}" in done.out
        assert entry.licence in done.out
        assert entry.mmvp_before is None or f"{entry.mmvp_before}" in done.out
        assert entry.mmvp_after is None or f"{entry.mmvp_after}" in done.out


def test_recipes_lists_every_method_variant_and_tower_that_has_a_file(diva: Command) -> None:
    folder = Path(cli.__file__).parents[1] / "recipes"
    *lines, towers = diva("recipes").out.splitlines()
    listed = dict(line.split(": ", 1) for line in lines)
    methods = {f"{path.stem}/TOWER" for path in folder.glob("methods/*.yaml")}
    variants = {f"{path.parent.name}/TOWER-{path.stem}" for path in folder.glob("variants/*/*.yaml")}
    assert listed.keys() == methods | variants
    assert listed["dcr/TOWER-as-released"] == "DCR as released, TOWER, Stable Diffusion 2.1-base"
    names = towers.removeprefix("TOWER: ").split(";")[0].split(", ")
    assert set(names) == {path.stem for path in folder.glob("towers/*.yaml")}


def test_a_method_is_composed_for_any_tower_by_an_option(diva: Command, tmp_path: Path) -> None:
    mine, printed = str(tmp_path / "mine"), tmp_path / "printed.yaml"
    Path(mine).mkdir()
    printed.write_text(diva("recipes", "dcr", "--tower", mine, "seed=2").out)
    assert load_recipe(str(printed)) == load_recipe("dcr", ["seed=2"], mine)
    assert diva("recipes", "dcr/relased", "--tower", mine).status == 2


def test_a_recipe_is_printed_as_a_file_that_means_the_same(diva: Command, tmp_path: Path) -> None:
    changed = "training.micro_batch=8"
    (tmp_path / "printed.yaml").write_text(diva("recipes", "un2clip/quickstart", changed).out)
    assert load_recipe(str(tmp_path / "printed.yaml")) == load_recipe("un2clip/quickstart", [changed])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("bench", "mmvp"), PROTOCOLS),
        (("llava", "eval"), DEFAULT),
        (("seg", "train"), ["mmengine", "optim_wrapper.optimizer.lr=0.0005"]),
    ],
)
def test_help_names_what_an_option_takes(diva: Command, words: tuple[str, ...], named: Iterable[str]) -> None:
    said = diva(*words, "--help").out
    assert [name for name in named if name not in said] == []


def test_train_then_bench_before_and_after(
    diva: Command, tmp_path: Path, tower_folder: Path, teacher_folder: Path
) -> None:
    shards = write_shards(tmp_path / "shards", n_shards=2, per_shard=8, side=40)
    recipe = write_recipe_file(
        tmp_path / "tiny.yaml", tower=tower_folder, teacher=teacher_folder, source=f"{shards}/*.tar"
    )
    done = diva("train", recipe, "--out", tmp_path / "run", "stages.0.steps=2")
    assert done.status == 0
    assert f"the tower is in {tmp_path / 'run' / 'tower'}" in done.err
    line, page = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1]), TRAINING.read_text()
    assert [key for key in line if f"`{key}`" not in page] == ["loss_sample_2"]
    folder, out = write_mmvp_folder(tmp_path / "mmvp"), tmp_path / "result.json"
    done = diva("bench", "mmvp", "--tower", tmp_path / "run/tower", "--against", tower_folder,
                "--data", folder, "--out", out)  # fmt: skip
    assert done.status == 0
    assert "McNemar" in done.out
    result = read_result(out)
    assert sum(name.startswith("category/") for name in result.metrics) == 9
    for name, metric in result.metrics.items():
        assert name.removeprefix("category/") in done.out or name == "average"
        assert f"{metric.value:.1f}" in done.out
    assert result.baseline is not None
    assert result.subject.sha256 != result.baseline.subject.sha256


def test_data_inspect_says_what_a_source_holds(diva: Command, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", n_shards=2, per_shard=3, side=40)
    done = diva("data", "inspect", f"{shards}/{{00000..00001}}.tar")
    assert done.status == 0
    assert "6 JPEG" in done.out
    assert "40 to 40 px" in done.out


def test_every_mistake_is_one_sentence_and_the_right_status(
    diva: Command, tmp_path: Path, tower_folder: Path, teacher_folder: Path
) -> None:
    shards = write_shards(tmp_path / "shards", n_shards=4, per_shard=2, side=40)
    broken = tmp_path / "broken"
    broken.mkdir()
    for number in range(4):
        (broken / f"{number:05}.tar").write_bytes(b"this is no tar file" * 100)
    other = tiny_clip(tmp_path / "other", seed=1)
    weights = other / "open_clip_model.safetensors"
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    recipe = write_recipe_file(
        tmp_path / "tiny.yaml", tower=tower_folder, teacher=teacher_folder, source=f"{shards}/*.tar"
    )
    run = tmp_path / "run"
    b32 = ("train", recipe, "tower.name=ViT-B-32")
    mistakes = {
        ("train", recipe, "seeds=1"): (2, "unknown field 'seeds'; did you mean 'seed'?"),
        ("train", recipe, f"data.source={tmp_path}/none/*.tar"): (2, "no file matches"),
        ("train", recipe, f"data.source={broken}/*.tar"): (1, "00000.tar"),
        ("train", recipe, f"tower.name={tmp_path}/none"): (2, f"'{tmp_path}/none'"),
        ("train", recipe, "tower.name=checkpoints/openai-vit-l14-224"): (2, "no such file or folder"),
        (*b32, f"tower.checkpoint={weights}"): (2, "does not fit"),
        (*b32, f"tower.checkpoint={tmp_path}/cut.safetensors"): (
            2,
            "cut.safetensors",
        ),
        ("train", recipe, "condition.tokens.count=9"): (2, "token_by_token needs as many visual tokens"),
        ("train", tmp_path / "none.yaml"): (2, "no such recipe file"),
        ("bench", "mmvp", "--tower", tower_folder, "--data", tmp_path / "none"): (2, f"{tmp_path / 'none'}"),
        ("bench", "mmvp", "--tower", "openai-vit-l14-224", "--data", tmp_path): (2, "Questions.csv"),
        ("data", "inspect", tmp_path / "none"): (2, f"{tmp_path / 'none'}"),
    }
    for words, (status, says) in mistakes.items():
        done = diva(*words, *(("--out", run) if words[0] == "train" else ()))
        assert done.status == status, (words, done.err)
        sentences = [line for line in done.err.splitlines() if line.startswith("diva: ")]
        assert len(sentences) == 1, (words, done.err)
        assert says in sentences[0], (words, sentences[0])
        assert "Traceback" not in done.err


FILLING = (
    "train {recipe} --out {link}",
    "run diva/openai-vit-l14-224 --out {link}",
    "data cache-latents {recipe} --out {link}",
    "report {result} --out {link}",
    "visualize {result} --out {link}",
    "bench zero-shot --tower {tower} --data {sets} --out {link}",
    "bench throughput {recipe} --out {link}",
    "export {tower} --to open_clip --out {link}",
    "export {tower} --to open_clip --average 0,1 --base {tower} --out {link}",
    "llava miniature {result} --out {link}",
    "miniworld write --out {link}",
    "miniworld pretrain --out {link}",
    "miniworld study --bases {sets} --out {link}",
    "quickstart --out {link}",
)


def test_no_command_fills_a_folder_through_a_link(
    diva: Command, tmp_path: Path, tower_folder: Path, teacher_folder: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "sets" / "mnist").mkdir(parents=True)
    shards = write_shards(tmp_path / "shards", n_shards=2, per_shard=2, side=40)
    recipe = write_recipe_file(
        tmp_path / "tiny.yaml", tower=tower_folder, teacher=teacher_folder, source=f"{shards}/*.tar"
    )
    places = {"result": tmp_path / "result.json", "sets": tmp_path / "sets", "link": tmp_path / "link"}
    for command in FILLING:
        done = diva(*command.format(recipe=recipe, tower=tower_folder, **places).split())
        assert (done.status, "link: is a symbolic link" in done.err) == (2, True), (command, done.err)
        assert list((tmp_path / "there").iterdir()) == [], command


def test_files_whose_names_are_not_utf_8_are_measured_and_reported(
    diva: Command, tmp_path: Path, tower_folder: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    data, result = write_mmvp_folder(odd / "mmvp", 1), odd / "result.json"
    done = diva(
        "bench", "mmvp", "--tower", tower_folder, "--against", tower_folder, "--data", data, "--out", result
    )
    assert done.status == 0, done
    assert read_result(result).data.path == str(data)
    for words in (
        ("visualize", result, "--pairs", 1, "--out", odd / "seen"),
        ("report", odd, "--out", odd / "[/red]"),
    ):
        done = diva(*words)
        assert done.status == 0, (words, done)
    assert "caf\\udce9/[/red]/report.html" in done.out


def test_a_name_that_is_too_long_is_one_sentence(diva: Command, tmp_path: Path, tower_folder: Path) -> None:
    long = tmp_path / ("n" * 300)
    for words in (
        ("bench", "mmvp", "--tower", tower_folder, "--data", long),
        ("bench", "mmvp", "--tower", tower_folder, "--data", tmp_path, "--out", long / "out.json"),
        ("bench", "zero-shot", "--tower", tower_folder, "--data", long),
        ("train", "diva/quickstart", f"tower.name={tower_folder}", f"denoiser.path={long}", f"data.source={long}"),
        ("train", long),
        ("data", "inspect", long),
        ("report", long, "--out", tmp_path / "out"),
        ("visualize", long, "--out", tmp_path / "out"),
        ("export", tower_folder, "--to", "open_clip", "--out", long),
        ("seg", "eval", "--tower", tower_folder, "--data", long, "--dataset", "ade20k"),
        ("llava", "eval", long, "--data", long, "--out", tmp_path / "out"),
        ("llava", "train", "llava-1.5-7b-stage1", f"model={long}", "--out", tmp_path / "out"),
        ("miniworld", "gates", long),
    ):
        done = diva(*words)
        assert (done.status, done.err.count("\n")) == (2, 1), (words, done.err)
        assert "n" * 300 in done.err, (words, done.err)


def test_every_code_is_explained_and_a_near_one_is_offered(diva: Command) -> None:
    explained = diva("explain").out.splitlines()
    assert [line.split(" (")[0] for line in explained if "(exit status" in line] == list(kinds())
    assert diva("explain", "missing").out.startswith("missing (exit status 2)\n\nA file, folder")
    refused = diva("explain", "mising")
    assert (refused.status, refused.err) == (
        2,
        "diva: CODE: 'mising' is not a code; did you mean 'missing'? [unknown]\n",
    )
