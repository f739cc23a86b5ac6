import json
from pathlib import Path

from PIL import Image

from diva.miniworld.captions import exchanges, full_captions
from diva.miniworld.render import SIZE
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_llava


def test_conversations_alternate_and_show_the_picture_once(tmp_path: Path) -> None:
    pretrain, tune = draw(4, generator(1)), draw(3, generator(2))
    write_llava(pretrain, tune, tmp_path)
    first = json.loads((tmp_path / "pretrain.json").read_text())
    second = json.loads((tmp_path / "finetune.json").read_text())
    assert [record["conversations"][1]["value"] for record in first] == full_captions(pretrain)
    for index, record in enumerate(second):
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * 9
        asked = exchanges(tune, index)
        assert [turn["value"].removeprefix("<image>\n") for turn in turns[::2]] == [said.question for said in asked]
        assert [turn["value"] for turn in turns[1::2]] == [said.answer for said in asked]
    for record in [*first, *second]:
        assert sum("<image>" in turn["value"] for turn in record["conversations"]) == 1
        assert record["conversations"][0]["value"].startswith("<image>\n")
        with Image.open(tmp_path / record["image"]) as image:
            assert image.size == (SIZE, SIZE)
    assert len({record["id"] for record in [*first, *second]}) == 7
