"""What every head's pictures go through; mean, standard deviation and sizes are the tower's."""

data_preprocessor = {
    "type": "SegDataPreProcessor",
    "mean": [122.77, 116.75, 104.09],
    "std": [68.5, 66.63, 70.32],
    "bgr_to_rgb": True,
    "pad_val": 0,
    "seg_pad_val": 255,
    "size": (512, 512),
    "test_cfg": {"size_divisor": 16},
}
sliding = {"mode": "slide", "crop_size": (512, 512), "stride": (341, 341)}
