"""A base: the folder of a miniature CLIP, its teacher and its decoder."""

from pathlib import Path


class Base:
    """What `diva miniworld pretrain` writes.

    Attributes:
        path: of the folder.
        clip: an open_clip folder.
        teacher: a Stable Diffusion of diffusers'.
        decoder: a Stable unCLIP of diffusers', un²CLIP's first stage for this CLIP.
        recipe: how they were trained, with gates and hashes; written last.
    """

    def __init__(self, path: Path) -> None:
        """Name what lies, or is to lie, in `path`."""
        self.path, self.recipe = path, path / "recipe.json"
        self.clip, self.teacher, self.decoder = path / "clip", path / "teacher", path / "decoder"


SHIPPED = Base(Path(__file__).parent / "bases" / "0")
