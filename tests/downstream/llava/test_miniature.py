"""Both stages on the miniature world: the language model gets to use the image."""

import json
from pathlib import Path

import pytest
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES, PLACES, SHAPES
from diva.miniworld.write import Counts, write_world
from diva.miniworld.writers.pictures import jpegs
from diva.results import read_result
from diva_downstream.llava.conversation import SYSTEM
from diva_downstream.llava.evaluation.command import run
from diva_downstream.llava.record import read_record
from tests.fixtures.judge import loopback_judge
from tests.fixtures.llava import miniature_stages, miniature_swap


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the world, described by what there is to be seen at a glance: colour, shape and place."""
    folder = tmp_path_factory.mktemp("world")
    scenes, colour = draw(400, generator(1)), NAMES.index("colour")
    records = []
    for number, picture in enumerate(jpegs(scenes)):
        (folder / f"{number}.jpg").write_bytes(picture)
        seen = ATTRIBUTES[colour].phrases[scenes.details[number, colour]]
        said = f"a {seen} {SHAPES[scenes.shape[number]]} in a {PLACES[scenes.place[number]]}"
        turns = [{"from": "human", "value": "<image>\nDescribe the picture."}, {"from": "gpt", "value": said}]
        records.append({"id": str(number), "image": f"{number}.jpg", "conversations": turns})
    for name in ("pretrain", "finetune"):
        (folder / f"{name}.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def swapped(conversations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature_swap(tmp_path_factory.mktemp("miniature"), conversations, steps=60)


def losses(folder: Path) -> list[float]:
    """Return the losses that a stage logged in the last half of its updates."""
    logged = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return logged[len(logged) // 2 :]


@pytest.fixture(scope="module")
def trained(swapped: Path, conversations: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same two stages with the right images and with shuffled ones."""
    longer = (
        "training.global_batch=16",
        "training.micro_batch=16",
        "training.steps=60",
        "training.checkpoint_every=100",
        "training.log_every=1",
    )
    folder = tmp_path_factory.mktemp("trained")
    _, seeing = miniature_stages(swapped, conversations, folder / "seeing", *longer)
    shuffled = ("data.shuffle_images=true", *longer)
    _, blind = miniature_stages(swapped, conversations, folder / "blind", *shuffled)
    return {"seeing": seeing, "blind": blind}


def test_the_loss_falls_below_that_of_the_same_run_with_shuffled_images(trained: dict[str, Path]) -> None:
    seeing, blind = (
        losses(trained["seeing"]),
        losses(trained["blind"]),
    )  # of the same conversations, update by update
    assert stats.ttest_rel(seeing, blind, alternative="less").pvalue < 1e-3
    record = read_record(trained["seeing"])
    assert record is not None
    assert record.state == "projector + lora"


@pytest.mark.slow  # evaluation/test_command.py has the quick ones
def test_what_was_swapped_and_trained_answers_all_four_benchmarks(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Counts(images=1, pairs=1, zero_shot=1, retrieval=1, segmentation=1, conversations=1)
    write_world(
        tmp_path / "world", seed=5, counts=few.model_copy(update={"questions": 6, "pope": 6, "vqa_pairs": 1})
    )
    names = ("mmbench-en-dev", "mmvp-vqa", "pope-random", "llava-bench-wild")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    with loopback_judge() as judge:
        run(
            trained["seeing"],
            data=tmp_path / "world",
            out=tmp_path / "results",
            baseline=trained["blind"],
            benchmarks=names,
            first=None,
            batch=16,
            device="cpu",
            judge_url=judge.url,
            judge_model="judge",
        )
    for name in names:
        result = read_result(tmp_path / "results" / f"{name}.json")
        assert result.metrics
        assert result.items
        assert result.baseline is not None
        assert "projector + lora" in result.protocol
        assert "zero-retrain" not in result.protocol


def test_the_miniature_has_read_what_it_will_be_asked(swapped: Path) -> None:
    language = swapped.parent / "language"
    tokenizer, model = AutoTokenizer.from_pretrained(language), AutoModelForCausalLM.from_pretrained(language)
    asked = tokenizer(f"{SYSTEM} USER: Describe the picture. ASSISTANT: a red ball in a", return_tensors="pt")
    assert tokenizer.decode(model(**asked).logits[0, -1].argmax()).strip() in PLACES
