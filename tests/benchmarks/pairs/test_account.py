import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diva.errors import Changed, Invalid, Missing, Unknown
from diva.evaluation.statistics import macro_mean
from diva.measure import evaluate
from diva.results import DataSource, Item, Metric, Result, Subject, write_result
from diva_benchmarks.pairs.account import Account, Share, account
from diva_benchmarks.pairs.command import run
from diva_benchmarks.pairs.wording import answer
from diva_benchmarks.report.build import build
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import run as a_run
from tests.benchmarks.report.figures import change, rows
from tests.fixtures.looks import simulate
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.towers import tiny_clip

REPETITIONS = 100


def made(
    name: str, outcomes: Sequence[float], protocol: str = "pooled", *, text: Sequence[float] = (), **fields: Any
) -> Result:
    """Return a Winoground result of those outcomes by the group score, and perhaps by the text score."""
    details = [{"text score": float(each)} for each in text] or [{} for _ in outcomes]
    items = [
        Item(id=str(at), group="", outcome=outcome, details=dict(each))
        for at, (outcome, each) in enumerate(zip(outcomes, details, strict=True))
    ]
    scores = {"group score": outcomes} | ({"text score": text} if text else {})
    whole: dict[str, Any] = {
        "task": "pairs",
        "part": "winoground",
        "headline": "group score",
        "settings": {"protocol": protocol},
        "subject": Subject(label=name, source=name, architecture="ViT-L-14", sha256=name.ljust(64, "0")),
        "data": DataSource(name="Winoground", path="data", fingerprint="4" * 64, items=len(items)),
        "metrics": {
            name: Metric(value=100 * float(np.mean(each)), unit="percent", n=len(items))
            for name, each in scores.items()
        },
        "items": items,
        "run": a_run(),
    }
    return Result(**whole | fields)


def shares(found: Account) -> dict[str, Share]:
    return {share.name: share for share in found.shares}


def test_without_looks_and_by_one_feature_the_whole_difference_is_the_tower_s() -> None:
    found = account(made("after", [1, 1, 1, 0]), made("before", [1, 0, 0, 0]))
    assert {name: share.points for name, share in shares(found).items()} == {
        "tower": 50,
        "feature": 0,
        "rule": 0,
        "adaptation": 0,
        "choice": 0,
    }
    assert found.difference == 50
    assert shares(found)["tower"].interval == found.interval


def test_one_sentence_says_what_the_difference_is_made_of() -> None:
    before, fixed = made("before", [1, 0, 0, 0]), made("after", [1, 1, 0, 0])
    adapted = made("after", [1, 1, 1, 0], settings=ADAPTED)
    assert answer(account(adapted, before, unadapted=fixed)) == (
        "Of +50.0 points, +25.0 are the tower's and +25.0 the adaptation's."
    )
    assert answer(account(fixed, before)) == "Of +25.0 points, +25.0 are the tower's."


def test_one_look_is_no_choice() -> None:
    after, before = made("after", [1, 1, 1, 0]), made("before", [1, 0, 0, 0])
    choice = shares(account(after, before, looks=[after]))["choice"]
    assert (choice.points, choice.interval) == (0, (0, 0))


def test_feature_and_rule_are_what_the_trained_tower_gains_by_them_alone() -> None:
    before = made("before", [1, 0, 0, 0, 0], text=[1, 1, 0, 0, 0])
    bare = made("after", [1, 1, 0, 0, 0], text=[1, 1, 0, 0, 0])
    quoted = made("after", [1, 1, 1, 0, 0], "diva-openai", text=[1, 1, 1, 1, 1])
    found = account(quoted, before, same_feature=bare, rule="text score", baseline_rule="group score")
    assert (found.baseline.score, found.trained.score, found.difference) == (20, 100, 80)
    assert {name: round(share.points, 9) for name, share in shares(found).items()} == {
        "tower": 20,  # group score by the pooled feature: 1 → 2 of 5
        "feature": 20,  # of the trained tower, by the group score: 2 → 3
        "rule": 40,  # of the trained tower, by the other feature: 3 → 5
        "adaptation": 0,
        "choice": 0,
    }


ADAPTED = {"protocol": "pooled", "adaptation": "ttm", "updates": 10}


