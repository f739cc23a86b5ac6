"""Every attack on every file that a command reads: an equal answer or one sentence, and nothing else."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest

from tests.faults.attacks.cell import Format, complaint, copied
from tests.faults.attacks.damage import Attack
from tests.faults.attacks.table import FORMATS, QUICK, SAMPLE, attacks_on

Pristine = Callable[[Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Pristine:
    """Return what writes a format's folder once, whichever of its files are attacked."""
    written: dict[int, Path] = {}

    def write(writer: Callable[[Path], object]) -> Path:
        if id(writer) not in written:
            folder = tmp_path_factory.mktemp("pristine") / "whole"
            folder.mkdir()
            writer(folder)
            written[id(writer)] = folder
        return written[id(writer)]

    return write


def _wrong(format_: Format, attacks: Sequence[Attack], folder: Path, place: Path) -> dict[str, str]:
    """Return what is wrong with how each attacked file is read, by the attack's name."""
    whole = format_.read(folder)
    assert format_.read(folder) == whole
    wrong = {}
    for number, attack in zip(count(), attacks):
        damaged = copied(folder, format_.file, place / str(number) / "whole")
        attack.apply(damaged / format_.file)
        said = complaint(format_, damaged, whole, attack)
        if said:
            wrong[attack.name] = said
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS, ids=lambda each: each.name)
def test_a_damaged_file_is_read_alike_or_refused_in_a_sentence(
    format_: Format, pristine: Pristine, tmp_path: Path
) -> None:
    assert _wrong(format_, attacks_on(format_), pristine(format_.write), tmp_path) == {}


@pytest.mark.parametrize("format_", QUICK, ids=lambda each: each.name)
def test_a_sample_of_the_table(format_: Format, pristine: Pristine, tmp_path: Path) -> None:
    attacks = [attack for attack in attacks_on(format_) if attack.name in SAMPLE]
    assert _wrong(format_, attacks, pristine(format_.write), tmp_path) == {}
