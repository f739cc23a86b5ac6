"""What a cache was made from and with: a cache of anything else is stale, and refused."""

from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import InputError
from diva.towers.preprocess import TowerInput

INDEX = "index.json"
REMEDY = "run 'diva data cache-latents' into another folder, or set data.latents to null"


class Encoder(Protocol):
    """The part of a denoiser that a cache stands in for."""

    @property
    def encoder_sha256(self) -> str:
        """SHA-256 over all that `encode` depends on: the VAE's weights, its scale, the range that it sees."""

    def encode(self, rgb: Tensor) -> Tensor:
        """Return the latents [B, c, h, w] of images [B, 3, H, W] in 0..1.

        Raises:
            InputError: a run draws them anew at every look, so that nothing can stand in for them.
        """


class Wanted(BaseModel):
    """What a run's images go through before the step: a cache replaces exactly this.

    Attributes:
        encoder_sha256: of the teacher's encoder.
        image_size: side of the square crop in pixels.
        crop_scale: share of the area that a crop keeps.
        tower_size: (height, width) of the tower's input in pixels.
        interpolation, antialias: how the crop is brought to that size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder_sha256: str
    image_size: int
    crop_scale: tuple[float, float]
    tower_size: tuple[int, int]
    interpolation: str
    antialias: bool

    @classmethod
    def by(cls, encoder: Encoder, tower: TowerInput, image_size: int, crop_scale: tuple[float, float]) -> Self:
        """Return what a run of these parts needs."""
        return cls(
            encoder_sha256=encoder.encoder_sha256,
            image_size=image_size,
            crop_scale=crop_scale,
            tower_size=tower.size,
            interpolation=tower.interpolation,
            antialias=tower.antialias,
        )


class CacheIndex(BaseModel):
    """The file `index.json` of a cache.

    Attributes:
        made: what the images went through.
        crop_seed: of the crops.
        crops: of each image; pass e of a run reads crop e mod `crops`.
        pixels: how the tower's input is stored: "uint8" rounds it to 8 bits, "jpeg" compresses it besides.
        source, fingerprint: the images, as the user named them, and the SHA-256 over their files' names and sizes.
        shards: the cache's files; it is complete when all of them are there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[2] = 2
    made: Wanted
    crop_seed: int
    crops: int = Field(gt=0)
    pixels: Literal["uint8", "jpeg"]
    source: str
    fingerprint: str
    shards: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the index of the cache in `folder`.

        Raises:
            InputError: there is none, or it is damaged.
        """
        path = folder / INDEX
        try:
            return cls.model_validate_json(read_file(path))
        except InputError as error:
            raise InputError(
                f"{path}: is not the index of a latent cache; write one with 'diva data cache-latents'"
            ) from error
        except ValidationError as error:
            field = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
            raise InputError(f"{path}: {field} is damaged; delete the cache and write it again") from error

    def write(self, folder: Path) -> None:
        """Write the index into `folder`; an existing one must be equal, so that only its own cache goes on.

        Raises:
            InputError: the folder holds another cache.
            RunError: the place cannot be written to.
        """
        path = folder / INDEX
        if path.is_file():
            self._refuse_other(CacheIndex.read(folder), folder)
            return
        with replacing(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n")

    def _refuse_other(self, there: "CacheIndex", folder: Path) -> None:
        refuse_stale(f"--out: {folder}", there.made, self.made, "choose another --out")
        mine, its = self.model_dump(), there.model_dump()
        for field, value in mine.items():
            if its[field] != value:
                raise InputError(f"--out: {folder} holds a cache with another {field}; choose another --out")


def refuse_stale(place: str, made: Wanted, wanted: Wanted, remedy: str = REMEDY) -> None:
    """Raise InputError, naming the first field that differs, unless a cache `made` so is what is `wanted`."""
    for field, value in wanted.model_dump().items():
        before = made.model_dump()[field]
        if before == value:
            continue
        if field == "encoder_sha256":
            raise InputError(
                f"{place} holds latents of another VAE (hash {before[:12]}…, the teacher's is {value[:12]}…);"
                f" {remedy}"
            )
        raise InputError(f"{place} was made with {field} {before}, and the recipe has {value}; {remedy}")
