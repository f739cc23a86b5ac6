"""What is read back of a checkpoint is what was written, or an older one is read."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from diva.errors import InputError, RunError
from diva.training.checkpoints import checkpoints, newest_whole, read_position, save_checkpoint
from diva.training.metrics import Metrics
from diva.training.run import _logging_to


@pytest.fixture
def accelerator() -> Accelerator:
    made = Accelerator(cpu=True)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1)
    made.prepare(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    return made


@pytest.fixture
def folder(accelerator: Accelerator, tmp_path: Path) -> Path:
    for step in (2, 4):
        save_checkpoint(accelerator, tmp_path / "checkpoints", step, {"step": step}, keep=2)
    return tmp_path / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whatever_is_damaged_of_the_newest_the_older_one_is_used_and_the_damage_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert newest_whole(folder) == folder / "step-00000004"
    newest, kept = folder / "step-00000004", tmp_path / "kept"
    shutil.copytree(newest, kept)
    files = sorted(path.name for path in kept.iterdir())
    assert {"model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl", "position.json"} < {
        *files
    }
    for name in files:
        whole = (kept / name).read_bytes()
        places = {0, len(whole) // 2, len(whole) - 1}
        flipped = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in places]
        for content in (*flipped, whole[: len(whole) // 2], whole[:-1], b"", None):
            (newest / name).unlink()
            if content is not None:
                (newest / name).write_bytes(content)
            caplog.clear()
            assert newest_whole(folder) == folder / "step-00000002", (name, content)
            assert "step-00000004: " in caplog.text
            assert "continuing from step-00000002" in caplog.text
            (newest / name).write_bytes(whole)
    assert newest_whole(folder) == newest


def test_where_no_checkpoint_is_whole_it_is_said_in_one_sentence(folder: Path) -> None:
    for path in checkpoints(folder):
        (path / "optimizer.bin").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"step-00000004: optimizer\.bin .*step-00000002: .*no checkpoint is whole"
    ) as e:
        newest_whole(folder)
    assert "\n" not in str(e.value)


def test_a_checkpoint_of_an_earlier_version_without_hashes_is_refused_by_name(folder: Path) -> None:
    for path in checkpoints(folder):
        (path / "diva.sha256").unlink()
    with pytest.raises(InputError, match=r"diva\.sha256"):
        newest_whole(folder)


def test_a_damaged_newer_one_stays_until_the_run_has_written_another_and_is_then_dropped(
    accelerator: Accelerator, folder: Path
) -> None:
    (folder / "step-00000004" / "model.safetensors").write_bytes(b"")
    assert newest_whole(folder) == folder / "step-00000002"
    assert names(folder) == ["step-00000002", "step-00000004"]
    save_checkpoint(accelerator, folder, 3, {"step": 3}, keep=1)
    assert names(folder) == ["step-00000003"]
    save_checkpoint(accelerator, folder, 4, {"step": 4}, keep=2)
    (folder / "step-00000004" / "model.safetensors").write_bytes(b"")
    assert newest_whole(folder) == folder / "step-00000003"
    save_checkpoint(accelerator, folder, 4, {"step": 4, "again": 1}, keep=2)
    assert newest_whole(folder) == folder / "step-00000004"
    assert read_position(folder / "step-00000004") == {"step": 4, "again": 1}
    assert names(folder) == ["step-00000003", "step-00000004"]


def test_what_a_killed_process_left_half_written_or_half_removed_is_cleared_away(folder: Path) -> None:
    (folder / ".step-00000006.elsewhere-1-0123abcd.tmp" / "deep").mkdir(parents=True)
    (folder / ".step-00000001.tmp").mkdir()  # as an earlier version named it
    (folder / "step-00000004" / "position.json").unlink()
    assert newest_whole(folder) == folder / "step-00000002"
    assert names(folder) == ["step-00000002", "step-00000004"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(
    accelerator: Accelerator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        RunError, match=r"step-00000006: the checkpoint could not be written .*No space left.*00004"
    ):
        save_checkpoint(accelerator, folder, 6, {"step": 6}, keep=2)
    assert names(folder) == ["step-00000002", "step-00000004"]


def test_damaged_lines_of_metrics_are_dropped_and_counted(
    accelerator: Accelerator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    good = b'{"step": 1}\n{"step": 2, "stage": "a\xe2\x80\xa8b"}\n'
    path.write_bytes(b"\0" * 64 + b"\n" + good + b'\xff\n[]\n{"step": "3"}\n\n' + b'{"step": 3}\n{"step": 2')
    with caplog.at_level(logging.WARNING):
        Metrics(accelerator, path, total=4, start=2)
    assert path.read_bytes() == good
    assert "metrics.jsonl: 5 damaged lines were dropped" in caplog.text


def test_a_name_forges_no_line_of_the_log(tmp_path: Path) -> None:
    with _logging_to(tmp_path / "train.log"):
        assert not (tmp_path / "train.log").exists()  # until there is something to say
        logging.getLogger("diva.data").warning("skipped %s", "a\n2026-01-01 WARNING all is well\x1b[31m")
    (line,) = (tmp_path / "train.log").read_text().splitlines()
    assert r"skipped a\n2026-01-01 WARNING all is well\x1b[31m" in line
