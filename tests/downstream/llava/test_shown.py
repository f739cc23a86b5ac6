"""What a training by transformers' Trainer says of itself, on a line that it fits."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from diva import progress
from diva_downstream.llava.shown import train_shown


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.slope * x - labels).square().mean()}


def test_it_says_how_far_it_is_and_the_library_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("SHORT", "EVERY"):
        monkeypatch.setattr(progress, name, 0)
    monkeypatch.setattr(progress, "TICK", 0.005)
    model, data = Line(), [{"x": torch.tensor(1.0), "labels": torch.tensor(2.0)}] * 8
    arguments = TrainingArguments(
        str(tmp_path), max_steps=200, learning_rate=0.1, logging_steps=1, save_steps=150, report_to="none",
        use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True,
    )  # fmt: skip
    stream = io.StringIO()
    with progress.reporting(stream):
        train_shown(Trainer(model, arguments, train_dataset=data))
    said = stream.getvalue().splitlines()
    assert any(" of 200, loss " in line for line in said)
    assert said[-1].startswith("updates: done in ")
    stream = io.StringIO()
    with progress.reporting(stream):
        train_shown(Trainer(model, arguments, train_dataset=data), tmp_path / "checkpoint-150")
    assert all(f"updates: {number} of 200" not in stream.getvalue() for number in (1, 149))
    assert capfd.readouterr() == ("", "")
    assert model.slope.item() == pytest.approx(2.0, abs=0.1)
