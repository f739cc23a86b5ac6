"""Reading documents that somebody else wrote, within limits."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from diva.documents import check_yaml, parse_json, path_within, read_file, read_json, read_json_lines, read_yaml
from diva.errors import Damaged, InputError, Invalid, Unsafe

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_a_fifo_a_device_and_a_folder_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    begin = time.monotonic()
    for name in ("fifo", "zero"):
        with pytest.raises(Invalid, match=f"{name}:"):
            read_file(tmp_path / name)
    with pytest.raises(Invalid, match=r"cannot be read|not a regular file"):
        read_file(tmp_path)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_a_name_that_leads_out_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unsafe, match=r"^set\.json: .*:"):
        path_within(tmp_path, name, "set.json")
    assert path_within(tmp_path, "a/..b.png", "set.json") == tmp_path / "a" / "..b.png"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.exists, "No such file"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path, make, reason: str) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(Damaged, match=rf"a\.json: .*.*{reason}"):
        read_json(tmp_path / "a.json")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(Invalid, match="1,099,511,627,776"):
        read_json(tmp_path / "sparse.json")


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100 + "]" * 100, '{"a":' * 90 + "1" + "}" * 90])
def test_deep_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"x: (is not JSON|its lists or mappings lie)"):
        parse_json(text, "x")


@given(values)
def test_what_json_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value), "x") == value


def test_lines_end_at_a_line_feed_alone(tmp_path: Path) -> None:
    texts = ["one\u2028line", "next\u0085line", "form\u000bfeed\u001c", "carriage return"]
    lines = [json.dumps(text, ensure_ascii=False) for text in texts]
    (tmp_path / "a.jsonl").write_bytes("\r\n".join([lines[0], "", *lines[1:]]).encode())
    assert list(read_json_lines(tmp_path / "a.jsonl")) == [
        (1, texts[0]),
        (3, texts[1]),
        (4, texts[2]),
        (5, texts[3]),
    ]


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(Damaged, match=r"a\.jsonl, line 2: .*JSON"):
        list(read_json_lines(tmp_path / "a.jsonl"))


def test_yaml_that_unfolds_without_end_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    begin = time.monotonic()
    with pytest.raises(Invalid, match=r"bomb\.yaml:"):
        read_yaml(tmp_path / "bomb.yaml")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "text", ["[" * 1000, "- " * 1000 + "a", "a: !!python/object/apply:os.getcwd []", "a: [", "\t"]
)
def test_yaml_that_is_too_deep_damaged_or_no_plain_value_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml: is (not YAML|nested too deep)"):
        read_yaml(tmp_path / "a.yaml")


@given(values)
def test_what_yaml_writes_is_read_with_its_aliases(value: object) -> None:
    document = yaml.safe_dump({"first": value, "again": value})
    check_yaml(document, "x")


def test_an_alias_counts_as_what_it_stands_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "base: &base {lr: 1, steps: [1, 2]}\nother: *base\nthird: {<<: *base, lr: 2}\n"
    )
    base = {"lr": 1, "steps": [1, 2]}
    assert read_yaml(tmp_path / "a.yaml") == {"base": base, "other": base, "third": base | {"lr": 2}}


def test_yaml_has_the_values_that_its_authors_mean_and_each_key_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lr: 1e-4\nday: 2026-01-02\nname: 1e\nsteps: 3\n")
    assert read_yaml(tmp_path / "a.yaml") == {"lr": 1e-4, "day": "2026-01-02", "name": "1e", "steps": 3}
    (tmp_path / "a.yaml").write_text("a: {b: 1, b: 2}\n")
    with pytest.raises(Damaged, match=r"a\.yaml: .*YAML.*1.*'b'.*given"):
        read_yaml(tmp_path / "a.yaml")


def test_yaml_that_holds_itself_is_refused() -> None:
    with pytest.raises(Invalid, match="x:"):
        check_yaml("a: &a [*a]", "x")
