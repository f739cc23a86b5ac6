import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from diva.errors import Damaged, Invalid
from diva_downstream.llava.evaluation.mmvp import score
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.tasks import mmvp
from diva_downstream.llava.tasks.mmvp import Half
from tests.fixtures.images import crops

HEAD = ("Index", "Question", "Options", "Correct Answer")
OPEN = ("Are the petals open?", "(a) Open (b) Closed")
LEFT = ("Where is the dog?", "(a) On the left (b) On the right")
THIRD = ("Is it day or night?", "(a) Day (b) Night")


def write(folder: Path, rows: Sequence[Sequence[str]], images: str = "MMVP Images") -> Path:
    place = folder / "MMVP"
    (place / images).mkdir(parents=True)
    with (place / "Questions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *((number, *row) for number, row in enumerate(rows, 1))])
    for number, image in enumerate(crops(len(rows), side=16), 1):
        image.save(place / images / f"{number}.jpg")
    return place


SIX = [(*OPEN, "(a)"), (*OPEN, "(b)"), (*LEFT, "(b)"), (*LEFT, "(a)"), (*THIRD, "(a)"), (*THIRD, "(b)")]


def test_a_pair_is_right_only_if_both_pictures_are(tmp_path: Path) -> None:
    # both right; one right; one right and the other unread
    answers = ["(a) Open", "b", "On the right", "(b)", "A", "It is dusk"]
    documents = mmvp.read(write(tmp_path, SIX))
    scored = score([Answered(*each) for each in zip(documents, answers, strict=True)])
    assert {name: (round(metric.value, 3), metric.n) for name, metric in scored.metrics.items()} == {
        "pairs": (33.333, 3),
        "questions": (66.667, 6),
        "unread": (16.667, 6),
    }
    assert [(item.id, item.outcome) for item in scored.items] == [("1-2", 1), ("3-4", 0), ("5-6", 0)]
    assert scored.items[2].details["answer 6"] == "It is dusk"
    read = [mmvp.process_results(document, [answer]) for document, answer in zip(documents, answers, strict=True)]
    assert mmvp.pairs([each["pairs"] for each in read]) == pytest.approx(1 / 3)


def test_a_model_that_always_says_a_gets_no_pair(tmp_path: Path) -> None:
    documents = mmvp.read(write(tmp_path, SIX))
    metrics = score([Answered(document, "(a)") for document in documents]).metrics
    assert (metrics["pairs"].value, metrics["questions"].value) == (0, 50)


def test_half_a_pair_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert mmvp.pairs([Half(1, right=True), Half(1, right=True), Half(2, right=True)]) == 1
    assert "1 pair lacks a picture (--limit)" in caplog.text


def test_a_limit_counts_pairs(tmp_path: Path) -> None:
    write(tmp_path, SIX)
    assert mmvp.documents(data=str(tmp_path), first=2)["test"]["number"] == [1, 2, 3, 4]


def test_the_prompt_is_question_and_options_in_one_line(tmp_path: Path) -> None:
    document, *_ = mmvp.read(write(tmp_path, SIX, images="MMVP_Images"))
    assert mmvp.doc_to_text(document) == (
        "<image>Are the petals open? (a) Open (b) Closed\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert mmvp.doc_to_image(document)[0].size == (16, 16)


@pytest.mark.parametrize(
    ("disputed", "version"), [("abab", "published"), ("baba", "corrected"), ("aabb", "own"), ("abaB", "published")]
)
def test_it_is_said_which_labels_these_are(disputed: str, version: str) -> None:
    answers = dict(zip((99, 100, 279, 280), disputed.upper(), strict=True))
    rows = [{"number": number, "answer": answers.get(number, "A")} for number in range(1, 301)]
    assert mmvp.labels_version(rows) == version
    assert mmvp.labels_version(rows[:90]) == "own"


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        (SIX[:5], pytest.raises(Invalid, match="5")),
        ([(*OPEN, "(c)"), (*OPEN, "(b)")], pytest.raises(Damaged, match="1")),
        ([("Which?", "left or right", "(a)"), (*OPEN, "(b)")], pytest.raises(Damaged, match="1")),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused(
    tmp_path: Path, rows: list[tuple[str, ...]], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        mmvp.read(write(tmp_path, rows))


def test_the_file_of_mmvp_vlm_is_not_taken_for_it(tmp_path: Path) -> None:
    place = write(tmp_path, SIX)
    (place / "Questions.csv").write_text("Question ID,Type,Statement\n1,State,open petals\n")
    with pytest.raises(Invalid, match=r"Question.*Options.*Correct Answer"):
        mmvp.read(place)
