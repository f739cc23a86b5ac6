"""Which checkpoint a run goes on from."""

from pathlib import Path

import diva_downstream.segmentation  # noqa: F401 - stands in for operators of mmcv before mmseg is imported
from diva.seal import SEAL, seal
from diva_downstream.segmentation.checkpoints import newest_iterations


def test_a_list_of_files_that_is_cut_at_a_line_s_end_is_damaged(tmp_path: Path) -> None:
    for iterations in (10, 20):
        folder = tmp_path / f"iter_{iterations}"
        folder.mkdir()
        (folder / "checkpoint.pth").write_text("weights")
        seal(folder)
    assert newest_iterations(tmp_path) == (20, [])
    (folder / SEAL).write_text("")
    done, damaged = newest_iterations(tmp_path)
    assert done == 10
    assert ["checkpoint.pth was not written by diva" in each for each in damaged] == [True]
