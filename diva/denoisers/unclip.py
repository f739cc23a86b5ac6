"""Stable unCLIP from a diffusers folder: a UNet that is told the image's own embedding (un²CLIP, arXiv 2505.24517).

The embedding is noised to some level first, and the UNet is told the level, so that it cannot lean on every digit
(unCLIP, arXiv 2204.06125). A Stable Diffusion folder becomes such a decoder for a tower by `fit` and training.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer
from torch import Tensor, nn

from diva.denoisers.base import Context
from diva.denoisers.latent import read_part
from diva.denoisers.stable_diffusion import StableDiffusionDenoiser
from diva.errors import Invalid, Mismatch, Unsupported
from diva.recipes.denoisers import Unclip

NORMALIZER, NOISING = "image_normalizer", "image_noising_scheduler"


class UnclipDenoiser(StableDiffusionDenoiser):
    """A Stable unCLIP UNet; `Context.vector` is what `noise_embedding` makes of an image's embedding.

    Attributes:
        embedding_width: D of the embeddings that it was trained for; 0 until it is known.
        noise_levels: levels of the embeddings' own noise schedule, from the first on, that the recipe wants drawn.
        images_to_fit: images that `fit` wants to know before the decoder can be used; 0 where it can.
    """

    kind = "Stable unCLIP"
    embedding_width = 0
    noising: Any

    def __init__(self, section: Unclip, *, dtype: torch.dtype, device: torch.device, trained: bool = False) -> None:
        """Load the folder as `StableDiffusionDenoiser` does; the embeddings' normaliser stays in float32.

        Raises:
            InputError: also where the UNet reads no embedding, or one of another width than the normaliser.
        """
        super().__init__(section, dtype=dtype, device=device, trained=trained)
        self.images_to_fit = section.fit_images or 0
        if section.fit_images:
            # the schedule of stabilityai's decoders
            self.noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        else:
            self.noising = read_part(self.path, NOISING, DDPMScheduler)
            self._use(read_part(self.path, NORMALIZER, StableUnCLIPImageNormalizer))
            self._check_widths()
        self.noise_levels = section.noise_levels
        levels = self.noising.config.num_train_timesteps
        if self.noise_levels > levels:
            raise Invalid(
                "denoiser.noise_levels",
                f"{self.noise_levels} is more than the {levels} of the embeddings' schedule; take fewer",
            )

    def fit(self, embeddings: Tensor) -> None:
        """Become an untrained decoder of one tower's embeddings [N, D]: stage 1 of un²CLIP starts from it.

        The normaliser is fitted to them. The UNet gets a new projection of the embedding, which ends in zeros, so
        that the decoder starts out as the teacher itself.

        Raises:
            InputError: the embeddings do not vary.
        """
        std, mean = torch.std_mean(embeddings.double(), dim=0, correction=0, keepdim=True)
        if not (std > 0).all():
            raise Invalid(
                "denoiser.fit_images",
                f"the embeddings of {len(embeddings)} images are constant in some dimension; take more",
            )
        normalizer = StableUnCLIPImageNormalizer(embeddings.shape[1])
        normalizer.load_state_dict({"mean": mean.float(), "std": std.float()})
        self._use(normalizer)
        unet: Any = self.network
        width = 2 * self.embedding_width
        projection = TimestepEmbedding(width, unet.time_embedding.linear_2.out_features)
        for parameter in projection.linear_2.parameters():
            nn.init.zeros_(parameter)
        unet.class_embedding = projection.requires_grad_(False).eval().to(self.scale.device, self.dtype)
        unet.register_to_config(class_embed_type="projection", projection_class_embeddings_input_dim=width)
        self.images_to_fit = 0

    def text_reader(self, dtype: torch.dtype = torch.float32) -> Callable[[Sequence[str]], Context]:
        """Return what reads B prompts: their embeddings [B, L, C] and, as no image is known, zeros [B, 2 D]."""
        read = super().text_reader(dtype)
        return lambda prompts: read(prompts)._replace(
            vector=self.scale.new_zeros(len(prompts), 2 * self.embedding_width)
        )

    def noise_embedding(self, embedding: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Noise embeddings and append their levels, as the UNet was trained to read them.

        Args:
            embedding: [B, D], in the tower's own scale; gradients reach it.
            level: [B] int64, steps of the embeddings' noise schedule.
            noise: [B, D], standard normal.

        Returns:
            [B, 2 D]: the normalised embedding at its level, back in its own scale, and the level's sinusoids.
        """
        noised = self.noising.add_noise(self.normalizer.scale(embedding), noise, level)
        told = get_timestep_embedding(level, self.embedding_width, flip_sin_to_cos=True, downscale_freq_shift=0)
        return torch.cat([self.normalizer.unscale(noised), told.to(noised.dtype)], dim=1)

    def save(self, folder: Path) -> None:
        """Write a Stable unCLIP folder, without an image encoder, with the network as it is now."""
        normalizer: Any = self.normalizer
        normalizer.save_pretrained(folder / NORMALIZER)
        self.noising.save_pretrained(folder / NOISING)
        super().save(folder)

    def _parts_read(self, section: Unclip) -> tuple[str, ...]:
        parts = super()._parts_read(section)
        return parts if section.fit_images else (*parts, NORMALIZER, NOISING)

    def _use(self, normalizer: Any) -> None:
        self.normalizer = normalizer.to(self.scale.device, torch.float32).requires_grad_(False)
        self.embedding_width = normalizer.config.embedding_dim
        self.vector_width = 2 * self.embedding_width

    def _check_widths(self) -> None:
        config: Any = self.network.config
        if config.class_embed_type != "projection":
            raise Unsupported(
                "denoiser.path",
                self.path,
                "has a UNet without an image embedding input; give a Stable unCLIP folder",
            )
        if config.projection_class_embeddings_input_dim != self.vector_width:
            raise Mismatch(
                "denoiser.path",
                self.path,
                f"has a normaliser of width {self.embedding_width} but a UNet that reads"
                f" width {config.projection_class_embeddings_input_dim}, not its double;"
                " they come from different decoders",
            )

    def _index_changes(self) -> dict[str, object]:
        return {
            "_class_name": "StableUnCLIPImg2ImgPipeline",
            NORMALIZER: ["stable_diffusion", "StableUnCLIPImageNormalizer"],
            NOISING: ["diffusers", "DDPMScheduler"],
            "image_encoder": [None, None],
            "feature_extractor": [None, None],
        }

    def _conditions(self, _noisy: Tensor, context: Context) -> dict[str, Any]:
        assert context.vector is not None
        return {"class_labels": context.vector.to(self.dtype)}


load = UnclipDenoiser
