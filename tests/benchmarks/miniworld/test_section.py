import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from diva.cli import app
from diva_benchmarks.miniworld.section import read_study
from diva_benchmarks.miniworld.summary import Figure, Study
from diva_benchmarks.report.command import run
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import a_study, study, study_line, write_study
from tests.benchmarks.report.figures import change, tables, text, value


def compare(path: Path, written: Study) -> dict[str, Any]:
    return read_study(write_study(path / "study.json", written)).model_dump(mode="json")


def groups(found: dict[str, Any], number: int = 0) -> dict[str, dict[str, Any]]:
    """Return the lines of each group of the settings' table, or another one, by their names."""
    by_group: dict[str, dict[str, Any]] = {}
    for row in list(tables(found["blocks"]))[number]["rows"]:
        if row["role"] == "group":
            by_group[row["name"]] = {}
        elif by_group:
            by_group[list(by_group)[-1]][row["name"]] = row
    return by_group


def notes(found: dict[str, Any]) -> dict[str, str]:
    """Return what is said of each group of the settings' table."""
    table = next(tables(found["blocks"]))
    return {row["name"]: row["note"] for row in table["rows"] if row["role"] == "group"}


def sentence(found: dict[str, Any]) -> str:
    return str(found["sentences"][0].split(": ", 1)[1])


def test_methods_are_set_against_what_preserves_them_and_gaps_are_named(tmp_path: Path) -> None:
    found = compare(tmp_path, a_study())
    assert {name: list(lines) for name, lines in groups(found).items()} == {
        "DIVA": ["no preservation"],
        "DCR": ["no preservation", "average, 0.5 of it", "anchored"],
        "controls": ["self-distillation"],
    }
    assert notes(found) == {"DIVA": "not measured: average, 0.5 of it; anchored", "DCR": "", "controls": ""}
    assert list(groups(found, 1)) == ["condition"]


def test_an_anchored_setting_without_its_plain_one_is_still_of_its_method(tmp_path: Path) -> None:
    lines = [
        study_line("DIVA, projection first", (0.5, -1, 2), (0.5, -1, 2)),
        study_line("DCR, anchored", (0.5, -1, 2), (0.5, -1, 2)),
    ]
    found = compare(tmp_path, study(*lines))
    assert notes(found) == {
        "DIVA, projection first": "not measured: anchored",
        "DCR": "not measured: no preservation",
    }


def test_something_improved_is_said_with_what_it_cost(tmp_path: Path) -> None:
    found = compare(tmp_path, a_study())
    assert sentence(found) == (
        "Of 3 combinations of method and preservation, 1 improves pair accuracy (DCR · no preservation: +1.25"
        " points [+0.25 to +2.25]), 1 lowers it (DIVA · no preservation: −2.50 points [−4.00 to −1.00]) and 1 shows"
        " no clear change; zero-shot accuracy rises in none, falls in 1 (DCR · no preservation: −3.00 points "
        "[−5.00 to −1.00]) and shows no clear change in 2. Where pairs improve, zero-shot accuracy falls in 1 of 1."
        " Of these gains none would stand if all 3 were tested at once (Holm)."
        " Of 1 control, none improves pair accuracy and 1 shows no clear change."
    )


def test_nothing_improved_is_said_first(tmp_path: Path) -> None:
    lines = [
        study_line("DIVA", (-2.5, -4.0, -1.0), (-8.0, -20.0, 4.0)),
        study_line("DCR", (-3.5, -4.0, -3.0), (-8.0, -20.0, 4.0)),
        study_line("GenHancer", (3.0, 0.0, 6.0), (1.5, 1.0, 2.0)),  # an interval that ends at 0 holds it
        study_line("noise", (5.0, 4.0, 6.0), (1.5, 1.0, 2.0), group="noise samples"),
        study_line("self-distillation", (5.0, 4.0, 6.0), (1.5, 1.0, 2.0), group="controls"),
    ]
    assert sentence(compare(tmp_path, study(*lines))) == (
        "No method is shown to improve pair accuracy: of 3 combinations of method and preservation, 2 lower it"
        " (most in DCR · no preservation: −3.50 points [−4.00 to −3.00]) and 1 shows no clear change; zero-shot"
        " accuracy rises in 1 (GenHancer · no preservation: +1.50 points [+1.00 to +2.00]), falls in none and shows"
        " no clear change in 2."
        " Of 1 control, 1 improves pair accuracy (self-distillation: +5.00 points [+4.00 to +6.00])."
    )


