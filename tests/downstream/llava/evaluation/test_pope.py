import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from diva.errors import Damaged, Unsafe
from diva_downstream.llava.evaluation.pope import score
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.tasks import pope
from tests.fixtures.images import crops

# what is there, what is said, and how LLaVA's rule reads it
WORKED = [
    ("yes", "Yes", "yes"),
    ("yes", "Yes, there is. No doubt.", "yes"),  # the first sentence alone counts
    ("yes", "No", "no"),
    ("no", "No, there is not", "no"),
    ("no", "there is no dog in it", "no"),
    ("no", "Yes.", "yes"),
    ("no", "", "yes"),  # silence is a yes by default
    ("yes", "NO", "yes"),  # the rule knows No, no and not
    ("yes", "Not sure", "yes"),  # nor Not
    ("no", "nothing of the kind", "yes"),
]


def documents(rows: list[tuple[str, str, str]]) -> list[Answered]:
    return [
        Answered({"line": number, "question": "Is there a dog?", "label": label}, said)
        for number, (label, said, _) in enumerate(rows, 1)
    ]


@pytest.mark.parametrize(("said", "read"), [(said, read) for _, said, read in WORKED])
def test_answers_are_read_by_llava_s_rule(said: str, read: str) -> None:
    assert pope.says_yes(said) == (read == "yes")


def test_the_figures_are_as_worked_by_hand() -> None:
    # said yes: 2 + 2 right, 3 wrong; said no: 2 right, 1 wrong
    metrics = score(documents(WORKED)).metrics
    assert {name: round(metric.value, 2) for name, metric in metrics.items()} == {
        "accuracy": 60.0,
        "f1": 66.67,  # 2 · 4 / (2 · 4 + 3 + 1)
        "precision": 57.14,
        "recall": 80.0,
        "yes-share": 70.0,
        "unread": 40.0,  # silence, NO, Not sure, nothing of the kind
    }
    for metric in metrics.values():
        assert metric.n == 10
        assert metric.interval is not None
        assert metric.interval[0] <= metric.value <= metric.interval[1]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_figures_are_scikit_learn_s(answers: list[tuple[bool, bool]]) -> None:
    said, there = zip(*answers, strict=True)
    rows = [("yes" if truth else "no", "yes" if yes else "no", "") for yes, truth in answers]
    metrics = score(documents(rows)).metrics
    assert metrics["accuracy"].value == pytest.approx(100 * accuracy_score(there, said))
    for name, reference in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        expected = reference(there, said, zero_division=math.nan)
        aggregated = getattr(pope, name)(answers)
        if math.isnan(expected):
            assert name not in metrics
            assert math.isnan(aggregated)
        else:
            assert metrics[name].value == pytest.approx(100 * expected)
            assert aggregated == pytest.approx(expected)


def write(folder: Path, lines: list[dict[str, object]], place: str = "pope/coco") -> Path:
    images = folder / "pope" / "val2014"
    images.mkdir(parents=True)
    crops(1, side=16)[0].save(images / "COCO_val2014_000000000001.jpg")
    path = folder / place / "coco_pope_random.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


LINE = {
    "question_id": 1,
    "image": "COCO_val2014_000000000001.jpg",
    "text": "Is there a dog in the image?",
    "label": "yes",
}


@pytest.mark.parametrize("place", ["pope", "pope/coco"])
def test_json_lines_are_read_where_either_guide_puts_them(tmp_path: Path, place: str) -> None:
    write(tmp_path, [LINE, LINE | {"question_id": 2, "label": "no"}], place)
    first, second = pope.documents(data=str(tmp_path), negatives="random")["test"]
    assert pope.doc_to_text(first) == (
        "<image>Is there a dog in the image?\nAnswer the question using a single word or phrase."
    )
    assert pope.doc_to_image(first)[0] is pope.doc_to_image(second)[0]


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ({"label": "maybe"}, pytest.raises(Damaged, match=r"1.*'maybe'")),
        ({"text": None}, pytest.raises(Damaged, match=r"line 1: .*'text'")),
        ({"image": "../../secret.jpg"}, pytest.raises(Unsafe, match=r"1.*\.\./\.\./secret\.jpg")),
        ({"text": "Is there a \ud800?"}, pytest.raises(Damaged, match="a question holds what is no text")),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused(
    tmp_path: Path, line: dict[str, object], refused: pytest.RaisesExc[Exception]
) -> None:
    changed = {key: value for key, value in (LINE | line).items() if value is not None}
    write(tmp_path, [changed])
    with refused:
        pope.documents(data=str(tmp_path), negatives="random")
