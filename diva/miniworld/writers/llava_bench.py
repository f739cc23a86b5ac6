"""Open questions in the files of LLaVA-Bench (in the wild), answered by what the world knows of each scene."""

from pathlib import Path

from diva.miniworld.captions import exchanges, full_captions
from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import SHAPES
from diva.miniworld.writers.jsonl import write_jsonl
from diva.miniworld.writers.pictures import jpegs

CATEGORIES = ("conv", "detail", "complex")
DETAIL = "Describe the picture in detail."
COMPLEX = "By what would you know this {shape} again?"


def write_llava_bench(scenes: Scenes, folder: Path) -> None:
    """Write one question a scene, of each category in turn.

    A conversation asks for one detail; a description and a `complex` question are answered with all that there is.
    """
    (folder / "images").mkdir()
    questions, contexts, answers = [], [], []
    for index, (picture, caption) in enumerate(zip(jpegs(scenes), full_captions(scenes), strict=True)):
        image, category = f"{index + 1:03d}.jpg", CATEGORIES[index % len(CATEGORIES)]
        (folder / "images" / image).write_bytes(picture)
        asked = exchanges(scenes, index)
        detail = asked[index % len(asked)]
        question, answer = {
            "conv": (detail.question, detail.answer),
            "detail": (DETAIL, f"{caption[0].upper()}{caption[1:]}."),
            "complex": (COMPLEX.format(shape=SHAPES[int(scenes.shape[index])]), f"By this: it is {caption}."),
        }[category]
        questions.append({"question_id": index, "image": image, "text": question, "category": category})
        contexts.append({"id": f"{index + 1:03d}", "image": image, "caption": [caption]})
        answers.append(
            {"question_id": index, "prompt": question, "answer_id": f"world{index:03d}", "text": answer}
            | {"model_id": "miniworld", "metadata": {}}
        )
    write_jsonl(folder / "questions.jsonl", questions)
    write_jsonl(folder / "context.jsonl", contexts)
    write_jsonl(folder / "answers_gpt4.jsonl", answers)