def test_one_base_is_shown_but_not_judged(tmp_path: Path) -> None:
    found = compare(tmp_path, study(study_line("DIVA", 30.0, -30.0, runs=1), bases=(1,), seeds=(0,)))
    assert sentence(found) == (
        "Nothing can be concluded yet: 1 combination of method and preservation ran on one base only, and an"
        " interval needs two."
    )
    pairs = change(groups(found)["DIVA"]["no preservation"], 0)
    assert (pairs["value"], pairs["interval"], pairs["judgement"]) == (30, None, "untested")
    assert "1 base with 1 seed each" in text(found["blocks"])
    assert "· no interval: one base only." in text(found["blocks"])


def test_what_was_run_on_one_base_only_is_counted_apart(tmp_path: Path) -> None:
    lines = [study_line("DIVA", (-2.5, -4, -1), (1, -1, 3)), study_line("DCR", 9.0, 9.0, runs=2)]
    found = compare(tmp_path, study(*lines))
    assert sentence(found).startswith(
        "No method is shown to improve pair accuracy: of 2 combinations of method and preservation, 1 lowers it"
        " (DIVA · no preservation: −2.50 points [−4.00 to −1.00]) and 1 cannot be judged on one base;"
    )
    assert "Fewer runs than planned, as each says: 1 of 2 lines." in text(found["blocks"])


def test_a_study_whose_methods_are_still_to_come_says_so(tmp_path: Path) -> None:
    control = study_line("self-distillation", (-0.5, -1.5, 0.5), (-1.5, -3.0, 0.0), group="controls")
    for lines in ([], [control]):
        assert sentence(compare(tmp_path, study(*lines))) == "No method of this study has been run yet."
        run([tmp_path / "study.json"], tmp_path / "report", published=False)


def test_costs_are_multiples_of_the_first_methods(tmp_path: Path) -> None:
    lines = [line for group in groups(compare(tmp_path, a_study())).values() for line in group.values()]
    costs = [line["cells"][6] for line in lines]
    assert [cost[1]["value"] if cost else None for cost in costs] == [1, 1.5, None, 1.75, 0.4]
    assert costs[0][2]["text"] == " × DIVA"


def test_averaged_weights_repeat_neither_gap_nor_warnings_of_the_run_they_come_from(tmp_path: Path) -> None:
    lines = [
        study_line("DCR", (1, 0, 2), (1, 0, 2), weights=weights, warned=3)
        for weights in ("trained", "moving average")
    ]
    trained, averaged = groups(compare(tmp_path, study(*lines)))["DCR"].values()
    assert (trained["cells"][4][-1]["value"], "3 with warnings" in trained["note"]) == (0.0456, True)
    assert (averaged["cells"][4], "warnings" in averaged["note"]) == ([], False)


def test_untrained_towers_are_shown_as_mean_lowest_and_highest_base(tmp_path: Path) -> None:
    found = compare(tmp_path, a_study())
    first, *_, details = (table["rows"][0] for table in tables(found["blocks"]))
    assert (value(first, 0), first["cells"][0][0]["interval"]) == (52, [50, 54])
    assert [value(details, column) for column in (0, 1)] == [41, 63]


def test_the_section_says_what_figures_rest_on(tmp_path: Path) -> None:
    found = compare(tmp_path, a_study())
    assert "how much worse the teacher denoises" in text(found["blocks"])
    assert groups(found)["DCR"]["anchored"]["note"] == "4 of 6 runs"


def test_the_commands_are_ones_that_diva_has(tmp_path: Path) -> None:
    (code,) = [block for block in compare(tmp_path / "my results", a_study())["blocks"] if block["kind"] == "code"]
    for command in code["text"].splitlines():
        _, *words = shlex.split(command)
        verb: Any = typer.main.get_command(app)
        for _ in range(2):
            verb = verb.commands[words.pop(0)]
        parsed = verb.make_context("diva", words).params
        assert "out" in parsed
    assert parsed["out"] == tmp_path / "my results"


