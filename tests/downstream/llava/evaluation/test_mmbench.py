import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva.errors import Damaged, Missing
from diva.results import Metric
from diva_downstream.llava.evaluation.mmbench import score
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.evaluation.submission import write_submission
from diva_downstream.llava.tasks import mmbench
from diva_downstream.llava.tasks.mmbench import Rotation
from tests.fixtures.images import crops, encode

COLUMNS = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "l2-category"]
PICTURES = [base64.b64encode(encode(image)).decode() for image in crops(3, side=24)]


def row(index: int, options: Sequence[str], answer: str, **changes: str) -> dict[str, str]:
    named = dict(zip("ABCD", options, strict=False))
    fields = {"index": str(index), "question": "What is it?", "category": "colour", "l2-category": "attribute"}
    return fields | named | {"answer": answer, "image": PICTURES[index % 1_000_000 % 3]} | changes


def write(folder: Path, rows: Sequence[Mapping[str, str]], name: str = "MMBench_DEV_EN") -> Path:
    path = folder / "mmbench" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


# two options of question 0, three of question 7, two of question 9
ROWS = [
    row(0, ["red", "blue"], "A"),
    row(7, ["one", "two", "four"], "B", category="number"),
    row(9, ["yes", "no"], "B"),
    row(1_000_000, ["blue", "red"], "B"),
    row(1_000_007, ["two", "four", "one"], "A", category="number"),
    row(1_000_009, ["no", "yes"], "A"),
    row(2_000_007, ["four", "one", "two"], "C", category="number"),
]
# the same, worked by hand: question 0 is right both times, once by its text; 7 is wrong in its last rotation, where
# nothing can be read; 9 is wrong as written and right when rotated
ANSWERS = {
    0: "A",
    1_000_000: "It is red.",
    7: "(B)",
    1_000_007: "A. two",
    2_000_007: "either C or A",
    9: "A",
    1_000_009: "A",
}


def answered(path: Path, answers: Mapping[int, str], *, labelled: bool = True) -> list[Answered]:
    documents = mmbench.read(path, language="en", labelled=labelled)
    return [Answered(each, answers[each["index"]]) for each in documents if each["index"] in answers]


def values(metrics: Mapping[str, Metric]) -> dict[str, tuple[float, int]]:
    return {name: (round(metric.value, 3), metric.n) for name, metric in metrics.items()}


def test_circular_and_single_pass_are_as_worked_by_hand(tmp_path: Path) -> None:
    scored = score(answered(write(tmp_path, ROWS), ANSWERS))
    assert values(scored.metrics) == {
        "circular": (33.333, 3),
        "single-pass": (66.667, 3),
        "circular/category/colour": (50, 2),
        "single-pass/category/colour": (50, 2),
        "circular/category/number": (0, 1),
        "single-pass/category/number": (100, 1),
        "circular/l2-category/attribute": (33.333, 3),
        "single-pass/l2-category/attribute": (66.667, 3),
        "unread": (14.286, 7),
    }
    assert {item.id: (item.outcome, item.details["single-pass"]) for item in scored.items} == {
        "0": (1, 1),
        "7": (0, 1),
        "9": (0, 0),
    }
    details = scored.items[1].details
    assert [details[f"answer {turn}"] for turn in range(3)] == ["(B)", "A. two", "either C or A"]
    assert [details[f"read {turn}"] for turn in range(3)] == ["B", "A", ""]


def test_what_lm_eval_aggregates_are_the_same_figures(tmp_path: Path) -> None:
    some = answered(write(tmp_path, ROWS), ANSWERS)
    read = [mmbench.process_results(document, [answer]) for document, answer in some]
    assert mmbench.circular([each["circular"] for each in read]) == pytest.approx(1 / 3)
    assert mmbench.single_pass([each["single_pass"] for each in read]) == pytest.approx(2 / 3)
    assert sum(each["unread"] for each in read) == 1


def test_a_question_cut_short_is_left_out_and_never_counted_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = {index: answer for index, answer in ANSWERS.items() if index not in (2_000_007, 1_000_009)}
    some = answered(write(tmp_path, ROWS), cut)
    assert values(score(some).metrics)["circular"] == (100, 1)
    rotations = [mmbench.process_results(document, [answer])["circular"] for document, answer in some]
    assert mmbench.circular(rotations) == 1
    assert "2 of the questions lack rotations (--limit) and are left out" in caplog.text
    alone = answered(write(tmp_path, ROWS), {7: "B"})
    assert score(alone) == ({}, [])
    assert math.isnan(mmbench.circular([mmbench.process_results(alone[0].document, ["B"])["circular"]]))


def test_a_limit_keeps_questions_whole(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    asked = mmbench.documents(data=str(tmp_path), first=2, language="en", split="dev")["test"]
    assert asked["index"] == [0, 1_000_000, 7, 1_000_007, 2_000_007]
    # and a plain --limit, which takes the first rows, cuts one question at most
    everything = mmbench.documents(data=str(tmp_path), language="en", split="dev")["test"]
    assert everything["group"] == sorted(everything["group"])


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=12))
def test_circular_is_the_share_of_questions_without_a_wrong_rotation(questions: list[list[bool]]) -> None:
    rotations = [
        Rotation(number, len(turns), turn == 0, right)
        for number, turns in enumerate(questions)
        for turn, right in enumerate(turns)
    ]
    assert mmbench.circular(rotations) == pytest.approx(sum(map(all, questions)) / len(questions))
    assert mmbench.single_pass(rotations) == pytest.approx(sum(turns[0] for turns in questions) / len(questions))
    assert mmbench.circular(rotations) <= mmbench.single_pass(rotations) + 1e-12


