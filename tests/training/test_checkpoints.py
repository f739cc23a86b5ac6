"""What is read back of a checkpoint is what was written, or an older one is read."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from diva.errors import Damaged, Invalid, WriteFailed
from diva.run_folder import Position, RunFolder
from diva.seal import seal
from diva.training.checkpoints import save_checkpoint
from diva.training.metrics import Metrics
from diva.training.run import _logging_to


@pytest.fixture
def accelerator() -> Accelerator:
    made = Accelerator(cpu=True)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1)
    made.prepare(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    return made


def position(step: int, stage: int = 0) -> Position:
    return Position(step=step, stage=stage, processes=1, data={"items": step})


@pytest.fixture
def run(accelerator: Accelerator, tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    for step in (2, 4):
        save_checkpoint(accelerator, run, position(step), keep=2)
    return run


@pytest.fixture
def folder(run: RunFolder) -> Path:
    return run.checkpoint_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whatever_is_damaged_of_the_newest_the_older_one_is_used_and_the_damage_named(
    run: RunFolder, folder: Path, tmp_path: Path
) -> None:
    assert run.newest_checkpoint() == (folder / "step-00000004", [])
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
            found, (said,) = run.newest_checkpoint()
            assert found == folder / "step-00000002", (name, content)
            assert "step-00000004: " in said
            assert "continuing from step-00000002" in said
            (newest / name).write_bytes(whole)
    assert run.newest_checkpoint() == (newest, [])


def test_where_no_checkpoint_is_whole_it_is_said_in_one_sentence(run: RunFolder) -> None:
    for path in run.checkpoints():
        (path / "optimizer.bin").write_bytes(b"")
    with pytest.raises(Damaged, match=r"step-00000004: optimizer\.bin.*step-00000002") as e:
        run.newest_checkpoint()
    assert "\n" not in str(e.value)


def test_a_checkpoint_of_an_earlier_version_without_hashes_is_refused_by_name(run: RunFolder) -> None:
    for path in run.checkpoints():
        (path / "diva.sha256").unlink()
    with pytest.raises(Damaged, match=r"diva\.sha256"):
        run.newest_checkpoint()


def test_one_that_transformers_trainer_did_not_finish_is_no_checkpoint(tmp_path: Path) -> None:
    for step in (2, 10):
        (tmp_path / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
    for other in ("checkpoint-x", "step-", "step-3-old"):
        (tmp_path / "checkpoints" / other).mkdir()
    assert RunFolder(tmp_path).newest_checkpoint() == (None, [])
    seal(tmp_path / "checkpoints" / "checkpoint-2")
    assert RunFolder(tmp_path).newest_checkpoint() == (tmp_path / "checkpoints" / "checkpoint-2", [])


def test_a_position_is_read_as_it_was_written_and_another_version_s_is_refused(tmp_path: Path) -> None:
    position(7, stage=1).write(tmp_path)
    assert Position.read(tmp_path) == position(7, stage=1)
    for content, field in (
        ('{"version": 2}', "version"),
        ('{"step": "x", "stage": 1, "processes": 1, "data": {}}', "step"),
    ):
        (tmp_path / "position.json").write_text(content)
        with pytest.raises(Invalid, match=rf"position\.json: {field}:"):
            Position.read(tmp_path)


def test_a_damaged_newer_one_stays_until_the_run_has_written_another_and_is_then_dropped(
    accelerator: Accelerator, run: RunFolder, folder: Path
) -> None:
    (folder / "step-00000004" / "model.safetensors").write_bytes(b"")
    assert run.newest_checkpoint()[0] == folder / "step-00000002"
    assert names(folder) == ["step-00000002", "step-00000004"]
    save_checkpoint(accelerator, run, position(3), keep=1)
    assert names(folder) == ["step-00000003"]
    save_checkpoint(accelerator, run, position(4), keep=2)
    (folder / "step-00000004" / "model.safetensors").write_bytes(b"")
    assert run.newest_checkpoint()[0] == folder / "step-00000003"
    save_checkpoint(accelerator, run, position(4, stage=1), keep=2)
    assert run.newest_checkpoint()[0] == folder / "step-00000004"
    assert Position.read(folder / "step-00000004") == position(4, stage=1)
    assert names(folder) == ["step-00000003", "step-00000004"]


def test_what_a_killed_process_left_half_written_or_half_removed_is_cleared_away(
    run: RunFolder, folder: Path
) -> None:
    (folder / ".step-00000006.elsewhere-1-0123abcd.tmp" / "deep").mkdir(parents=True)
    (folder / ".step-00000001.tmp").mkdir()  # as an earlier version named it
    (folder / "step-00000004" / "position.json").unlink()
    assert run.newest_checkpoint()[0] == folder / "step-00000002"
    assert names(folder) == ["step-00000002", "step-00000004"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(
    accelerator: Accelerator, run: RunFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteFailed, match=r"step-00000006: .*00004"):
        save_checkpoint(accelerator, run, position(6), keep=2)
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
