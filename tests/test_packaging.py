"""The wheel: all that the packages need, under names of ours, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"diva": "diva", "benchmarks": "diva_benchmarks", "downstream": "diva_downstream"}
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def test_the_wheel_is_small_and_holds_every_file_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("diva_suite-*.whl")
    assert wheel.stat().st_size <= 30e6
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    # a script is for a clone
    paths = [path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".sh"]
    ours = [path for path in paths if path.parts[0] in FOLDERS and path.parts[:2] != ("benchmarks", "results")]
    assert packed == {Path(FOLDERS[path.parts[0]], *path.parts[1:]).as_posix() for path in ours}
    assert {"diva/py.typed", "diva/miniworld/bases/0/clip/open_clip_model.safetensors"} <= packed
