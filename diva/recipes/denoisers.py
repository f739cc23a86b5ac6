"""What a recipe may say about the denoiser; `type` is the name of its module in `diva/denoisers/`.

Nothing here imports torch.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from diva.recipes.section import Section, Triple

Even = Annotated[int, Field(gt=0, multiple_of=2)]


class LatentSection(Section):
    """Fields of every denoiser of a VAE's latents."""

    makes: ClassVar[str | None] = None  # the field that asks for new weights in place of the folder's
    any_size: ClassVar[bool] = True  # whether its network reads images of other sizes than its own

    path: str = Field(description="diffusers folder")
    latents: Literal["mean", "sample"] = Field(
        default="mean", description="of the VAE's posterior; a sample is drawn again every time"
    )
    image_scale: Triple | None = Field(
        default=None,
        description="for red, green and blue: the VAE sees scale * x + shift, with x in 0..1; null for 2",
    )
    image_shift: Triple | None = Field(default=None, description="see image_scale; null for -1")


class DdpmSection(LatentSection):
    """Fields of every denoiser with a schedule of timesteps."""

    timesteps: tuple[int, int] = Field(default=(0, 1000), description="drawn uniformly from [first, last)")


class StableDiffusion(DdpmSection):
    """A diffusers Stable Diffusion folder, 1.x or 2.x."""

    type: Literal["stable_diffusion"] = "stable_diffusion"


class StableDiffusionXl(DdpmSection):
    """A diffusers Stable Diffusion XL folder."""

    type: Literal["stable_diffusion_xl"] = "stable_diffusion_xl"


class Unclip(DdpmSection):
    """A diffusers Stable unCLIP folder, whose UNet reads a noised image embedding (un²CLIP)."""

    makes: ClassVar[str | None] = "fit_images"
    type: Literal["unclip"] = "unclip"
    fit_images: int | None = Field(
        default=None,
        gt=1,
        description="make a new decoder for the tower from a Stable Diffusion folder and fit its normaliser to"
        " this many images; null to read a complete Stable unCLIP folder",
    )
    noise_levels: int = Field(
        default=1000, gt=0, description="noise levels of the image embedding, drawn uniformly from 0 up to this"
    )


class Dit(DdpmSection):
    """A diffusers DiT folder, whose class embedding the condition replaces."""

    any_size: ClassVar[bool] = False
    type: Literal["dit"] = "dit"


class FlowTransformer(Section):
    """Sizes of a FLUX-style transformer; the defaults are GenHancer's."""

    double_blocks: int = Field(default=2, gt=0, description="blocks with separate weights for text and image")
    single_blocks: int = Field(default=4, ge=0, description="blocks that share weights for both")
    heads: int = Field(default=24, gt=0, description="attention heads in every block")
    rotary: tuple[Even, Even, Even] = Field(
        default=(16, 56, 56),
        description="parts of a head's width that encode index, row and column; their sum is the width",
    )
    token_width: int = Field(default=4096, gt=0, description="width of the text tokens that it reads")
    vector_width: int = Field(default=768, gt=0, description="width of the vector that it reads")


class RectifiedFlow(LatentSection):
    """A small FLUX-style transformer in the latents of a FLUX folder's VAE (GenHancer)."""

    makes: ClassVar[str | None] = "transformer"
    type: Literal["rectified_flow"] = "rectified_flow"
    transformer: FlowTransformer | None = Field(
        default=None, description="make one of these sizes with random weights; null to read the folder's"
    )
    timestep_std: float = Field(
        default=1.0, gt=0, description="std in t = sigmoid(std * normal), where t = 1 is pure noise"
    )
    guidance: float = Field(default=4.0, description="guidance scale given to the transformer")


AnyDenoiser = Annotated[
    StableDiffusion | StableDiffusionXl | Unclip | Dit | RectifiedFlow, Field(discriminator="type")
]
