import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from diva.errors import Damaged, Unsafe
from diva.results import Clock, DataSource, Result, Subject
from diva_downstream.llava.evaluation.llava_bench import comparisons, score
from diva_downstream.llava.evaluation.reviews import Review, parse_scores
from diva_downstream.llava.evaluation.scored import Answered, Scored
from diva_downstream.llava.tasks import llava_bench

CATEGORIES = ("conv", "detail", "complex", "conv", "complex")


def answered(count: int = 5) -> list[Answered]:
    return [
        Answered({"question_id": str(number), "category": CATEGORIES[number], "question": "?"}, "an answer")
        for number in range(count)
    ]


def reviews(*contents: str) -> list[Review]:
    return [Review(content, *parse_scores(content)) for content in contents]


@pytest.mark.parametrize(
    ("content", "scores"),
    [
        ("8 9\nBoth are good.", (8, 9)),
        ("8.5,7\nThe first", (8.5, 7)),
        ("7 10", (7, 10)),
        # LLaVA's rule takes none of these, and neither may we if figures are to be compared
        ("8, 9", (-1, -1)),
        ("8  9", (-1, -1)),
        ("8 9 ", (-1, -1)),
        ("Assistant 1: 8\nAssistant 2: 9", (-1, -1)),
        ("8", (-1, -1)),
        ("", (-1, -1)),
        ("8/10 9/10", (-1, -1)),
        ("\n8 9", (-1, -1)),
        # it would take these two for numbers
        ("nan 9", (-1, -1)),
        ("inf 9", (-1, -1)),
    ],
)
def test_scores_are_read_by_llava_s_rule(content: str, scores: tuple[float, float]) -> None:
    assert parse_scores(content) == scores


def test_the_relative_score_is_as_worked_by_hand() -> None:
    # ours 6, 4, 8, 5, −1: mean 4.4; the reference's 8, 8, 10, 10, −1: mean 7
    scored = score(answered(), reviews("8 6", "8 4", "10 8", "10 5", "no scores today"))
    values = {name: round(metric.value, 3) for name, metric in scored.metrics.items()}
    assert values == {
        "relative": 62.857,
        "relative/conv": 61.111,  # 5.5 / 9
        "relative/detail": 50,
        "relative/complex": 77.778,  # 3.5 / 4.5
        "relative, parsed reviews only": 63.889,  # 5.75 / 9
        "unparsable": 20,
    }
    assert [item.outcome for item in scored.items] == pytest.approx([0.6, 0.4, 0.8, 0.5, -0.1])
    assert scored.items[4].details["review"] == "no scores today"
    assert scored.metrics["relative"].unit == "score"


def test_without_one_readable_review_there_is_no_score() -> None:
    # by the official mean, −1 over −1 would be a perfect 100
    scored = score(answered(2), reviews("sorry", "I cannot"))
    assert scored.metrics == {}
    assert [item.details["review"] for item in scored.items] == ["sorry", "I cannot"]


def test_a_category_without_a_divisor_is_left_out() -> None:
    metrics = score(answered(3), reviews("8 6", "sorry", "4 4")).metrics
    assert "relative/detail" not in metrics
    assert metrics["relative/complex"].value == 100


def result(scored: Scored) -> Result:
    return Result(
        task="llava-bench",
        part="wild",
        headline="relative",
        settings={"reading": "judged"},
        subject=Subject(label="x", source="x", architecture="x", sha256="0" * 64),
        data=DataSource(name="LLaVA-Bench", path="x", fingerprint="1" * 64, items=len(scored.items)),
        metrics=scored.metrics,
        items=scored.items,
        run=Clock([], "cpu").stop(),
    )


def test_two_models_are_compared_question_by_question() -> None:
    better = result(score(answered(), reviews("8 8", "8 6", "10 9", "10 7", "8 7")))
    worse = result(score(answered(), reviews("8 6", "8 4", "10 8", "10 5", "8 7")))
    (found,) = comparisons(better, worse)
    assert found.metric == "relative"
    # 37 / 44 less 30 / 44
    assert found.difference == pytest.approx(100 * 7 / 44)
    assert found.interval is not None
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert (found.wins, found.losses, found.test) == (4, 0, "swap test")
    # the references scored alike, so of 16 ways to swap the four that differ two are as extreme
    assert found.p_value == pytest.approx(0.125, abs=0.03)
    assert comparisons(worse, better)[0].difference == pytest.approx(-found.difference)


def test_no_score_is_no_comparison() -> None:
    judged = result(score(answered(2), reviews("8 6", "8 4")))
    assert comparisons(judged, result(Scored({}, []))) == []
    assert comparisons(result(score(answered(2), reviews("sorry", "no"))), judged) == []


QUESTION = {"question_id": 3, "image": "001.jpg", "text": "What is it?", "category": "conv"}
CONTEXT = {"id": "001", "image": "001.jpg", "caption": ["A rocket.", "It stands."]}
REFERENCE = {"question_id": 3, "text": "A rocket.", "answer_id": "x"}


def write(folder: Path, **files: Sequence[dict[str, object]]) -> Path:
    official = {"questions": [QUESTION], "context": [CONTEXT], "answers_gpt4": [REFERENCE]}
    (folder / "llava-bench-in-the-wild").mkdir()
    for name, lines in (official | files).items():
        path = folder / "llava-bench-in-the-wild" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "llava-bench-in-the-wild"


def test_references_are_found_by_their_question_and_not_by_their_line(tmp_path: Path) -> None:
    other = {"question_id": 9, "text": "A cat.", "answer_id": "y"}
    (document,) = llava_bench.read(write(tmp_path, answers_gpt4=[other, REFERENCE]))
    assert document["reference"] == "A rocket."
    assert document["context"] == "A rocket.\nIt stands."
    assert document["file"] == str(tmp_path / "llava-bench-in-the-wild" / "images" / "001.jpg")
    assert llava_bench.doc_to_text(document) == "<image>What is it?"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_ends_at_its_line_feed_alone(separator: str, tmp_path: Path) -> None:
    folder, said = write(tmp_path), f"A rocket.{separator}It stands."
    path = folder / "answers_gpt4.jsonl"
    path.write_text(json.dumps(REFERENCE | {"text": said}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert llava_bench.read(folder)[0]["reference"] == said


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        (
            {"answers_gpt4": [REFERENCE | {"question_id": 4}]},
            pytest.raises(Damaged, match=r"answers_gpt4.jsonl: .*'3'.*3"),
        ),
        (
            {"context": [CONTEXT | {"image": "2.jpg"}]},
            pytest.raises(Damaged, match=r"context.jsonl: .*'001.jpg'.*3"),
        ),
        (
            {"questions": [QUESTION | {"category": "chat"}]},
            pytest.raises(Damaged, match=r"'chat'.*conv.*detail.*complex"),
        ),
        ({"questions": []}, pytest.raises(Damaged, match=r"questions.jsonl:")),
        ({"questions": [{"question_id": 3}]}, pytest.raises(Damaged, match=r"line 1: .*'image'")),
        ({"questions": [QUESTION | {"image": 5}]}, pytest.raises(Damaged, match="line 1: 'image'")),
        (
            {"questions": [QUESTION | {"image": "/a.jpg"}], "context": [CONTEXT | {"image": "/a.jpg"}]},
            pytest.raises(Unsafe, match=r"3.*/a.jpg"),
        ),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, files: dict[str, list[dict[str, object]]], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        llava_bench.read(write(tmp_path, **files))
