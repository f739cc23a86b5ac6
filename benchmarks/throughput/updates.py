"""What this benchmark measures: the trainer's own update, and a plain rendering of the published schedule.

The published code runs the tower and the text encoder anew for each noise sample, backpropagates each sample by
itself, and holds the frozen networks in float32 under autocast. Given the same images and draws, both have the same
losses.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from diva.compat import forget_accelerator
from diva.feedback import Draws, feedback
from diva.pretrained import load_pretrained
from diva.recipes import Recipe
from diva.towers import Clip
from diva.training.build import build_accelerator, build_trainer
from diva.training.prefetch import MicroBatch

Mark = Callable[[str], None]
DATA, OTHER, TEXT = "data", "other", "text"


class TrainerUpdate:
    """The trainer's update.

    Attributes:
        images: of an update, over all processes.
        device: that the networks are on.
        clip: the model whose tower is trained.
        optimizer: of the first stage.
        gradient_bytes: of the gradients that processes exchange in an update.
    """

    def __init__(self, recipe: Recipe, clip: Clip) -> None:
        """Make the first stage of `recipe` ready to train `clip`.

        Raises:
            InputError: the recipe names something that is missing or does not fit.
        """
        self.clip = clip
        # nothing is written: a step makes no checkpoint and no metrics
        self._accelerator = build_accelerator(recipe, Path())
        self._trainer = build_trainer(recipe, self._accelerator, clip, Path())
        self._state = self._trainer.prepare(0)
        self.images = recipe.training.global_batch
        self.device = self._accelerator.device
        self.optimizer: torch.optim.Optimizer = getattr(self._state.optimizer, "optimizer", self._state.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.gradient_bytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Modules whose forward pass is timed, by the name of the part."""
        denoiser = self._trainer.denoiser
        vae = getattr(denoiser, "vae", None)
        parts = {"tower": self._trainer.student.tower, "UNet forward": denoiser.network}
        return parts if vae is None else parts | {"VAE": vae.encoder}

    def make(self, mark: Mark | None = None) -> Tensor:
        """Wait for the data, make one update and return its loss, a scalar still on the device.

        Args:
            mark: called with the name of what comes next, around what is in none of `networks`.
        """
        batches = self._trainer.prefetcher
        return self._update(batches if mark is None else _Marked(batches, mark)).mean()

    def close(self) -> None:
        """End the workers and free the memory."""
        self._trainer.loader.close()
        self._accelerator.free_memory()
        forget_accelerator()  # the next step may be of another precision

    def _update(self, batches: Iterator[MicroBatch]) -> Tensor:
        """Return the losses [S]."""
        return self._trainer.update(self._state, batches).losses


class ReleasedUpdate(TrainerUpdate):
    """The published schedule, with the trainer's parts and draws; its recipe holds frozen networks in float32."""

    def __init__(self, recipe: Recipe, clip: Clip) -> None:
        """Make the first stage ready, and load the text encoder for good; the recipe's condition reads text.

        Raises:
            InputError: the recipe names something that is missing or does not fit.
        """
        super().__init__(recipe, clip)
        folder = Path(recipe.denoiser.path)
        prompt = getattr(recipe.condition, "prompt", "")
        tokenizer = load_pretrained(CLIPTokenizer, folder, "tokenizer", field=("denoiser.path",))
        encoder = load_pretrained(
            CLIPTextModel, folder, "text_encoder", field=("denoiser.path",), dtype=torch.float32
        )
        self._text = encoder.requires_grad_(False).eval().to(self.device)
        length = min(tokenizer.model_max_length, self._text.config.max_position_embeddings)
        batch = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        self._ids = batch.input_ids.to(self.device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Modules whose forward pass is timed, by the name of the part."""
        return {**super().networks, TEXT: self._text}

    def _update(self, batches: Iterator[MicroBatch]) -> Tensor:
        trainer, state = self._trainer, self._state
        state.optimizer.zero_grad()
        micro_batch = next(batches)
        losses = []
        with self._accelerator.autocast():
            pixels, latents = trainer.look_at(micro_batch)
        for number, weight in enumerate(trainer.weights.tolist()):
            draws = _sample(micro_batch.draws, number)
            with self._accelerator.autocast():
                self._encode_text()
                (loss,) = feedback(
                    state.modules.student,
                    trainer.denoiser,
                    trainer.objective,
                    pixels=pixels,
                    latents=latents,
                    draws=draws,
                )
            self._accelerator.backward(loss * weight)
            losses.append(loss.detach())
        limit = state.stage.clip_norm
        if limit is not None:
            self._accelerator.clip_grad_norm_(state.modules.student.parameters(), limit)
        state.optimizer.step()
        state.schedule.step()
        return torch.stack(losses)

    @torch.no_grad()
    def _encode_text(self) -> None:
        tokens = self._text(self._ids).last_hidden_state.float()
        held = self._trainer.student.condition.empty_tokens
        assert held is not None
        held.copy_(tokens if held.shape == tokens.shape else tokens.mean(dim=1, keepdim=True))


class _Marked(Iterator[MicroBatch]):
    """Micro-batches that says when it is waited for."""

    def __init__(self, batches: Iterator[MicroBatch], mark: Mark) -> None:
        self._batches, self._mark = batches, mark

    def __next__(self) -> MicroBatch:
        self._mark(DATA)
        micro_batch = next(self._batches)
        self._mark(OTHER)
        return micro_batch


def _sample(draws: Draws, number: int) -> Draws:
    """Return the draws of one noise sample."""
    one = slice(number, number + 1)
    return draws._replace(timesteps=draws.timesteps[one], noise=draws.noise[one], condition=draws.condition[one])