def test_what_adaptation_adds_stands_apart_from_what_the_tower_and_the_rule_gain() -> None:
    before = made("before", [1, 0, 0, 0, 0], text=[1, 1, 0, 0, 0])
    fixed = made("after", [1, 1, 0, 0, 0], text=[1, 1, 1, 0, 0])
    adapted = made("after", [1, 1, 1, 1, 0], text=[1, 1, 1, 1, 1], settings=ADAPTED)
    found = account(adapted, before, unadapted=fixed, rule="text score", baseline_rule="group score")
    assert {name: round(share.points, 9) for name, share in shares(found).items()} == {
        "tower": 20,  # group score, neither adapts: 1 → 2 of 5
        "feature": 0,
        "rule": 20,  # of the trained tower that does not adapt: 2 → 3
        "adaptation": 40,  # by the text score: 3 → 5
        "choice": 0,
    }


def test_the_parts_add_up_whatever_the_results_say() -> None:
    random = np.random.default_rng(0)
    outcomes = [list(map(float, random.integers(2, size=30))) for _ in range(8)]
    looks = [made(f"look{number}", each, "diva-openai") for number, each in enumerate(outcomes[:5])]
    bare = made("look2", outcomes[5])
    found = account(looks[2], made("before", outcomes[6]), same_feature=bare, looks=looks)
    assert sum(share.points for share in found.shares) == pytest.approx(found.difference)
    for share in found.shares:
        assert share.interval[0] <= share.points <= share.interval[1]
    assert [look.score for look in found.looks] == [each.metrics["group score"].value for each in looks]


def test_a_mean_of_categories_stays_one() -> None:
    before, after = [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1]
    groups = ["Texts", "Texts", "State", "State", "State", "State"]
    results = []
    for name, outcomes in (("before", before), ("after", after)):
        items = [Item(id=str(at), group=group, outcome=outcomes[at]) for at, group in enumerate(groups)]
        value = 100 * macro_mean(outcomes, groups)
        metrics = {"average": Metric(value=value, unit="percent", n=6)}
        results.append(
            made(name, outcomes, task="mmvp-vlm", part="", headline="average", items=items, metrics=metrics)
        )
    found = account(results[1], results[0])
    assert found.difference == pytest.approx(((1 - 0.5) + (0.25 - 0)) / 2 * 100)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"trained": made("after", [1, 0], "diva-openai")}, pytest.raises(Changed, match="--same-feature:")),
        ({"same_feature": made("other", [1, 0])}, pytest.raises(Invalid, match="--same-feature:")),
        ({"looks": [made("other", [1, 0])]}, pytest.raises(Invalid, match="--looks:")),
        (
            {"looks": [made("after", [1, 0], "diva-openai")]},
            pytest.raises(Changed, match=r"--looks: .*'diva-openai'"),
        ),
        ({"baseline": made("before", [1, 0], part="whatsup")}, pytest.raises(Changed, match="after:")),
        (
            {"baseline": made("before", [1, 0], settings=ADAPTED)},
            pytest.raises(Invalid, match="--baseline: before"),
        ),
        ({"trained": made("after", [1, 0], settings=ADAPTED)}, pytest.raises(Changed, match="--unadapted: ")),
        ({"unadapted": made("other", [1, 0])}, pytest.raises(Invalid, match=r"--unadapted: .*'pooled'")),
        ({"trained": made("after", [1, 0, 1])}, pytest.raises(Changed, match="after:")),
        ({"rule": "text score"}, pytest.raises(Unknown, match="'text score'")),
        ({"rule": "category/Object"}, pytest.raises(Unknown, match="'category/Object'")),
        (
            {"looks": [made("other", [1, 0], task="zero-shot")]},
            pytest.raises(Invalid, match=r"other: .*'zero-shot/winoground'"),
        ),
        (
            {"baseline": made("before", [1, 0], task="pope", settings={})},
            pytest.raises(Invalid, match=r"before: .*'pope/winoground'"),
        ),
    ],
)
def test_results_that_do_not_belong_together_are_refused(
    change: dict[str, Any], refused: pytest.RaisesExc[Exception]
) -> None:
    given: dict[str, Any] = {"trained": made("after", [1, 0]), "baseline": made("before", [0, 0])} | change
    for result in (given["trained"], given["baseline"]):
        result.metrics["category/Object"] = Metric(value=50, unit="percent", n=2, breakdown="category")
    with refused:
        account(given.pop("trained"), given.pop("baseline"), **given)


