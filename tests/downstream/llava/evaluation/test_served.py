"""Answers from a served model: what reaches a real server, and what becomes of what it says."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from typer.testing import CliRunner

from diva.cli import app
from diva.errors import InputError, RunError
from diva.results import read_result
from diva_downstream.llava.evaluation.benchmarks import BENCHMARKS
from tests.downstream.llava.evaluation.test_command import evaluate
from tests.downstream.llava.evaluation.test_graded import shown, table
from tests.fixtures.judge import LoopbackJudge

SECRET = "sk-not-to-be-seen"


def served(server: LoopbackJudge, **changes: Any) -> dict[str, Any]:
    return {"served_url": server.url, "served_model": "llava", "benchmarks": ("mmvp-vqa",)} | changes


def content(body: dict[str, Any]) -> list[dict[str, Any]]:
    (message,) = body["messages"]
    assert message["role"] == "user"
    found: list[dict[str, Any]] = message["content"]
    return found


def test_each_question_is_sent_with_its_picture_and_scored_as_if_answered_here(
    judge: LoopbackJudge, says_a: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge.answer = lambda _: "A"
    monkeypatch.setenv("SERVED_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "the judge's, which is not this server's")
    evaluate(says_a, world, tmp_path / "served", **served(judge))
    evaluate(says_a, world, tmp_path / "here", benchmarks=("mmvp-vqa",))
    ours, theirs = (read_result(tmp_path / name / "mmvp-vqa.json") for name in ("served", "here"))
    assert ours.metrics == theirs.metrics
    assert [item.outcome for item in ours.items] == [item.outcome for item in theirs.items]
    assert ours.settings == theirs.settings | {"backend": "served"}
    assert ours.subject == theirs.subject

    questions = BENCHMARKS["mmvp-vqa"].read(world, None).documents
    assert len(judge.bodies) == len(questions)
    assert set(judge.keys) == {f"Bearer {SECRET}"}
    assert not any(SECRET in path.read_text() for path in (tmp_path / "served").glob("*.json*"))
    wanted = {id(document): BENCHMARKS["mmvp-vqa"].pictures(document)[0] for document in questions}
    for body in judge.bodies:
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("llava", 0.0, 64)
        picture, text = content(body)
        assert text["type"] == "text"
        assert "<image>" not in text["text"]
        encoded = picture["image_url"]["url"].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as sent:
            assert any(
                sent.size == each.size and ImageChops.difference(sent, each).getbbox() is None
                for each in wanted.values()
            )


def test_several_pictures_are_sent_in_their_order_before_the_text(
    judge: LoopbackJudge, says_a: Path, tmp_path: Path
) -> None:
    judge.answer = lambda _: "B"
    row = {"idx": "1", "sub_task": "Jigsaw", "prompt": "Which?", "choices": ["one", "two"], "answer": "(B)"}
    row |= {f"image_{place}": shown(place) if place < 4 else None for place in range(1, 5)}
    table(tmp_path / "BLINK" / "Jigsaw" / "val-00000-of-00001.parquet", [row])
    evaluate(says_a, tmp_path, tmp_path / "out", **served(judge, benchmarks=("blink",)))
    assert read_result(tmp_path / "out" / "blink.json").metrics["accuracy"].value == 100
    (body,) = judge.bodies
    *pictures, text = content(body)
    assert text["text"].startswith("Which?")
    sizes = []
    for each in pictures:
        encoded = each["image_url"]["url"].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as sent:
            sizes.append(sent.tobytes())
    (document,) = BENCHMARKS["blink"].read(tmp_path, None).documents
    assert sizes == [each.tobytes() for each in BENCHMARKS["blink"].pictures(document)]


def test_a_server_that_refuses_stops_the_run_in_one_sentence_without_the_key(
    judge: LoopbackJudge, says_a: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_API_KEY", SECRET)
    judge.answer = lambda _: 401
    with pytest.raises(RunError) as caught:
        evaluate(says_a, world, tmp_path, **served(judge))
    assert str(caught.value) == (
        "--served-url: http://127.0.0.1 answered 401; set SERVED_API_KEY to a key that it takes"
    )
    assert not (tmp_path / "mmvp-vqa.json").exists()
    judge.answer = lambda _: json.dumps({"error": SECRET}).encode()
    with pytest.raises(RunError, match="answered in no form of chat completions") as caught:
        evaluate(says_a, world, tmp_path, **served(judge))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"served_model": None}, "--served-url: is not enough; give --served-model with it"),
        ({"served_url": None}, "--served-model: is not enough; give --served-url with it"),
        ({"served_url": "http://me:pass@host/v1"}, "--served-url: holds a secret; .* as SERVED_API_KEY"),
        ({"backend": "vllm"}, "--backend: vllm and --served-url cannot both answer"),
        ({"backend": "vlm"}, "--backend: there is no 'vlm'; .*vllm"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    changes: dict[str, Any], says: str, judge: LoopbackJudge, says_a: Path, world: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        evaluate(says_a, world, tmp_path / "out", **served(judge, **changes))
    assert not (tmp_path / "out").exists()
    assert not judge.bodies


def test_a_server_answers_for_one_model(judge: LoopbackJudge, says_a: Path, world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--against: a server answers for one model"):
        evaluate(says_a, world, tmp_path / "out", **served(judge, baseline=says_a))


def test_without_vllm_its_backend_is_refused_in_one_sentence(says_a: Path, world: Path, tmp_path: Path) -> None:
    arguments = ["llava", "eval", str(says_a), "--data", str(world), "--out", str(tmp_path / "out")]
    outcome = CliRunner().invoke(app, [*arguments, "--benchmarks", "mmvp-vqa", "--backend", "vllm"])
    assert isinstance(outcome.exception, InputError)
    assert re.fullmatch(r"--backend vllm: needs vllm and ray \(.+\); pip install vllm ray", str(outcome.exception))
    assert not (tmp_path / "out").exists()