def test_a_study_alone_makes_a_report_and_its_sentence_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path / "study.json", a_study())
    run([path], tmp_path / "report", published=False)
    assert f"{path}: Of 3 combinations of method and preservation, 1 improves" in capsys.readouterr().out
    assert "There is no result file" not in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: "[]", "the file: Input should be a valid dictionary"),
        (lambda text: text[:-20], "the file: Invalid JSON"),
        (lambda text: text.replace('"zero_shot"', '"other"'), "originals.0.zero_shot: Field required"),
        (lambda text: text.replace("-2.25", "1e999"), "lines.0.pairs_of.state: Input should be a finite number"),
        (lambda text: text.replace('"state": -2.25', '"shape": 1', 1), "untrained towers are missing or settings"),
    ],
)
def test_a_study_of_another_format_is_left_out_with_one_sentence(tmp_path: Path, damage: Any, reason: str) -> None:
    path = write_study(tmp_path / "study.json", a_study())
    path.write_text(damage(path.read_text()))
    (left_out,) = read_sources([tmp_path]).left_out
    assert left_out.what == str(path)
    assert left_out.reason.startswith(reason)
    assert left_out.reason.endswith("is not a study that can be shown; write it again with diva miniworld study")
    assert "\n" not in left_out.reason


def test_nothing_that_a_study_says_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>|*x*"
    lines = [
        study_line(evil, (1.0, 0.5, 1.5), (0, -1, 1), group=group, cost=5.0)
        for group in ("methods", "controls", evil)
    ]
    write_study(tmp_path / "study.json", study(*lines))
    run([tmp_path], tmp_path / "report", published=False)
    for name, own in (("report.html", 1), ("report.md", 0)):  # the page has a script of its own
        assert (tmp_path / "report" / name).read_text().count("<script") == own
    table = [row for row in (tmp_path / "report" / "report.md").read_text().splitlines() if row.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in table} == {9, 4}


def test_a_plan_that_is_not_finished_is_pending_and_judged_by_the_lines_that_it_names(tmp_path: Path) -> None:
    half, composed = "average, 0.5 of it", Figure(mean=7.5, interval=(5.0, 10.0), bases=2)
    lines = [
        study_line("verdicts", (-9, -12, -6), (1, -1, 3)).model_copy(update={"judged": False}),
        study_line("verdicts", (9, 6, 12), (1, -1, 3), weights=half).model_copy(
            update={"judged": True, "compositions": composed}
        ),
        study_line("shuffled", (-30, -33, -27), (1, -1, 3), group="controls").model_copy(update={"judged": False}),
        study_line("shuffled", (-7, -9, -5), (1, -1, 3), group="controls", weights=half).model_copy(
            update={"judged": True}
        ),
    ]
    written = study(*lines, bases=(4, 5, 6)).model_copy(update={"done": (4, 5), "plan_file": "my plan.yaml"})
    originals = tuple(each.model_copy(update={"compositions": 40.0}) for each in written.originals)
    found = compare(tmp_path, written.model_copy(update={"originals": originals}))
    assert sentence(found).startswith(
        "Pending: 2 of the plan's 3 bases are in, and the verdict needs all. Of 1 combination of method and"
        " preservation, 1 improves pair accuracy (verdicts · average, 0.5 of it: +9.00 points [+6.00 to +12.00])"
    )
    assert sentence(found).endswith(
        "Of 1 control, none improves pair accuracy and 1 lowers it (shuffled; average, 0.5 of it: −7.00 points"
        " [−9.00 to −5.00])."
    )
    assert f"diva miniworld study --plan 'my plan.yaml' --bases runs/miniworld-bases --out {tmp_path}" in str(found)
    *_, composed_of = tables(found["blocks"])
    rows = {row["name"]: row["cells"] for row in composed_of["rows"]}
    assert rows["untrained tower"][0][0]["value"] == 40
    assert rows[half][0][0]["value"] == 7.5
