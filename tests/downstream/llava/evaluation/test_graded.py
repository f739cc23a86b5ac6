"""Benchmarks with one right answer a question: official files, and figures worked by hand by the official rules."""

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from diva.errors import Damaged, Invalid, Missing, Unsafe
from diva.results import Result, read_result
from diva_downstream.llava.evaluation.benchmarks import BENCHMARKS
from diva_downstream.llava.evaluation.command import run
from diva_downstream.llava.evaluation.pictures import with_pictures
from diva_downstream.llava.evaluation.scored import Answered, Scored
from diva_downstream.llava.tasks import graded_tasks, mme
from tests.fixtures.images import crops
from tests.test_results import a_result


def picture(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    crops(number + 1, 40)[number].save(buffer, "PNG")
    return buffer.getvalue()


def shown(number: int = 0) -> dict[str, Any]:
    """A picture as the hub's tables hold it."""
    return {"bytes": picture(number), "path": None}


def table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def scored(name: str, data: Path, answers: Sequence[str]) -> Scored:
    """Score the answers to all questions of a benchmark, in its order."""
    benchmark = BENCHMARKS[name]
    documents = benchmark.read(data, None).documents
    assert benchmark.score is not None
    assert all(benchmark.pictures(document) for document in documents)
    return benchmark.score([Answered(*each) for each in zip(documents, answers, strict=True)])


def values(found: Scored) -> dict[str, float]:
    return {name: round(metric.value, 2) for name, metric in found.metrics.items() if not metric.breakdown}


def write_mme(data: Path) -> None:
    """Two pictures of each task, in the release's folders: five tasks have folders of their own for pictures."""
    for tasks in mme.TASKS.values():
        for task in tasks:
            split = task in ("artwork", "celebrity", "landmark", "posters", "scene")
            folder = data / "MME" / "MME_Benchmark_release_version" / "MME_Benchmark" / task
            texts, images = (folder / "questions_answers_YN", folder / "images") if split else (folder, folder)
            for number in range(2):
                texts.mkdir(parents=True, exist_ok=True)
                images.mkdir(parents=True, exist_ok=True)
                (images / f"{number}.{'png' if number else 'jpg'}").write_bytes(picture(number))
                (texts / f"{number}.txt").write_text(
                    f"Is this a {task}? Please answer yes or no.\tYes\n"
                    "Is this a box? Please answer yes or no.\tNo\n\n"
                )


def test_mme_is_the_sum_of_accuracies_and_of_pictures_with_both_right(tmp_path: Path) -> None:
    write_mme(tmp_path)
    documents = BENCHMARKS["mme"].read(tmp_path, None).documents
    assert documents[0]["prompt"] == (
        "Is this a existence? Please answer yes or no.\nAnswer the question using a single word or phrase."
    )
    said = {
        "existence": ("Yes", "No", "yes, it is", "No."),  # all right: 100 + 100
        "count": ("Yes", "Yes", "No", "No"),  # half right, no picture: 50
        "position": ("Yes.", "no", "No", "Yes"),  # half, one picture: 50 + 50
        "OCR": ("", "It is not", "Answer: Yes", "NO"),  # the first four characters: the last alone is read: 25
        "color": ("eyes", "none", " yes", "the no"),  # "yes" and "no"; then "yes" and "the ", which is neither
        "code_reasoning": ("Yes", "No", "Yes", "Yes"),  # 75 + 50
    }
    answers = [answer for kind in mme.TASKS.values() for task in kind for answer in said.get(task, ("",) * 4)]
    found = scored("mme", tmp_path, answers)
    assert values(found) == {"perception": 200 + 50 + 100 + 25 + 125, "cognition": 125, "unread": 64.29}
    assert found.metrics["task/color"].value == 125
    assert sum(item.outcome for item in found.items if item.group == "existence") == 2
    graded = [
        graded_tasks.process_results({**each, "benchmark": "mme"}, [answer])
        for each, answer in zip(documents, answers, strict=True)
    ]
    assert mme.perception([each["perception"] for each in graded]) == pytest.approx(500)  # type: ignore[misc]
    assert mme.cognition([each["cognition"] for each in graded]) == pytest.approx(125)  # type: ignore[misc]


CV = [
    # task, source, answer of three options, what is said, right
    ("Count", "ADE20K", "(C)", "C", True),
    ("Count", "ADE20K", "(A)", "(B) 2", False),
    ("Relation", "COCO", "(B)", "2", True),  # the text of an option
    ("Relation", "COCO", "(B)", "B and C", False),
    ("Relation", "COCO", "(B)", "", False),
    ("Count", "COCO", "(A)", "A.", True),
    ("Depth", "Omni3D", "(A)", "The answer is (a)", True),
    ("Distance", "Omni3D", "(A)", "D", False),
]


def write_cv_bench(data: Path) -> None:
    rows = [
        {
            "idx": number,
            "type": "3D" if source == "Omni3D" else "2D",
            "task": task,
            "image": shown(number),
            "question": "How many?",
            "choices": ["1", "2", "3"],
            "answer": answer,
            "prompt": "How many? Select from the following choices.\n(A) 1\n(B) 2\n(C) 3",
            "source": source,
        }
        for number, (task, source, answer, _, _) in enumerate(CV)
    ]
    table(data / "CV-Bench" / "test_2d.parquet", rows[:6])
    table(data / "CV-Bench" / "test_3d.parquet", rows[6:])


def test_cv_bench_weighs_its_sources_as_its_card_does(tmp_path: Path) -> None:
    write_cv_bench(tmp_path)
    found = scored("cv-bench", tmp_path, [said for *_, said, _ in CV])
    # ADE20K 1 of 2, COCO 2 of 4, Omni3D 1 of 2: ((.5 + .5) / 2 + .5) / 2
    ade, coco, omni = 1 / 2, 2 / 4, 1 / 2
    assert values(found) == {"accuracy": 100 * ((ade + coco) / 2 + omni) / 2, "unread": 37.5}
    assert [bool(item.outcome) for item in found.items] == [right for *_, right in CV]
    assert found.metrics["accuracy/Count"].value == pytest.approx(200 / 3)
    prompt = BENCHMARKS["cv-bench"].read(tmp_path, None).documents[0]["prompt"]
    assert prompt.endswith("\n(C) 3\nAnswer with the option's letter from the given choices directly.")


def write_naturalbench(data: Path) -> None:
    rows = [
        {
            "Index": number,
            "Question_0": "Is it red?" if words[0] == "Yes" else "Where is it? A: left; B: right;",
            "Question_1": "Is it blue?" if words[0] == "Yes" else "What is it? A: a box; B: a ball;",
            "Image_0": shown(0),
            "Image_1": shown(1),
            "Image_0_Question_0": words[0],
            "Image_1_Question_0": words[1],
            "Image_0_Question_1": words[1],
            "Image_1_Question_1": words[0],
        }
        for number, words in enumerate([("Yes", "No"), ("Yes", "No"), ("A", "B")])
    ]
    table(data / "NaturalBench" / "data" / "train-00000-of-00001.parquet", rows)


def test_naturalbench_counts_answers_questions_pictures_and_groups(tmp_path: Path) -> None:
    write_naturalbench(tmp_path)
    documents = BENCHMARKS["naturalbench"].read(tmp_path, None).documents
    assert [document["prompt"] for document in (documents[0], documents[-1])] == [
        "Is it red? Please answer Yes or No.",
        "What is it? A: a box; B: a ball; Please output the letter corresponding to the correct option.",
    ]
    # question 0 on both pictures, then question 1; the word that comes first counts
    answers = [
        *("Yes", "No, not yes", "no", "I say YES, no doubt"),  # all four right
        *("Yes", "Yes", "No", "Yes"),  # picture 0 and question 1 right, not picture 1 and question 0
        *("A", "", "It is b", "(B)"),  # silence and B for A: picture 0 right, no question
    ]
    found = scored("naturalbench", tmp_path, answers)
    assert values(found) == {
        "group": round(100 * 1 / 3, 2),
        "question": round(100 * 3 / 6, 2),
        "image": round(100 * 4 / 6, 2),
        "accuracy": round(100 * 9 / 12, 2),
        "unread": round(100 / 12, 2),
    }
    assert [item.outcome for item in found.items] == [1, 0, 0]


def test_the_report_gets_every_picture_of_a_table_once(tmp_path: Path) -> None:
    write_naturalbench(tmp_path)
    benchmark = BENCHMARKS["naturalbench"]
    items = scored("naturalbench", tmp_path, ["Yes"] * 12).items[:1]
    baseline = a_result(items=[items[0].model_copy(update={"outcome": 1.0})])
    questions = benchmark.read(tmp_path, 1)  # four: two about each of two pictures
    shown = with_pictures(benchmark, questions, a_result(items=items, baseline=baseline), tmp_path)
    assert shown.items[0].pictures == ["naturalbench.1-1.png", "naturalbench.1-2.png"]
    for number, name in enumerate(shown.items[0].pictures):
        assert (tmp_path / name).read_bytes() == picture(number)


def test_mmstar_reads_letters_and_the_options_in_the_question(tmp_path: Path) -> None:
    question = "What is it?\nOptions: A: a ball, B: a box, red, C: a cat, D: none"
    rows = [
        {"index": number, "question": question, "image": picture(), "answer": "B", "category": name}
        for number, name in enumerate(["math", "math", "logic", "logic"])
    ]
    table(tmp_path / "MMStar" / "mmstar.parquet", rows)
    (first, *_) = BENCHMARKS["mmstar"].read(tmp_path, None).documents
    assert first["options"] == ["a ball", "a box, red", "a cat", "none"]
    found = scored("mmstar", tmp_path, ["B", "a box, red", "C", "either A or B"])
    assert values(found) == {"accuracy": 50.0, "unread": 25.0}
    assert found.metrics["accuracy/math"].value == 100


def test_realworldqa_takes_letters_words_and_numbers(tmp_path: Path) -> None:
    letters = (
        "Which way?\n\nA. Left.\nB. Right.\nPlease answer directly with only the letter of the correct option."
    )
    word = "How many?\nPlease answer directly with a single word or number."
    asked = [
        (letters, "B", "B"),
        (letters, "A", "Right."),
        (word, "3", "Three."),
        (word, "Yes", "yes"),
        (word, "2", ""),
    ]
    rows = [{"question": question, "answer": answer, "image": shown()} for question, answer, _ in asked]
    table(tmp_path / "RealWorldQA" / "data" / "test-00000-of-00001.parquet", rows)
    found = scored("realworldqa", tmp_path, [said for *_, said in asked])
    assert values(found) == {"accuracy": 60.0, "unread": 20.0}


def test_blink_shows_every_picture_and_averages_its_tasks(tmp_path: Path) -> None:
    for task, count, pictures in (("Counting", 3, 1), ("Jigsaw", 1, 3)):
        rows = [
            {
                "idx": f"val_{task}_{number}",
                "sub_task": task,
                "prompt": "Which?\n(A) one\n(B) two",
                "choices": ["one", "two"],
                "answer": "(A)",
                **{f"image_{place}": shown(place) if place <= pictures else None for place in range(1, 5)},
            }
            for number in range(count)
        ]
        table(tmp_path / "BLINK" / task / "val-00000-of-00001.parquet", rows)
    documents = BENCHMARKS["blink"].read(tmp_path, None).documents
    assert [len(BENCHMARKS["blink"].pictures(document)) for document in documents] == [1, 1, 1, 3]
    assert graded_tasks.doc_to_text(documents[-1]).startswith("<image><image><image>Which?")
    found = scored("blink", tmp_path, ["A", "two", "hm", "(A)"])
    assert values(found) == {"accuracy": round(100 * (1 / 3 + 1) / 2, 2), "unread": 25.0}


def test_hallusionbench_counts_answers_figures_and_question_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "HallusionBench"
    records = []
    # two figures of one set with the same two questions, and one question without a picture
    for figure in (0, 1):
        (folder / "hallusion_bench" / "VD" / "ocr").mkdir(parents=True, exist_ok=True)
        (folder / "hallusion_bench" / "VD" / "ocr" / f"0_{figure}.png").write_bytes(picture(figure))
        for question in (0, 1):
            records.append(
                {
                    "category": "VD",
                    "subcategory": "ocr",
                    "visual_input": str(figure + 1),
                    "set_id": "0",
                    "figure_id": str(figure),
                    "question_id": str(question),
                    "question": "Is it so?",
                    "gt_answer": str(1 - figure),
                    "filename": f"./hallusion_bench/VD/ocr/0_{figure}.png",
                }
            )
    records.append(records[0] | {"visual_input": "0", "filename": None, "question_id": "2"})
    (folder / "HallusionBench.json").write_text(json.dumps(records))
    found = scored("hallusionbench", tmp_path, ["Yes.", "yes!", "No, it is not", "Yes or no?"])
    assert values(found) == {"accuracy": 75.0, "figure": 50.0, "question": 50.0, "unread": 25.0}
    for damaged in ({"a": 1}, [None], [records[0] | {"gt_answer": "2"}], [records[0] | {"filename": None}], []):
        (folder / "HallusionBench.json").write_text(json.dumps(damaged))
        with pytest.raises(Damaged, match=r"HallusionBench(\.json)?: (a question is not as in|holds no question)"):
            BENCHMARKS["hallusionbench"].read(tmp_path, None)
    for outside in ("/etc/a.png", "./hallusion_bench/../../a.png"):
        (folder / "HallusionBench.json").write_text(json.dumps([records[0] | {"filename": outside}]))
        with pytest.raises(Unsafe, match=r"HallusionBench\.json: VD ocr 0.*a\.png"):
            BENCHMARKS["hallusionbench"].read(tmp_path, None)
    os.truncate(folder / "HallusionBench.json", 65 * 2**20)
    with pytest.raises(Invalid, match="67,108,864"):
        BENCHMARKS["hallusionbench"].read(tmp_path, None)


WRITERS: dict[str, Callable[[Path], None]] = {"mme": write_mme, "naturalbench": write_naturalbench}


def test_they_are_asked_compared_and_written_as_the_others(says_a: Path, says_no: Path, tmp_path: Path) -> None:
    for write in WRITERS.values():
        write(tmp_path / "data")
    run(
        says_no,
        data=tmp_path / "data",
        out=tmp_path / "out",
        baseline=says_a,
        benchmarks=list(WRITERS),
        first=None,
        batch=16,
        device="cpu",
        judge_url=None,
        judge_model=None,
    )
    results = {name: read_result(tmp_path / "out" / f"{name}.json") for name in WRITERS}
    figures = {name: result.metrics[result.headline].value for name, result in results.items()}
    assert figures == {"mme": 10 * 50, "naturalbench": 0}  # of two questions one is a no
    natural = results["naturalbench"].metrics
    assert natural["accuracy"].value == pytest.approx(100 * 4 / 12)  # half of the yes-or-no questions
    compared = _comparisons(results["mme"])
    assert compared["perception"] == (500, 500, 500)  # "A" says neither, on every picture
    assert compared["cognition"] == (200, 200, 200)
    with pytest.raises(Missing, match=r"CV-Bench/test_\?d\.parquet"):
        BENCHMARKS["cv-bench"].read(tmp_path / "out", None)


def _comparisons(result: Result) -> dict[str, tuple[float, ...]]:
    found = {each.metric: (each.difference, *(each.interval or ())) for each in result.comparisons}
    return {name: tuple(round(value) for value in each) for name, each in found.items()}


def test_the_first_questions_are_whole_units(tmp_path: Path) -> None:
    write_naturalbench(tmp_path)
    write_mme(tmp_path)
    for name, questions in (("naturalbench", 4), ("mme", 2)):
        assert len(BENCHMARKS[name].read(tmp_path, 1).documents) == questions


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda row: row.pop("prompt"), r"test_2d\.parquet:"),
        (lambda row: row.update(choices=None), "CV-Bench's"),
        (lambda row: row.update(answer="(D)"), "0"),
        (
            lambda row: row.update(image={"bytes": b"torn", "path": None}),
            "0.*group 0",
        ),
        (
            lambda row: row.update(image="a.png"),
            r"cannot be decoded \(it holds no image\)",
        ),
    ],
)
def test_a_damaged_table_is_named(spoil: Callable[[dict[str, Any]], Any], says: str, tmp_path: Path) -> None:
    write_cv_bench(tmp_path)
    path = tmp_path / "CV-Bench" / "test_2d.parquet"
    row = pyarrow.parquet.read_table(path).to_pylist()[0]
    spoil(row)
    table(path, [row])
    benchmark = BENCHMARKS["cv-bench"]
    with pytest.raises(Damaged, match=says):
        benchmark.pictures(benchmark.read(tmp_path, None).documents[0])
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(Damaged, match=r"test_2d\.parquet: .*Parquet"):
        benchmark.read(tmp_path, None)


def test_a_damaged_text_of_mme_is_named(tmp_path: Path) -> None:
    write_mme(tmp_path)
    path = next(tmp_path.rglob("count/0.txt"))
    for content in ("Is it so?\tYes\n", "Is it so?\tYes\nIs it?\tPerhaps\n"):
        path.write_text(content)
        with pytest.raises(Damaged, match=r"count/0\.txt:"):
            BENCHMARKS["mme"].read(tmp_path, None)


def test_a_picture_is_what_the_table_holds(tmp_path: Path) -> None:
    write_cv_bench(tmp_path)
    document = BENCHMARKS["cv-bench"].read(tmp_path, None).documents[3]
    (found,) = BENCHMARKS["cv-bench"].pictures(document)
    with Image.open(io.BytesIO(picture(3))) as wanted:
        assert found.tobytes() == wanted.convert("RGB").tobytes()
