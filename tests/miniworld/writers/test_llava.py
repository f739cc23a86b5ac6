import json
from pathlib import Path

import pytest
from PIL import Image

from diva.miniworld.captions import exchanges, full_captions
from diva.miniworld.render import SIZE
from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import SHAPES
from diva.miniworld.writers import write_llava


def test_conversations_alternate_and_show_the_picture_once(tmp_path: Path) -> None:
    pretrain, tune = draw(4, generator(1)), draw(3, generator(2))
    write_llava(pretrain, tune, tmp_path)
    first = json.loads((tmp_path / "pretrain.json").read_text())
    second = json.loads((tmp_path / "finetune.json").read_text())
    assert [record["conversations"][1]["value"] for record in first] == full_captions(pretrain)
    for index, record in enumerate(second):
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * 10
        questions = [turn["value"].removeprefix("<image>\n") for turn in turns[::2]]
        answers = [turn["value"] for turn in turns[1::2]]
        asked = exchanges(tune, index)
        for said, question, answer in zip(asked, questions, answers, strict=False):
            line, *options = question.splitlines()
            assert line == said.question
            # a letter stands for the line that begins with it
            shown = next((option[3:] for option in options if option.startswith(f"{answer}. ")), answer)
            assert shown == said.answer
        assert [question.endswith("directly.") for question in questions[:9]] == [
            (index + number) % 2 == 1 for number in range(9)
        ]
    for record in [*first, *second]:
        assert sum("<image>" in turn["value"] for turn in record["conversations"]) == 1
        assert record["conversations"][0]["value"].startswith("<image>\n")
        with Image.open(tmp_path / record["image"]) as image:
            assert image.size == (SIZE, SIZE)
    assert len({record["id"] for record in [*first, *second]}) == 7


def test_letters_and_words_are_answered_evenly_so_that_none_pays_by_itself(tmp_path: Path) -> None:
    tune = draw(240, generator(3))
    write_llava(draw(1, generator(4)), tune, tmp_path)
    records = json.loads((tmp_path / "finetune.json").read_text())
    turns = [record["conversations"] for record in records]
    letters = [said["value"] for each in turns for said in each[1::2] if said["value"] in "ABC"]
    shares = [letters.count(letter) / len(letters) for letter in "ABC"]
    assert shares[0] == pytest.approx(shares[1], abs=0.04)
    assert shares[2] == pytest.approx(4 / 9 / 3, abs=0.04)  # four details of nine have a third value
    for index, each in enumerate(turns):
        question, answer = (said["value"] for said in each[-2:])
        named = next(number for number, shape in enumerate(SHAPES) if f" a {shape} in" in question)
        assert (answer == "Yes") == (named == int(tune.shape[index]))
    assert [each[-1]["value"] for each in turns].count("Yes") == 120
