"""Truncation at any offset and any flipped bit, of every kind of file that a command reads."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.attacks.cell import Format, complaint, copied
from tests.faults.attacks.damage import Attack, flip, truncate
from tests.faults.attacks.table import FORMATS, QUICK

FEW, MANY = 4, 200
DAMAGE = {"cut": lambda path, bit: truncate(path, bit // 8), "flipped": flip}


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


def _written(format_: Format, folder: Path) -> Path:
    folder.mkdir()
    format_.write(folder)
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("format_", QUICK, ids=lambda each: each.name)
def test_damage_anywhere(format_: Format, damage: str, tmp_path: Path) -> None:
    _holds(format_, _written(format_, tmp_path / "whole"), DAMAGE[damage], FEW)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: each.name)
def test_damage_in_many_places(format_: Format, damage: str, tmp_path: Path) -> None:
    _holds(format_, _written(format_, tmp_path / "whole"), DAMAGE[damage], MANY)
