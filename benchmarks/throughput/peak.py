"""What the device can do at best: the yardstick of every share of peak in the same run."""

import time

import torch

from diva_benchmarks.throughput.stopwatch import synchronise

REPEATS = 5
SIDES = {"cuda": 8192, "cpu": 2048}


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest of some large square matrix products in `dtype`."""
    side = SIDES.get(device.type, 4096)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(REPEATS + 1):  # the first also loads the kernel
        synchronise(device)
        start = time.perf_counter()
        a @ b
        synchronise(device)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest
