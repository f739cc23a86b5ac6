import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from diva.errors import Damaged, Invalid, Unreachable, Unsafe
from diva_downstream.llava.evaluation.judge import Judge
from diva_downstream.llava.evaluation.reviews import Reviews, Rule, prompt, read_rules
from diva_downstream.llava.evaluation.scored import Answered
from tests.fixtures.judge import LoopbackJudge, Reply

SECRET = "sk-not-to-be-seen"
DOCUMENT = {
    "question_id": "7",
    "category": "conv",
    "context": "A rocket.\nIt stands.",
    "question": "What is it?",
    "reference": "A rocket, standing.",
}
ANSWERED = Answered(DOCUMENT, "A pencil.")


def ask(judge: LoopbackJudge, **changes: object) -> Judge:
    fields = {"key": SECRET, "pause": 0.0} | changes
    return Judge(judge.url, "tiny-judge", **fields)  # type: ignore[arg-type]


def replies(*some: Reply) -> Iterator[Reply]:
    yield from some


def test_a_review_is_asked_for_as_llava_asks(judge: LoopbackJudge, tmp_path: Path) -> None:
    rules = read_rules(tmp_path)
    review = Reviews(tmp_path / "reviews.jsonl").of(ANSWERED, ask(judge), rules)
    assert (review.reference, review.ours) == (8, 6)
    (body,) = judge.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("tiny-judge", 0.2, 1024)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert judge.keys == [f"Bearer {SECRET}"]
    context, question, reference, end1, ours, end2, rule, nothing = judge.contents[0].split("\n\n")
    assert (context, question) == ("[Context]\nA rocket.\nIt stands.", "[Question]\nWhat is it?")
    assert (reference, end1) == ("[Assistant 1]\nA rocket, standing.", "[End of Assistant 1]")
    assert (ours, end2) == ("[Assistant 2]\nA pencil.", "[End of Assistant 2]")
    assert rule.startswith("[System]\n")
    assert nothing == ""


def test_llava_s_own_rules_are_taken_where_they_lie(tmp_path: Path) -> None:
    assert read_rules(tmp_path).name == "own rule"
    official = {f"llava_bench_{name}": {"role": "Bot", "prompt": f"Rate {name}."} for name in ("conv", "detail")}
    (tmp_path / "rule.json").write_text(json.dumps(official))
    with pytest.raises(Damaged, match=r"rule\.json:"):
        read_rules(tmp_path)
    official["llava_bench_complex"] = {"role": "Bot", "prompt": "Rate complex."}
    (tmp_path / "rule.json").write_text(json.dumps(official))
    rules = read_rules(tmp_path)
    assert rules.name == "rule.json"
    assert prompt(ANSWERED, rules.of_category["conv"]).endswith(
        "[Bot 1]\nA rocket, standing.\n\n[End of Bot 1]\n\n[Bot 2]\nA pencil.\n\n[End of Bot 2]\n\n"
        "[System]\nRate conv.\n\n"
    )


def test_a_busy_judge_is_asked_again(judge: LoopbackJudge) -> None:
    said = replies(429, 503, "5 5")
    judge.answer = lambda _: next(said)
    assert ask(judge).review("?") == "5 5"
    assert len(judge.bodies) == 3


def test_a_judge_that_stays_busy_ends_the_run(judge: LoopbackJudge) -> None:
    judge.answer = lambda _: 429
    with pytest.raises(Unreachable, match=r"429.*is finished is kept"):
        ask(judge, attempts=3).review("?")
    assert len(judge.bodies) == 3


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (401, "401.*OPENAI_API_KEY"),
        (307, "307.*leads.*yours"),
        (404, "404.*/chat/completions follows"),
        (b"<html>", r"\-\-judge\-url:"),
        (b'{"choices": []}', r"\-\-judge\-url:"),
    ],
)
def test_a_refusal_is_told_at_once_and_without_the_key(judge: LoopbackJudge, reply: int | bytes, says: str) -> None:
    judge.answer = lambda _: reply
    with pytest.raises(Unreachable, match=says) as caught:
        ask(judge).review("?")
    assert SECRET not in str(caught.value)
    assert len(judge.bodies) == 1


def test_a_judge_that_is_not_there_is_told() -> None:
    with pytest.raises(Unreachable, match=r"\-\-judge\-url:"):
        Judge("http://127.0.0.1:9/v1", "x", key=None, attempts=2, pause=0).review("?")


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("localhost:8000/v1", pytest.raises(Invalid, match="HTTP")),
        ("file:///etc/passwd", pytest.raises(Invalid, match="HTTP")),
        (
            "https://me:secret@judge.example/v1",
            pytest.raises(Unsafe, match="OPENAI_API_KEY"),
        ),
        ("https://judge.example/v1?api-key=secret", pytest.raises(Unsafe, match=r"\-\-judge\-url:")),
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(
    url: str, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused as caught:
        Judge(url, "x", key=None)
    assert "secret@" not in str(caught.value)


def test_no_key_is_sent_where_there_is_none(judge: LoopbackJudge) -> None:
    ask(judge, key=None).review("?")
    assert judge.keys == [None]


def test_reviews_are_asked_for_once_and_again_when_anything_differs(judge: LoopbackJudge, tmp_path: Path) -> None:
    path, rules = tmp_path / "reviews.jsonl", read_rules(tmp_path)
    Reviews(path).of(ANSWERED, ask(judge), rules)
    resumed = Reviews(path)
    assert resumed.of(ANSWERED, ask(judge), rules).ours == 6
    assert len(judge.bodies) == 1
    resumed.of(ANSWERED._replace(answer="A crayon."), ask(judge), rules)
    resumed.of(ANSWERED, Judge(judge.url, "another", key=None), rules)
    stricter = rules._replace(of_category=rules.of_category | {"conv": Rule("Assistant", "Be strict.")})
    resumed.of(ANSWERED, ask(judge), stricter)
    assert len(judge.bodies) == 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["tuple"] for line in lines] == [[8, 6]] * 4
    assert {line["question_id"] for line in lines} == {"7"}
    assert SECRET not in path.read_text()


def test_a_damaged_review_is_refused_by_its_line_and_never_asked_for_again(
    judge: LoopbackJudge, tmp_path: Path
) -> None:
    path, rules = tmp_path / "reviews.jsonl", read_rules(tmp_path)
    Reviews(path).of(ANSWERED, ask(judge), rules)
    whole = path.read_text()
    for damaged, says in (
        ("not json\n" + whole, "line 1: .*JSON"),
        (whole + whole[: len(whole) // 2], "line 2: .*JSON"),
        (whole + '{"key": "a", "content": 1}\n', "line 2:"),
        ("\n", r"reviews\.jsonl:"),
    ):
        path.write_text(damaged)
        with pytest.raises(Damaged, match=says):
            Reviews(path)


def test_a_run_that_is_stopped_while_it_writes_leaves_the_reviews_before(
    judge: LoopbackJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rules = tmp_path / "reviews.jsonl", read_rules(tmp_path)
    reviews = Reviews(path)
    reviews.of(ANSWERED, ask(judge), rules)
    whole = path.read_text()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reviews.of(ANSWERED._replace(answer="A crayon."), ask(judge), rules)
    assert path.read_text() == whole
    Reviews(path).of(ANSWERED._replace(answer="A crayon."), ask(judge), rules)
    assert len(path.read_text().splitlines()) == 2
