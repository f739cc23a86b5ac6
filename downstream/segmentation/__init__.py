"""Segmentation with mmsegmentation: the tower as a backbone, heads on top, and what its patch tokens know.

`custom_imports = dict(imports=["diva_downstream.segmentation.registered"])` makes everything here available to a
plain mmseg config.
"""

from diva_downstream.segmentation.mmcv_shim import require_packages, stand_in_for_operators

require_packages()
stand_in_for_operators()
