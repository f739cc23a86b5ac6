import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.utils.dl_utils import mmcv_full_available
from mmseg.registry import MODELS

from diva.errors import NotInstalled
from diva_downstream.segmentation.registered import DivaTower

ROOT = Path(__file__).parents[3]


def test_a_missing_operator_is_one_sentence_when_it_is_called_and_nothing_before() -> None:
    from mmcv.ops import nms  # its module looks the operator up as soon as it is imported

    assert not mmcv_full_available()
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
    with pytest.raises(NotInstalled, match=r"mmcv: .*'nms'.*2\.1\.0") as told:
        nms(boxes, scores, 0.5)
    assert "\n" not in str(told.value)


def test_every_decode_head_of_mmseg_is_there_with_mmcv_lite() -> None:
    assert MODELS.get("DivaTower") is DivaTower
    assert {"FCNHead", "UPerHead", "SideAdapterCLIPHead"} <= MODELS.module_dict.keys()


def test_a_missing_package_is_one_sentence_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "diva_downstream").symlink_to(ROOT / "downstream")
    (tmp_path / "diva").symlink_to(ROOT / "diva")
    # -S hides what is installed, as if the extra had never been
    script = "import diva_downstream.segmentation.mmcv_shim as i; i.require_packages()"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == (
        "diva.errors.NotInstalled: segmentation: mmengine, mmcv, mmseg, ftfy cannot be imported;"
        " pip install -e '.[segmentation]' -c constraints.txt, in a clone of diva, brings it"
    )
