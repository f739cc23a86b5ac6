"""A schedule of 20,000 iterations: a short warm-up, then linear decay. Others are this one stretched."""

train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 20_000, "val_interval": 20_000}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 1e-6, "begin": 0, "end": 500, "by_epoch": False},
    {"type": "PolyLR", "eta_min": 0.0, "power": 1.0, "begin": 500, "end": 20_000, "by_epoch": False},
]
