"""What transformers' preparation of a photograph costs, measured for a tower."""

from pathlib import Path

import pytest

from diva.exporting.crops import measure_crop_cost
from diva.exporting.transformers_format import fill_transformers
from diva.towers import load_clip
from tests.fixtures.towers import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_only_an_odd_margin_and_the_other_backend_cost_anything(
    tiny_towers: dict[str, Path], tmp_path: Path, family: str
) -> None:
    clip = load_clip(str(tiny_towers[family]))
    fill_transformers(clip, tmp_path / "out")
    cost = measure_crop_cost(clip, tmp_path / "out")
    assert cost.even == pytest.approx(1, abs=1e-6)
    assert cost.crops == (family == "openai-like")
    if cost.crops:
        assert 0.5 < cost.odd < 0.999  # one pixel of 32
    else:
        assert cost.odd == pytest.approx(1, abs=1e-6)
    assert 0.99 < cost.default <= 1 + 1e-6
