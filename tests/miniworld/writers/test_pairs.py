import io
import re
from pathlib import Path

import numpy as np
import pytest

from diva import progress
from diva.miniworld.pairs import draw_pairs
from diva.miniworld.render import render
from diva.miniworld.scene import generator
from diva.miniworld.vocabulary import ATTRIBUTES
from diva.miniworld.writers import write_pairs


def test_the_reader_finds_the_drawn_pairs_with_their_statements(tmp_path: Path) -> None:
    from diva_benchmarks.pairs.layouts import read_pairs

    write_pairs(tmp_path, pairs=3, key=(7,))
    pairs = read_pairs("plain", tmp_path).pairs
    assert [pair.category for pair in pairs] == [each.pattern for each in ATTRIBUTES for _ in range(3)]
    for index in (0, 5):
        drawn = draw_pairs(index, 3, generator(7, index))
        here = pairs[3 * index : 3 * index + 3]
        assert [pair.statements for pair in here] == [
            ("a photo of " + one, "a photo of " + other) for one, other in drawn.statements
        ]
        for side, scenes in enumerate((drawn.first, drawn.second)):
            expected = (render(scenes)[0] * 255).permute(0, 2, 3, 1).numpy()
            found = np.stack([np.asarray(pair.images[side].decode(), dtype=float) for pair in here])
            assert np.abs(found - expected).mean() < 4  # JPEG's loss


def test_equal_seeds_write_equal_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_pairs(tmp_path / name, pairs=2, key=(1, 2))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]
    assert len(contents[0]) == 1 + 9 * 2 * 2


def test_writing_says_how_many_of_all_pairs_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SHORT", 0), ("EVERY", 0), ("TICK", 0.001)):
        monkeypatch.setattr(progress, name, seconds)
    stream = io.StringIO()
    with progress.reporting(stream):
        write_pairs(tmp_path, pairs=3, key=(7,))
    assert re.search("^writing pairs: [0-9]+ of 27, ", stream.getvalue(), re.MULTILINE)
