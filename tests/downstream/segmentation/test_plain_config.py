"""The page's config file, as it stands there, with mmengine alone."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "segmentation.md"


def test_the_config_of_the_page_trains_and_tests_with_nothing_of_the_command_line(
    world: Path, tmp_path: Path
) -> None:
    config, program = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "segmentation.py").write_text(config)
    (tmp_path / "diva").symlink_to(ROOT / "diva")
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "ade20k").symlink_to(world)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "plain" / "iter_20.pth").is_file()
    scores = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    assert scores.keys() == {"mIoU", "boundary_mIoU", "mAcc", "aAcc"}
    assert scores["aAcc"] > 30  # sky and ground are learned at once
