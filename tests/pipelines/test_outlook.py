"""What keeps a run from its end, told before it begins."""

from pathlib import Path

import pytest
from mmengine.config import Config

from diva.braces import expand_braces
from diva.cli.run import check_words
from diva.pipelines.load import load_pipeline
from diva.pipelines.outlook import obstacles
from diva.pipelines.run import run
from diva.recipes import load_recipe, write_recipe
from diva_benchmarks.zero_shot.sets import SETS
from diva_downstream.llava.tasks import mmbench, mmvp
from diva_downstream.segmentation.datasets import CONFIGS, DATASETS


def test_a_dry_run_names_what_half_filled_folders_lack_the_device_and_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (
        *(f"data/zero_shot/{name}/test" for name in ("mnist", "cifar10", "wds_vtab-pets")),
        *(f"data/VOCdevkit/VOC2010/{name}" for name in ("JPEGImages", "SegmentationClassContext")),
        "data/VOCdevkit/VOC2010/ImageSets/SegmentationContext",
        *(f"data/llava-eval/{name}" for name in ("MMVP", "pope/val2014", "llava_bench")),
        "checkpoints/stable-diffusion-2-1-base/unet",
        "runs/mine",
    ):
        Path(folder).mkdir(parents=True)
    for file in (
        *(f"data/zero_shot/{name}/test/{part}" for name in ("mnist", "cifar10") for part in ("0.tar", "1.tar")),
        *(f"data/VOCdevkit/VOC2010/{name}" for name in ("labels.txt", "ImageSets/SegmentationContext/val.txt")),
        *(f"data/llava-eval/pope/coco_pope_{name}.json" for name in ("random", "popular", "adversarial")),
        "data/llava-eval/MMVP/Questions.csv",
        *(f"data/llava-eval/llava_bench/{name}.jsonl" for name in ("questions", "context", "answers_gpt4")),
    ):
        Path(file).touch()
    Path("data/zero_shot/mnist/test/nshards.txt").write_text("2\n")
    Path("data/zero_shot/cifar10/test/nshards.txt").write_text("5\n")
    write_recipe(load_recipe("diva/openai-vit-l14-224", ["seed=3"]), Path("runs/mine/training.yaml"))
    run("diva/openai-vit-l14-224", ["pipeline.device=cuda:99"], Path("runs/mine"), dry_run=True, check=check_words)
    said = capsys.readouterr().out
    (sets,) = [line for line in said.splitlines() if line.startswith("data/zero_shot has no folder for 26 of 29")]
    named = sets.partition("sets: ")[2].partition(";")[0].split(", ")
    assert set(named) == set(SETS) - {"mnist", "cifar10", "pets"}
    for line in (
        "data/zero_shot/cifar10/test: has 2 tars, and nshards.txt says 5\n",
        "data/zero_shot/wds_vtab-pets: holds neither test/*.tar nor folders of classes\n",
        "data/VOCdevkit/VOC2010 lacks annotations_detectron2/pc459_val; where to get it: docs/segmentation.md\n",
        "checkpoints/stable-diffusion-2-1-base lacks vae, text_encoder, tokenizer, scheduler; where",
        "pipeline.device: this machine has no cuda:99; ",
        "runs/mine holds another run: seed: differs from the value in runs/mine",
        "segmentation-pascal-context-459: data missing\n",
        "llava-eval: data missing\n",
    ):
        assert line in said, (line, said)
    (lacking,) = [line for line in said.splitlines() if line.startswith("data/llava-eval lacks")]
    assert lacking.count(".tsv") == 2
    assert "pope" not in lacking


def test_what_the_data_hold_is_what_their_readers_open() -> None:
    data = load_pipeline(None, load_recipe("diva/openai-vit-l14-224")).data
    for name in ("ade20k", "ade20k-847", "pascal-context-59", "pascal-context-459", "coco-stuff"):
        spec = DATASETS["coco-stuff-164k" if name == "coco-stuff" else name]
        config = Config.fromfile(CONFIGS / "datasets" / f"{spec.name.replace('-', '_')}.py")
        dataset = config["train_dataloader" if name == "coco-stuff" else "test_dataloader"].dataset
        opened = {*dataset.data_prefix.values(), *([dataset.ann_file] if "ann_file" in dataset else [])}
        own = {spec.listed} if spec.listed and not spec.official else set()
        assert set(data[name].holds) == opened | own
    holds = data["llava-benchmarks"].holds
    for language, folders in (("en", ("mmbench", "MMBench")), ("cn", ("mmbench", "mmbench_cn", "MMBench"))):
        names = {f"{folder}/{name}.tsv" for folder in folders for name in mmbench.FILES[language, "dev"]}
        assert names in [set(expand_braces(part)) for part in holds]
    assert {f"{folder}/Questions.csv" for folder in mmvp.FOLDERS} in [set(expand_braces(part)) for part in holds]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named_whatever_its_kind(device: str) -> None:
    recipe = load_recipe("diva/openai-vit-l14-224")
    pipeline = load_pipeline(None, recipe).model_copy(update={"device": device})
    (line,) = obstacles((), pipeline, recipe, Path("nowhere"))
    assert line.startswith(f"pipeline.device: this machine has no {device};")