def test_the_prompt_is_llava_s_in_both_languages(tmp_path: Path) -> None:
    hinted = write(tmp_path, [row(3, ["red", "nan", "", "None"], "A", hint="Look.") | {"B": "blue"}])
    (document,) = mmbench.read(hinted, language="en", labelled=True)
    assert mmbench.doc_to_text(document).splitlines() == [
        "<image>Look.",
        "What is it?",
        "A. red",
        "B. blue",
        "Answer with the option's letter from the given choices directly.",
    ]
    chinese = write(tmp_path, [row(3, ["红色", "蓝色"], "B", question="这是什么颜色?")], "MMBench_DEV_CN")
    (document,) = mmbench.read(chinese, language="cn", labelled=True)
    assert mmbench.doc_to_text(document) == "<image>这是什么颜色?\nA. 红色\nB. 蓝色\n请直接回答选项字母。"
    assert mmbench.process_results(document, ["答案是B。"])["single_pass"].right


def test_a_rotation_may_point_at_the_picture_of_another_row(tmp_path: Path) -> None:
    path = write(tmp_path, [row(0, ["red", "blue"], "A"), row(1_000_000, ["blue", "red"], "B", image="0")])
    first, second = mmbench.read(path, language="en", labelled=True)
    assert mmbench.doc_to_image(second)[0] is mmbench.doc_to_image(first)[0]
    assert mmbench.doc_to_image(first)[0].size == (24, 24)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [row(0, ["red", "blue"], "C")],
            "0",
        ),
        ([row(0, ["red"], "A")], "0"),
        ([row(0, ["red", "blue"], "")], "0"),
        ([row(0, ["red", "blue"], "A") | {"index": "x"}], "'x'"),
        ([row(0, ["red", "blue"], "A") | {"index": "9" * 19}], "'9{19}'"),
        ([row(0, ["red", "blue"], "A") | {"index": "9" * 5000}], "'9{40}'"),
        ([], r"MMBench_DEV_EN\.tsv:"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(tmp_path: Path, rows: list[dict[str, str]], says: str) -> None:
    with pytest.raises(Damaged, match=says):
        mmbench.read(write(tmp_path, rows), language="en", labelled=True)


def test_missing_files_columns_and_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="lm_eval --metadata data=FOLDER"):
        mmbench.documents(language="en", split="dev")
    with pytest.raises(Missing, match=r"MMBench_DEV_EN\.tsv"):
        mmbench.documents(data=str(tmp_path), language="en", split="dev")
    path = write(tmp_path, ROWS)
    path.write_text("index\tquestion\n1\twhat?\n")
    with pytest.raises(Missing, match=r"A.*B"):
        mmbench.read(path, language="en", labelled=True)
    broken = write(tmp_path, [row(5, ["red", "blue"], "A", image="bm90IGEgcGljdHVyZQ==")], "MMBench_DEV_CN")
    (document,) = mmbench.read(broken, language="cn", labelled=True)
    with pytest.raises(Damaged, match="5"):
        mmbench.doc_to_image(document)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ((PICTURES[0], "77"), "2.*77"),
        ((PICTURES[0], ""), "2"),
        ((PICTURES[0], "9" * 5000), "2"),
        (("2", "1"), "2"),
        (("2", "2"), "2"),
    ],
    ids=["a row that is not there", "none", "no row's number", "each other", "itself"],
)
def test_a_picture_that_is_named_in_vain_is_told_with_its_row(
    images: tuple[str, str], says: str, tmp_path: Path
) -> None:
    rows = [row(number, ["red", "blue"], "A", image=image) for number, image in enumerate(images, 1)]
    documents = mmbench.read(write(tmp_path, rows), language="en", labelled=True)
    with pytest.raises(Damaged, match=says):
        mmbench.doc_to_image(documents[1])


@pytest.mark.parametrize("cell", mmbench.NOTHING)
def test_what_pandas_takes_for_an_empty_cell_is_not_offered(cell: str) -> None:
    assert pandas.read_csv(io.StringIO(f'x,y\n"{cell}",1\n'))["x"].isna().all()
    assert mmbench.options_of({"A": "red", "B": cell, "C": "", "D": ""}) == {"A": "red"}


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("=A", "=A"),
        ("=1+1", "=1+1"),
        ("none", "none"),
        ("NaN", "NaN"),
        ("A\x0bB\x00", "A\ufffdB\ufffd"),
        ("#N/A", "#N/A"),
    ],
)
def test_a_workbook_holds_every_answer_and_question_as_text(said: str, stands: str, tmp_path: Path) -> None:
    rows = [row(3, ["red", "blue", "None"], "", question=said)]
    (document,) = mmbench.read(write(tmp_path, rows), language="en", labelled=False)
    write_submission([Answered(document, said)], tmp_path / "s.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "s.xlsx").active
    cells = {sheet.cell(1, column).value: sheet.cell(2, column) for column in range(1, 8)}
    assert (cells["prediction"].value, cells["prediction"].data_type) == (stands, "s")
    assert (cells["question"].value, cells["C"].value, cells["index"].value) == (stands, "None", 3)


def test_the_test_split_gives_a_submission_and_no_score(tmp_path: Path) -> None:
    unlabelled = [{key: value for key, value in each.items() if key != "answer"} for each in ROWS]
    path = write(tmp_path, unlabelled, "MMBench_TEST_EN")
    answers = answered(path, ANSWERS, labelled=False)
    assert score(answers) == ({}, [])
    write_submission(answers, tmp_path / "submission.xlsx")
    table = pandas.read_excel(tmp_path / "submission.xlsx")
    assert list(table.columns) == ["index", "question", "A", "B", "C", "D", "prediction"]
    assert dict(zip(table["index"], table["prediction"], strict=True)) == ANSWERS
    assert list(table["index"]) == sorted(ANSWERS)
