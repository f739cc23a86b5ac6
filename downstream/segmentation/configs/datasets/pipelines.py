"""How pictures and label maps are loaded; the sizes are those of a crop of 512 pixels."""

crop_size = (512, 512)
train_pipeline = [
    {"type": "LoadPicture"},
    {"type": "LoadLabels", "classes": 150},
    {"type": "RandomResize", "scale": (2048, 512), "ratio_range": (0.5, 2.0), "keep_ratio": True},
    {"type": "RandomCrop", "crop_size": crop_size, "cat_max_ratio": 0.75},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PhotoMetricDistortion"},
    {"type": "PackSegInputs"},
]
test_pipeline = [
    {"type": "LoadPicture"},
    {"type": "Resize", "scale": (2048, 512), "keep_ratio": True},
    {"type": "LoadLabels", "classes": 150},
    {"type": "PackSegInputs"},
]
wide_test_pipeline = [
    {"type": "LoadPicture"},
    {"type": "Resize", "scale": (2048, 512), "keep_ratio": True},
    {"type": "LoadLabels", "classes": 847, "ignored": 65535},
    {"type": "PackSegInputs"},
]
train_loader = {
    "batch_size": 16,
    "num_workers": 4,
    "persistent_workers": True,
    "sampler": {"type": "InfiniteSampler", "shuffle": True},
}
test_loader = {
    "batch_size": 1,
    "num_workers": 4,
    "persistent_workers": True,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
}
evaluator = {"type": "ImageAreas"}
wide_evaluator = {"type": "ImageAreas", "ignored": 65535}
