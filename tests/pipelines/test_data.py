import hashlib
import os
from pathlib import Path

from diva.braces import missing_files
from diva.pipelines.data import fingerprint


def test_what_a_pattern_lacks_is_named_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "00001.tar").touch()
    place = f"{tmp_path}/{{00000..00002}}.tar"
    assert missing_files(place) == [f"{tmp_path}/00000.tar", f"{tmp_path}/00002.tar"]
    assert missing_files(f"{tmp_path}/*.tar") == []
    assert missing_files(f"{tmp_path}/*.csv") == [f"{tmp_path}/*.csv"]
    assert missing_files(str(tmp_path)) == []


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    assert fingerprint(str(tmp_path / "a")) == hashlib.sha256(b"weights").hexdigest()


def test_a_folder_changes_with_any_file_below_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "a"
    file.write_text("1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    os.utime(file, ns=(1, 1))
    touched = fingerprint(str(tmp_path))
    file.with_name("b").write_text("2")
    assert len({before, touched, fingerprint(str(tmp_path))}) == 3
