"""What a cache was made from and with: a cache of anything else is stale, and refused."""

from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diva.atomic import write_json
from diva.documents import FileName, parse_model, read_file
from diva.errors import Changed, Damaged, InputError, Invalid, Occupied
from diva.towers.preprocess import TowerInput

INDEX = "index.json"
# what the hash in a field of this name is of
HASHED = {
    "encoder_sha256": "VAE",
    "teacher_sha256": "teacher",
    "tower_sha256": "tower",
    "statements_sha256": "list of statements",
}


class Kind(NamedTuple):
    """What is cached, in the words of messages.

    Attributes:
        content: latents, say; `cache` is what holds them.
        field: of the recipe, which names the cache's folder; `verb` writes one, `elsewhere` is what else helps.
    """

    content: str
    cache: str
    field: str
    verb: str
    elsewhere: str = ""

    @property
    def remedy(self) -> str:
        """What to do about a cache of something else."""
        return f"run '{self.verb}' into another folder{self.elsewhere}"


class Made(BaseModel):
    """What a run's images go through before a cache takes over; a kind of cache adds what it depends on.

    Attributes:
        image_size: side of the square crop in pixels.
        crop_scale: share of the area that a crop keeps.
        tower_size: (height, width) of the tower's input in pixels.
        interpolation, antialias: how the crop is brought to that size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int
    crop_scale: tuple[float, float]
    tower_size: tuple[int, int]
    interpolation: str
    antialias: bool

    @classmethod
    def of(cls, tower: TowerInput, image_size: int, crop_scale: tuple[float, float], **further: Any) -> Self:
        """Return what a run needs whose tower sees `tower`; `further` are the fields that a kind of cache adds."""
        return cls(
            **further,
            image_size=image_size,
            crop_scale=crop_scale,
            tower_size=tower.size,
            interpolation=tower.interpolation,
            antialias=tower.antialias,
        )


M = TypeVar("M", bound=Made)


class CacheIndex(BaseModel, Generic[M]):
    """The file `index.json` of a cache.

    Attributes:
        kind: what is cached.
        made: what the images went through.
        crop_seed: of the crops.
        crops: of each image; pass e of a run reads crop e mod `crops`.
        pixels: how the tower's input is stored: "uint8" rounds it to 8 bits, "jpeg" compresses it besides.
        source, fingerprint: the images, as the user named them, and the SHA-256 over their files' names and sizes.
        shards: the cache's files; it is complete when all of them are there.
    """

    kind: ClassVar[Kind]
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[2] = 2
    made: M
    crop_seed: int
    crops: int = Field(gt=0)
    pixels: Literal["uint8", "jpeg"]
    source: str
    fingerprint: str
    shards: tuple[FileName, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the index of the cache in `folder`.

        Raises:
            InputError: there is none, or it is damaged.
        """
        path = folder / INDEX
        try:
            return parse_model(read_file(path), cls)
        except InputError as error:
            raise Invalid(
                path, f"is not the index of {cls.kind.cache}; write one with '{cls.kind.verb}'"
            ) from error
        except ValidationError as error:
            field = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
            raise Damaged(path, f"{field} is damaged; delete the cache and write it again") from error

    def write(self, folder: Path) -> None:
        """Write the index into `folder`; an existing one must be equal, so that only its own cache goes on.

        Raises:
            InputError: the folder holds another cache.
            RunError: the place cannot be written to.
        """
        path = folder / INDEX
        if path.is_file():
            self._refuse_other(self.read(folder), folder)
            return
        write_json(self, path)

    def refuse_stale(self, wanted: M, field: str, folder: Path, remedy: str) -> None:
        """Raise InputError, naming the first field that differs, unless this cache is of what is `wanted`."""
        made = self.made.model_dump()
        for name, value in wanted.model_dump().items():
            before = made[name]
            if before == value:
                continue
            if name in HASHED:
                raise Changed(
                    field,
                    folder,
                    f"holds {self.kind.content} of another {HASHED[name]} (hash {before[:12]}…, the recipe's is"
                    f" {value[:12]}…); {remedy}",
                )
            raise Changed(field, folder, f"was made with {name} {before}, and the recipe has {value}; {remedy}")

    def _refuse_other(self, there: Self, folder: Path) -> None:
        there.refuse_stale(self.made, "--out", folder, "choose another --out")
        mine, its = self.model_dump(), there.model_dump()
        for field, value in mine.items():
            if its[field] != value:
                raise Occupied("--out", folder, f"holds a cache with another {field}; choose another --out")
