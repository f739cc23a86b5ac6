"""Stable Diffusion 1.x and 2.x from a diffusers folder, frozen."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from diva.errors import InputError
from diva.recipes.schema import StableDiffusion

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


class StableDiffusionDenoiser(nn.Module):
    """The UNet and the VAE of a Stable Diffusion folder, in `eval()` and without gradients.

    The noise schedule and the prediction type (epsilon or v) are those of the folder's scheduler.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, section: StableDiffusion, *, dtype: torch.dtype, device: torch.device) -> None:
        """Load the folder's networks in `dtype` onto `device`.

        Raises:
            InputError: the folder or one of its parts is missing or cannot be read, its prediction type is not
                epsilon or v, or the timesteps are not within its schedule.
        """
        super().__init__()
        self.path = Path(section.path)
        missing = [part for part in PARTS if not (self.path / part).is_dir()]
        if missing:
            raise InputError(
                f"denoiser.path: {self.path} has no {', '.join(missing)}; give a diffusers Stable Diffusion folder"
            )
        try:
            self.unet = UNet2DConditionModel.from_pretrained(self.path, subfolder="unet", torch_dtype=dtype)
            self.vae = AutoencoderKL.from_pretrained(self.path, subfolder="vae", torch_dtype=dtype)
            self.scheduler = DDPMScheduler.from_pretrained(self.path, subfolder="scheduler")
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"denoiser.path: {self.path} cannot be loaded ({reason}); fetch it again") from error
        self.requires_grad_(False).eval().to(device)
        self.timesteps = section.timesteps
        self._check_schedule()
        # a VAE expects -1..1
        self.register_buffer("scale", _per_channel(section.image_scale or (2.0, 2.0, 2.0), device), False)
        self.register_buffer("shift", _per_channel(section.image_shift or (-1.0, -1.0, -1.0), device), False)

    def _check_schedule(self) -> None:
        last = self.scheduler.config.num_train_timesteps
        if not 0 <= self.timesteps[0] < self.timesteps[1] <= last:
            raise InputError(
                f"denoiser.timesteps: {list(self.timesteps)} is no range within 0..{last},"
                f" the schedule of {self.path}"
            )
        if self.scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
            raise InputError(
                f"denoiser.path: {self.path}/scheduler predicts '{self.scheduler.config.prediction_type}';"
                " only epsilon and v_prediction are supported"
            )

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> Tensor:
        """Return the text encoder's last hidden state [1, L, C] float32 of `prompt`, padded to the full length.

        The text encoder is loaded for this call alone: a run needs it once.

        Raises:
            InputError: the folder's text encoder and UNet do not belong together.
        """
        tokenizer = CLIPTokenizer.from_pretrained(self.path, subfolder="tokenizer")
        encoder = CLIPTextModel.from_pretrained(self.path, subfolder="text_encoder").eval().to(self.scale.device)
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        batch = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        hidden = encoder(batch.input_ids.to(self.scale.device)).last_hidden_state.float()
        if hidden.shape[-1] != self.unet.config.cross_attention_dim:
            raise InputError(
                f"denoiser.path: {self.path} has a text encoder of width {hidden.shape[-1]} but a UNet that reads"
                f" width {self.unet.config.cross_attention_dim}; they are from two models"
            )
        return hidden

    @torch.no_grad()
    def encode(self, rgb: Tensor) -> Tensor:
        """Return scaled latents [B, c, h, w] in `rgb`'s dtype: the mean of the VAE's posterior, not a sample."""
        images = (rgb * self.scale + self.shift).to(self.vae.dtype)
        return self.vae.encode(images).latent_dist.mean.to(rgb.dtype) * self.vae.config.scaling_factor

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return sqrt(ᾱ_t) · latents + sqrt(1 − ᾱ_t) · noise (DDPM, equation 4)."""
        return self.scheduler.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise, or the velocity for a v-prediction UNet (Salimans & Ho 2022, appendix D)."""
        if self.scheduler.config.prediction_type == "epsilon":
            return noise
        return self.scheduler.get_velocity(latents, noise, timesteps)

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Predict from `noisy` [B, c, h, w], `timesteps` [B] and `context` [B, M, C]; `noisy`'s dtype."""
        dtype = self.unet.dtype
        prediction = self.unet(noisy.to(dtype), timesteps, context.to(dtype), return_dict=False)[0]
        return prediction.to(noisy.dtype)


def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, 3, 1, 1)
