from importlib.resources import files
from pathlib import Path

import pytest
import torch

from diva.denoisers.unclip import UnclipDenoiser
from diva.miniworld.base import SHIPPED
from diva.recipes.denoisers import Unclip
from diva.towers import load_clip
from diva_benchmarks.miniworld import decoder_training
from diva_benchmarks.miniworld.decoder_training import train_decoder
from diva_benchmarks.miniworld.fit import Schedule

BASE = Path(str(files("diva.miniworld"))) / "bases" / "0"
CPU = torch.device("cpu")


class KilledError(Exception):
    pass


def run(folder: Path) -> UnclipDenoiser:
    folder.mkdir(exist_ok=True)
    return train_decoder(
        load_clip(str(SHIPPED.clip)),
        SHIPPED.teacher,
        Schedule(steps=4, batch=4, learning_rate=1e-3, save_every=2),
        seed=3,
        device=CPU,
        folder=folder,
    )


def test_a_killed_training_goes_on_to_the_same_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_training, "FITTED_PICTURES", 128)
    whole = run(tmp_path / "whole")
    expected = whole.network.state_dict()
    draws = UnclipDenoiser.draw_timesteps
    calls = 0

    def killed_at_the_fourth_step(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KilledError
        return draws(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(UnclipDenoiser, "draw_timesteps", killed_at_the_fourth_step)
        with pytest.raises(KilledError):
            run(tmp_path / "killed")
    resumed = run(tmp_path / "killed").network.state_dict()
    torch.testing.assert_close(resumed, expected, rtol=0, atol=0)

    whole.save(tmp_path / "decoder")
    section = Unclip(path=str(tmp_path / "decoder"))
    saved = UnclipDenoiser(section, dtype=torch.float32, device=CPU)
    assert saved.embedding_width == load_clip(str(SHIPPED.clip)).tower.width
    torch.testing.assert_close(saved.network.state_dict(), expected, rtol=0, atol=0)
    assert expected["class_embedding.linear_2.weight"].abs().sum() > 0  # it began as zeros
