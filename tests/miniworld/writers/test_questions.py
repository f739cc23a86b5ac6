"""MMVP, POPE and LLaVA-Bench on the miniature world, read as the official scripts read them."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

from PIL import Image

from diva.miniworld.captions import exchanges, full_captions
from diva.miniworld.pairs import draw_pairs
from diva.miniworld.render import SIZE
from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, PLACES, SHAPES
from diva.miniworld.writers import write_llava_bench, write_mmvp_vqa, write_pope


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_pair_gets_one_question_and_opposite_answers_that_are_true(tmp_path: Path) -> None:
    write_mmvp_vqa(tmp_path, pairs=4, key=(7,))
    with (tmp_path / "Questions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["Index"]) for row in rows] == list(range(1, 2 * 4 * len(ATTRIBUTES) + 1))
    letters = Counter(row["Correct Answer"] for row in rows[::2])
    assert set(letters) == {"(a)", "(b)"}  # the first picture's answer is not always the first option
    for index, attribute in enumerate(ATTRIBUTES):
        drawn = draw_pairs(index, 4, generator(7, index))
        for pair in range(4):
            both = rows[2 * (4 * index + pair) :][:2]
            assert both[0]["Question"] == both[1]["Question"]
            assert {row["Correct Answer"] for row in both} == {"(a)", "(b)"}
            for row, scenes in zip(both, (drawn.first, drawn.second), strict=True):
                options = dict(re.findall(r"(\([ab]\)) (.*?)(?= \(b\)|$)", row["Options"]))
                assert options[row["Correct Answer"]] == attribute.answers[int(scenes.details[pair, index])]
                with Image.open(tmp_path / "MMVP Images" / f"{row['Index']}.jpg") as image:
                    assert image.size == (SIZE, SIZE)


def test_pope_asks_for_what_is_there_and_for_something_absent(tmp_path: Path) -> None:
    scenes = draw(40, generator(1))
    write_pope(scenes, tmp_path, key=(2,))
    shapes, places = scenes.shape.tolist(), scenes.place.tolist()
    wrong = {}
    for kind in ("random", "popular", "adversarial"):
        rows = _lines(tmp_path / f"coco_pope_{kind}.json")
        assert [row["question_id"] for row in rows] == list(range(1, 81))
        asked = [
            SHAPES.index(re.fullmatch(r"Is there a (\w+) in the image\?", str(row["text"]))[1]) for row in rows
        ]
        assert [row["label"] for row in rows] == ["yes", "no"] * 40
        assert asked[::2] == shapes
        assert all(other != shape for other, shape in zip(asked[1::2], shapes, strict=True))
        assert len({row["image"] for row in rows}) == len(list((tmp_path / "val2014").iterdir())) == 40
        wrong[kind] = asked[1::2]
    frequency = Counter(shapes)
    for index, shape in enumerate(shapes):
        others = [other for other in range(len(SHAPES)) if other != shape]
        assert frequency[wrong["popular"][index]] == max(frequency[other] for other in others)
        here = Counter(one for one, place in zip(shapes, places, strict=True) if place == places[index])
        assert here[wrong["adversarial"][index]] == max(here[other] for other in others)
    assert len(set(wrong["random"])) == len(SHAPES)
    assert len(PLACES) == 4


def test_open_questions_have_a_context_and_a_true_reference(tmp_path: Path) -> None:
    scenes = draw(9, generator(1))
    write_llava_bench(scenes, tmp_path)
    questions, references = (_lines(tmp_path / f"{name}.jsonl") for name in ("questions", "answers_gpt4"))
    contexts = {line["image"]: line["caption"] for line in _lines(tmp_path / "context.jsonl")}
    captions = full_captions(scenes)
    assert Counter(line["category"] for line in questions) == {"conv": 3, "detail": 3, "complex": 3}
    for index, (question, reference) in enumerate(zip(questions, references, strict=True)):
        assert question["question_id"] == reference["question_id"] == index
        assert contexts[question["image"]] == [captions[index]]
        assert (tmp_path / "images" / str(question["image"])).is_file()
        if question["category"] == "conv":
            answers = {said.question: said.answer for said in exchanges(scenes, index)}
            assert answers[str(question["text"])] == reference["text"]
        else:
            assert captions[index][1:] in str(reference["text"])


def test_the_pipeline_s_own_readers_accept_the_folders(world: Path) -> None:
    from diva_downstream.llava.tasks import llava_bench, mmbench, mmvp, pope

    assert len(llava_bench.documents(data=str(world))["test"]) == 7
    assert len(mmvp.documents(data=str(world))["test"]) == 2 * 2 * len(ATTRIBUTES)
    assert len(mmbench.documents(data=str(world), first=2, language="en", split="dev")["test"]) in range(4, 7)
    for negatives in pope.NEGATIVES:
        assert len(pope.documents(data=str(world), negatives=negatives)["test"]) == 10
