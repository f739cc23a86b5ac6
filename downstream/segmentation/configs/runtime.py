"""What every run shares."""

custom_imports = {"imports": ["diva_downstream.segmentation.registered"], "allow_failed_imports": False}
default_scope = "mmseg"
env_cfg = {"cudnn_benchmark": True, "mp_cfg": {"mp_start_method": "fork"}, "dist_cfg": {"backend": "nccl"}}
default_hooks = {
    "timer": {"type": "IterTimerHook"},
    "logger": {"type": "LoggerHook", "interval": 50, "log_metric_by_epoch": False},
    "param_scheduler": {"type": "ParamSchedulerHook"},
    "checkpoint": {"type": "SealedCheckpoints", "interval": 2000, "keep": 2},
    "sampler_seed": {"type": "DistSamplerSeedHook"},
}
custom_hooks = [{"type": "PlainCheckpoint"}, {"type": "Progress"}]
# a name would make it one object for all runs of a process, which writes to the first one's folder
visualizer = {"type": "SegLocalVisualizer", "vis_backends": [{"type": "LocalVisBackend"}]}
log_processor = {"by_epoch": False}
log_level = "ERROR"  # what goes on is said by `Progress`; scalars are in `vis_data`
test_cfg = {"type": "TestLoop"}