def test_the_kept_towers_of_a_run_are_the_looks_and_the_report_shows_the_account(
    tower_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_mmvp_folder(tmp_path / "data", 4, types=["Text", "State"])
    kept = [tiny_clip(tmp_path / "run" / "towers" / f"step-{step:08d}", seed=step) for step in (1, 2, 3)]
    for name, tower in (("before", tower_folder), ("after", kept[1])):
        write_result(evaluate("mmvp-vlm", str(tower), data, device="cpu"), tmp_path / f"{name}.json")
    options = dict.fromkeys(("same_feature", "unadapted", "rule", "baseline_rule"))
    places = {"baseline": tmp_path / "before.json", "checkpoints": tmp_path / "run", "out": tmp_path / "out"}
    run(tmp_path / "after.json", looks=(), batch=8, device="cpu", **options, **places)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "points, " in said
    assert "choice: choosing the best of the towers by these very pairs" in said
    assert "The best of 3 looks that differ as these do" in said
    found = json.loads((tmp_path / "out" / "account.json").read_text())
    assert [look["name"] for look in found["looks"]] == [path.name for path in kept]
    content = json.loads(build(read_sources([tmp_path / "out"]), published=False).model_dump_json())
    parts = rows(content, "account")
    assert list(parts) == ["Tower", "Feature", "Rule", "Adaptation", "Choice", "As quoted"]
    *values, whole = [change(row, 0) for row in parts.values()]
    assert [value is None for value in values] == [False, True, True, True, False]  # one feature, rule and protocol
    assert whole
    assert sum(value["value"] for value in values if value) == pytest.approx(whole["value"])
    assert whole["value"] == pytest.approx(found["difference"])


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, pytest.raises(Missing, match=r"training\.keep_towers=true")),
        ({"task": "zero-shot", "settings": {}}, pytest.raises(Invalid, match=r"after: .*'zero-shot/winoground'")),
        ({"settings": {}}, pytest.raises(Invalid, match=r"after: .*'pairs/winoground'")),
        (
            {"settings": ADAPTED},
            pytest.raises(Invalid, match=r"--checkpoints: .*--adapt"),
        ),
    ],
)
def test_checkpoints_need_kept_towers_and_a_result_of_pairs(
    changes: dict[str, Any], refused: pytest.RaisesExc[Exception], tmp_path: Path
) -> None:
    write_result(made("after", [1, 0], **changes), tmp_path / "after.json")
    with refused:
        run(
            tmp_path / "after.json",
            baseline=tmp_path / "after.json",
            same_feature=None,
            unadapted=None,
            looks=(),
            checkpoints=tmp_path,
            rule=None,
            baseline_rule=None,
            out=None,
            batch=8,
            device="cpu",
        )


@pytest.mark.slow
def test_pure_noise_goes_under_choice_and_a_gain_under_tower_in_ninety_of_a_hundred_repetitions() -> None:
    for gain in (0.0, 0.15):
        towers, choices, quoted, by_chance, within, true = [], [], [], [], 0, 0.0
        found_gain = above_band = 0
        for seed in range(REPETITIONS):
            baseline, looks, true = simulate(seed, gain)
            results = [made(f"look{number}", list(row)) for number, row in enumerate(looks)]
            best = max(results, key=lambda each: each.metrics["group score"].value)
            found = account(best, made("before", list(baseline)), looks=results)
            tower, choice = shares(found)["tower"], shares(found)["choice"]
            low, high = tower.interval
            least, most = choice.interval
            # the truth is known: the tower's is its gain, the choice's the rest of what was quoted
            within += low <= 100 * true <= high and least <= found.difference - 100 * true <= most
            found_gain += low > 0
            above_band += found.difference > found.band[1]
            towers.append(tower.points)
            choices.append(choice.points)
            quoted.append(found.difference)
            by_chance.append(found.by_chance)
        assert within >= 90, (gain, within)
        assert np.mean(towers) == pytest.approx(100 * true, abs=1.2)
        if gain:
            assert min(found_gain, above_band) >= 90
        else:
            assert max(found_gain, above_band) <= 10
            # choosing quoted some four points; all of them stand under choice, and are what chance was said to give
            assert np.mean(quoted) > 3
            assert np.mean(choices) == pytest.approx(np.mean(quoted), abs=0.6)
            assert np.mean(quoted) == pytest.approx(np.mean(by_chance), abs=1.2)
