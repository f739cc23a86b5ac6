"""Truncation at any offset and any flipped bit, of every kind of file that a command reads."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.attacks.cell import Format, complaint, copied
from tests.faults.attacks.damage import Attack, flip, truncate
from tests.faults.attacks.table import FORMATS

pytestmark = pytest.mark.slow
EXAMPLES = {"fast": 4, "slow": 200}


def _holds(format_: Format, folder: Path, damage: Callable[[Path, int], None], examples: int) -> None:
    """Check that damage to any place of a file is told or makes no difference that a hash would show."""
    whole = format_.read(folder)
    numbers = iter(range(10**6))

    @settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(place=st.integers(0, 8 * (folder / format_.file).stat().st_size - 1))
    def check(place: int) -> None:
        damaged = copied(folder, format_.file, folder.parent / str(next(numbers)) / "whole")
        damage(damaged / format_.file, place)
        assert complaint(format_, damaged, whole, Attack("any", truncate)) is None

    check()


@pytest.mark.parametrize("damage", [lambda path, bit: truncate(path, bit // 8), flip], ids=["cut", "flipped"])
@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: each.name)
@pytest.mark.parametrize("examples", [EXAMPLES["fast"], pytest.param(EXAMPLES["slow"], marks=pytest.mark.slow)])
def test_damage_anywhere(
    format_: Format, damage: Callable[[Path, int], None], examples: int, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    format_.write(folder)
    _holds(format_, folder, damage, examples)
