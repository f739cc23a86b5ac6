"""Images per second against the number of processes: a model, with its assumptions written down.

The images of an update are shared out, and only the gradients of the tower and of the projection are exchanged, by
a ring all-reduce once an update. Frozen networks are copied to every process and never exchanged.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What the modelled curve rests on.

    Attributes:
        node: processes in one machine.
        bandwidth_within, bandwidth_between: bytes/s of one process's link to its neighbour in the ring.
        latency: seconds of one of the ring's 2 (n - 1) messages.
        hidden: share of the backward pass under which the exchange is hidden, since it starts with the last layers.
    """

    node: int = 8
    bandwidth_within: float = 400e9
    bandwidth_between: float = 50e9
    latency: float = 10e-6
    hidden: float = 0.5

    def sentences(self) -> list[str]:
        """Say them in plain words."""
        return [
            "every process has the same batch, and each update one exchange of the trained gradients (float32) in a"
            " ring",
            f"a link carries {self.bandwidth_within / 1e9:.0f} GB/s within a machine of {self.node} processes and"
            f" {self.bandwidth_between / 1e9:.0f} GB/s between machines; a message takes"
            f" {self.latency * 1e6:.0f} µs besides",
            f"{self.hidden:.0%} of the backward pass hides the exchange",
            "the data are never the limit; frozen networks are never exchanged; no process is slower than another",
        ]


def modelled(
    processes: int,
    *,
    images: int,
    seconds: float,
    backward: float,
    gradient_bytes: int,
    assumptions: Assumptions,
) -> float:
    """Return the images/s of `processes` processes.

    Args:
        processes: n.
        images: of an update and process.
        seconds: of an update with one process; `backward` of them are the backward pass.
        gradient_bytes: exchanged in an update.
        assumptions: the rest.
    """
    if processes == 1:
        return images / seconds
    within = processes <= assumptions.node
    bandwidth = assumptions.bandwidth_within if within else assumptions.bandwidth_between
    hops = 2 * (processes - 1)
    exchange = hops / processes * gradient_bytes / bandwidth + hops * assumptions.latency
    step = seconds + max(0.0, exchange - assumptions.hidden * backward)
    return processes * images / step
