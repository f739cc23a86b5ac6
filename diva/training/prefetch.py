"""Micro-batches on the device, with everything random about them, copied while the device still works."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diva.data import Batch, Loader, to_unit_range
from diva.denoisers import Denoiser
from diva.feedback import Draws


class MicroBatch(NamedTuple):
    """What a micro-batch brings to a step.

    Attributes:
        batch: its pixels, and latents or verdicts where they are cached, on the device.
        draws: on the device; the views' seeds on the CPU.
    """

    batch: Batch
    draws: Draws

    def images(self, denoiser: Denoiser) -> tuple[Tensor, Tensor]:
        """Return the images [B, 3, H, W] in 0..1 and their latents [B, c, h, w], cached or from `denoiser`."""
        rgb = to_unit_range(self.batch.pixels)
        if self.batch.latents is None:
            return rgb, denoiser.encode(rgb, self.draws.posterior)
        return rgb, self.batch.latents.to(rgb.dtype)


class Prefetcher(Iterator[MicroBatch]):
    """Endless micro-batches of one process; one is prepared ahead where the device works while the host goes on.

    A GPU's copies have a stream of their own.
    Its state is that of the last micro-batch that was handed out, whatever has been prepared since.
    """

    def __init__(
        self, loader: Loader, draw: Callable[[Batch], Draws], device: torch.device, *, ahead: bool
    ) -> None:
        """Feed `device` from `loader`; `draw` draws what is random about a batch, on the CPU."""
        self._loader, self._draw, self._device, self._looks_ahead = loader, draw, device, ahead
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ahead: MicroBatch | None = None
        self._behind: tuple[dict[str, Any], int] | None = None  # state and skipped images, where one is ahead

    def __next__(self) -> MicroBatch:
        """Return the next micro-batch; the device's current stream may use it at once.

        Raises:
            RunError: as the loader does; one micro-batch early, where one is prepared ahead.
        """
        micro_batch = self._ahead or self._prepare()
        if self._copies is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_stream(self._copies)
            for tensor in (*micro_batch.draws, *micro_batch.batch):
                if isinstance(tensor, Tensor) and tensor.is_cuda:
                    tensor.record_stream(stream)  # or its memory would be given to the next copy too early
        if not self._looks_ahead:
            return micro_batch
        self._behind = self._loader.state_dict(), self._loader.skipped
        self._ahead = self._prepare()
        return micro_batch

    @property
    def skipped(self) -> int:
        """Unusable images before the end of the last micro-batch."""
        return self._behind[1] if self._behind else self._loader.skipped

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's position behind the last micro-batch."""
        return self._behind[0] if self._behind else self._loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            InputError: the state belongs to another order of the images.
        """
        self._ahead = self._behind = None
        self._loader.load_state_dict(state)

    def _prepare(self) -> MicroBatch:
        batch = next(self._loader)
        drawn = self._draw(batch)
        with torch.cuda.stream(self._copies):
            latents, verdicts = (
                None if part is None else self._copied(part) for part in (batch.latents, batch.verdicts)
            )
            batch = batch._replace(pixels=self._copied(batch.pixels), latents=latents, verdicts=verdicts)
            timesteps, noise, condition, posterior = map(self._copied, drawn[:-1])
        return MicroBatch(batch, Draws(timesteps, noise, condition, posterior, drawn.views))

    def _copied(self, tensor: Tensor) -> Tensor:
        if self._copies is None:
            return tensor.to(self._device)
        # from pageable memory even a copy that does not block waits for what the device was given before
        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        return pinned.to(self._device, non_blocking=True)
