"""The page as text: self-contained, escaped, and saying what `report.json` says."""

import base64
import hashlib
import json
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

from diva.results import DataSource, Subject, write_result
from diva_benchmarks.report.command import run
from tests.benchmarks.report.examples import AFTER, PATTERNS, against, mmvp, result, right_in_each, write_metrics
from tests.benchmarks.report.figures import of_sections, shows

VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects tags with their attributes, and each section's figures; tags must be balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._value: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections.append(attributes.get("id") or attributes.get("class") or "")
        if tag == "data":
            self._value = attributes["value"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "section":
            self.sections.pop()

    def handle_data(self, data: str) -> None:
        if self._value is not None:
            self.figures[self.sections[-1]].append((float(self._value), data))
            self._value = None


def test_every_figure_of_the_page_is_that_of_the_json(full_report: Path) -> None:
    page = Page((full_report / "report.html").read_text())
    content = json.loads((full_report / "report.json").read_text())
    expected = of_sections(content)
    shown = {name: figures for name, figures in page.figures.items() if name != "overview"}
    assert {name: [value for value, _ in figures] for name, figures in shown.items()} == {
        name: values for name, values in expected.items() if values
    }
    for figures in page.figures.values():
        for value, text in figures:
            assert shows(text, value), (value, text)


def test_the_first_screen_has_a_row_for_each_tower_with_every_figure_and_change_of_the_summary(
    full_report: Path,
) -> None:
    page = Page((full_report / "report.html").read_text())
    content = json.loads((full_report / "report.json").read_text())
    cells = [row["cells"][column] for column in range(len(content["towers"])) for row in content["summary"]]
    expected = [each["value"] for cell in cells for each in cell]
    assert [value for value, _ in page.figures["overview"]] == expected
    assert len(expected) > 10


def test_the_page_is_one_file_that_loads_nothing(full_report: Path) -> None:
    html = (full_report / "report.html").read_text()
    page = Page(html)
    assert page.open == []
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in html
    for tag, attributes in page.tags:
        assert tag != "img" or re.match(r"data:image/(png|svg\+xml);base64,", str(attributes["src"]))
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#") or (tag, name) == ("img", "src")
    assert not re.search(r"@import|url\((?!#)", html)


def test_no_formula_reaches_the_page(full_report: Path) -> None:
    html = (full_report / "report.html").read_text()
    drawings = [base64.b64decode(uri).decode() for uri in re.findall(r'data:image/svg\+xml;base64,([^"]+)', html)]
    assert any("10⁻" in drawing for drawing in drawings)  # a logarithmic axis is among them
    for text in (re.sub(r"<script>.*</script>", "", html, flags=re.DOTALL), *drawings):
        assert "$" not in text
        assert "\\math" not in text


def test_every_link_leads_somewhere(full_report: Path) -> None:
    page = Page((full_report / "report.html").read_text())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links
    assert {str(link).removeprefix("#") for link in links} <= set(ids)


def test_what_was_left_out_is_named_on_page_and_in_markdown(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    assert [each["what"].split("/")[-1] for each in content["left_out"]] == [
        "broken.json",
        "POPE (greedy): difference of other",
    ]
    for name in ("report.html", "report.md"):
        text = (full_report / name).read_text().replace("\\_", "_")
        assert "broken.json" in text
        assert ", because: other data: MMVP-VLM with fingerprint 222222222222 for the tower" in text


def test_nothing_that_a_file_says_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    subject = Subject(label=evil, source=evil, architecture=evil, sha256="e" * 64, recipe=evil)
    data = DataSource(name=evil, path=evil, fingerprint=evil, items=1)
    ours = mmvp(subject, {f"{evil} {name}": [1.0, 0.0] for name in PATTERNS}, evil, data=data)
    theirs = mmvp(AFTER, {f"{evil} {name}": [0.0, 0.0] for name in PATTERNS}, evil, data=data)
    folder = tmp_path / "results"
    write_result(against(ours, theirs), folder / "mmvp.json")
    write_result(result(subject, [1.0], evil, evil, data=data), folder / "other.json")
    metrics = write_metrics(folder / "run" / "metrics.jsonl")
    metrics.write_text(metrics.read_text().replace("probe/colour", evil).replace("stage 2/2", evil))
    (folder / "run" / "recipe.yaml").write_text(f"name: '{evil}'\n")
    run([folder], tmp_path / "report", published=True)
    html = (tmp_path / "report" / "report.html").read_text()
    assert [tag for tag, _ in Page(html).tags].count("script") == 1  # the page's own
    assert html.count("&lt;script&gt;") > 30
    assert "<script" not in (tmp_path / "report" / "report.md").read_text()


def test_rows_of_the_markdown_have_as_many_cells_as_their_header(tmp_path: Path) -> None:
    odd = AFTER.model_copy(update={"label": "a|b\n*c*"})
    even = AFTER.model_copy(update={"sha256": "d" * 64})
    write_result(against(mmvp(odd, right_in_each(2)), mmvp(even, right_in_each(1))), tmp_path / "mmvp.json")
    run([tmp_path], tmp_path / "report", published=False)
    lines = (tmp_path / "report" / "report.md").read_text().splitlines()
    tables: list[list[int]] = [[]]
    for line in lines:
        if line.startswith("|"):
            tables[-1].append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            tables.append([])
    tables = [table for table in tables if table]
    # by summary and by pattern; and the pairs that changed
    assert [set(table) for table in tables] == [{4}, {4}, {4}]
    assert r"a\|b \*c\*" in "\n".join(lines)


def test_markdown_and_page_word_the_verdict_alike(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    page, markdown = ((full_report / name).read_text() for name in ("report.html", "report.md"))
    for verdict in content["verdicts"]:
        assert verdict["sentence"] in page
        assert verdict["sentence"] in markdown
