"""What denoisers of latents share: a diffusers folder, its VAE, and DDPM's schedule of noise."""

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn

from diva.digest import tensors_sha256
from diva.documents import read_json
from diva.errors import Damaged, Invalid, Mismatch, Missing, Unsupported
from diva.pretrained import DOCUMENTS, load_pretrained
from diva.recipes.denoisers import DdpmSection, LatentSection

INDEX = "model_index.json"


class LatentDenoiser(nn.Module):
    """A network that denoises the latents of a VAE, both from one diffusers folder.

    Attributes:
        kind: what the folder is called.
        network_part: the folder's part that predicts; other_parts: what is copied besides it and the VAE.
        path: the folder.
        vae: frozen for good.
        network: what predicts; frozen, until somebody trains it.
        token_width: C of the context's tokens; vector_width: V of its vector; None where the network reads none.
    """

    kind: ClassVar[str]
    network_part: ClassVar[str]
    other_parts: ClassVar[tuple[str, ...]] = ()
    network: nn.Module
    token_width: int | None = None
    vector_width: int | None = None
    scale: Tensor
    shift: Tensor

    def __init__(
        self, section: LatentSection, *, dtype: torch.dtype, device: torch.device, trained: bool = False
    ) -> None:
        """Load the folder's VAE and network onto `device`.

        Args:
            section: of the recipe.
            dtype: of everything that is frozen.
            device: where the denoiser works.
            trained: a stage will train the network, so that it is in float32.

        Raises:
            InputError: a part is missing or cannot be read.
        """
        super().__init__()
        self.path = Path(section.path)
        missing = [part for part in self._parts_read(section) if not (self.path / part).is_dir()]
        if missing:
            raise Missing(
                "denoiser.path", self.path, f"has no {', '.join(missing)}; give a diffusers {self.kind} folder"
            )
        self._index = _read_index(self.path)
        self.vae = read_part(self.path, "vae", AutoencoderKL, torch_dtype=dtype)
        self.network = self._make_network(section, torch.float32 if trained else dtype)
        self.sampled = section.latents == "sample"
        # a VAE expects -1..1
        self.register_buffer("scale", _per_channel(section.image_scale or (2.0, 2.0, 2.0)), persistent=False)
        self.register_buffer("shift", _per_channel(section.image_shift or (-1.0, -1.0, -1.0)), persistent=False)
        self.requires_grad_(False).eval().to(device)

    def _parts_read(self, section: Any) -> tuple[str, ...]:  # noqa: ARG002
        return (self.network_part, "vae", *self.other_parts)

    def _make_network(self, section: Any, dtype: torch.dtype) -> Any:
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in, where nothing casts for it."""
        return next(self.network.parameters()).dtype

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """Return (c, h, w) of the latents of a square image of `side` pixels."""
        config = self.vae.config
        shrunk = side // 2 ** (len(config.block_out_channels) - 1)
        return config.latent_channels, shrunk, shrunk

    def draw_posterior(self, side: int, generator: torch.Generator) -> Tensor:
        """Draw standard normal noise [c, h, w] for a sample of one image's posterior; [0] where its mean is wanted.

        It is in the VAE's dtype, in which diffusers draws it.
        """
        return torch.randn(
            self.latent_shape(side) if self.sampled else (0,), generator=generator, dtype=self.vae.dtype
        )

    @torch.no_grad()
    def encode(self, rgb: Tensor, posterior: Tensor | None = None) -> Tensor:
        """Return the shifted and scaled latents [B, c, h, w] of images [B, 3, H, W] in 0..1, in their dtype.

        Args:
            rgb: the images.
            posterior: [B, c, h, w], what `draw_posterior` gave for each of them; nothing asks for it where the
                recipe wants the mean of the VAE's posterior.

        Raises:
            InputError: the recipe wants samples, and nothing was drawn.
        """
        encoded = self.vae.encode((rgb * self.scale + self.shift).to(self.vae.dtype)).latent_dist
        if not self.sampled:
            latents = encoded.mean
        elif posterior is None:
            raise Mismatch(
                "denoiser.latents",
                "'sample' draws new latents every time, so they cannot be cached; set it to mean",
            )
        else:
            latents = encoded.mean + encoded.std * posterior
        return (latents.to(rgb.dtype) - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor

    @cached_property
    def encoder_sha256(self) -> str:
        """SHA-256 over all that `encode` depends on: weights, dtype, shift, scale, the range that the VAE sees."""
        config = self.vae.config
        numbers = [*self.scale.flatten().tolist(), *self.shift.flatten().tolist()]
        facts = json.dumps([str(self.vae.dtype), config.scaling_factor, config.shift_factor, *numbers])
        decoding = ("decoder.", "post_quant_conv.")
        state = {name: value for name, value in self.vae.state_dict().items() if not name.startswith(decoding)}
        return tensors_sha256(state, facts)

    def save(self, folder: Path) -> None:
        """Write a folder that `path` can name: the network as it is now, the other parts as they were.

        What a step never needs, a safety checker say, is left out, and null in the index.
        """
        self._save_network(folder / self.network_part)
        for part in ("vae", *self.other_parts):
            (folder / part).mkdir()
            for file in (self.path / part).iterdir():
                if file.is_file() and file.suffix in (*DOCUMENTS, ".safetensors", ".bin"):
                    shutil.copyfile(file, folder / part / file.name)
        if self._index is not None:
            index = self._index | self._index_changes()
            for name, entry in index.items():
                if isinstance(entry, list) and not (folder / name).is_dir():
                    index[name] = [None, None]
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    def _index_changes(self) -> dict[str, object]:
        return {}

    def _save_network(self, folder: Path) -> None:
        network: Any = self.network
        network.register_to_config(_name_or_path="")  # diffusers would write where it was loaded from
        network.save_pretrained(folder)


class DdpmDenoiser(LatentDenoiser):
    """A denoiser of DDPM's forward process, with the schedule and the prediction type of its folder.

    Attributes:
        timesteps: first and one past the last that are drawn.
    """

    def __init__(
        self, section: DdpmSection, *, dtype: torch.dtype, device: torch.device, trained: bool = False
    ) -> None:
        """Load VAE, network and schedule as `LatentDenoiser` does.

        Raises:
            InputError: also where the prediction type is neither epsilon nor v, or the timesteps are not within the
                schedule.
        """
        super().__init__(section, dtype=dtype, device=device, trained=trained)
        self.scheduler = read_part(self.path, "scheduler", DDPMScheduler)
        self.timesteps = section.timesteps
        last = self.scheduler.config.num_train_timesteps
        if not 0 <= self.timesteps[0] < self.timesteps[1] <= last:
            raise Invalid(
                "denoiser.timesteps",
                f"{list(self.timesteps)} is not a range within 0..{last}, the schedule of {self.path}",
            )
        if self.scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
            raise Unsupported(
                "denoiser.path",
                f"{self.path}/scheduler predicts '{self.scheduler.config.prediction_type}';"
                " only epsilon and v_prediction are supported",
            )

    def draw_timesteps(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps [samples] int64, uniform over the recipe's range."""
        return torch.randint(*self.timesteps, (samples,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return sqrt(ᾱ_t) · latents + sqrt(1 − ᾱ_t) · noise (DDPM, equation 4)."""
        return self.scheduler.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise, or the velocity for a v-prediction network (Salimans & Ho 2022, appendix D)."""
        if self.scheduler.config.prediction_type == "epsilon":
            return noise
        return self.scheduler.get_velocity(latents, noise, timesteps)


def read_part(folder: Path, part: str, reader: Any, **options: Any) -> Any:
    """Return one part of the diffusers folder that a recipe names.

    Raises:
        InputError: it cannot be read, or tensors are missing.
    """
    return load_pretrained(reader, folder, part, field=("denoiser.path",), **options)


def _read_index(folder: Path) -> dict[str, Any] | None:
    """Return the index of a pipeline's folder, where it has one; `save` needs it, too late to refuse it."""
    if not (folder / INDEX).is_file():
        return None
    index = read_json(folder / INDEX)
    if not isinstance(index, dict):
        raise Damaged("denoiser.path", folder / INDEX, "is not the index of a pipeline; fetch it again")
    return index


def _per_channel(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
