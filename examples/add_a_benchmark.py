"""A benchmark of your own in one file: does the tower prefer "a bright photo" for bright pictures?

Installed as a package whose pyproject.toml names it, it is a verb of `diva bench` and a section of the report:

    [project.entry-points."diva.tasks"]
    brightness = "add_a_benchmark:TASK"

    diva bench brightness --tower openai-vit-l14-224 --data PICTURES --out result.json
    diva report result.json --out report
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from diva.errors import Missing
from diva.evaluation.statistics import wilson_interval
from diva.results import Clock, DataSource, Item, Metric, Result
from diva.tasks import Settings, TowerTask

if TYPE_CHECKING:
    import torch

    from diva.towers import Clip

TEXTS = ("a dark photo", "a bright photo")


class BrightnessSettings(Settings):
    """Options of `diva bench brightness`."""

    threshold: float = Field(default=0.5, ge=0, le=1, description="mean grey value above which a picture is bright")


class Brightness(TowerTask):
    """Bright and dark pictures of a folder, told apart by text."""

    settings = BrightnessSettings

    def check(self, data: Path, settings: BrightnessSettings) -> None:
        """Say what is missing before a tower is loaded."""
        if not list(data.glob("*.png")):
            raise Missing(data, "contains no .png; give a folder of pictures")

    def measure(
        self,
        clip: "Clip",
        data: Path,
        settings: BrightnessSettings,
        *,
        device: "torch.device",
        batch: int,
    ) -> Result:
        """Score every picture: 1 where the nearer text is the right one."""
        import torch
        from PIL import ImageStat

        from diva.images import read_image
        from diva_benchmarks.fingerprint import fingerprint
        from diva_benchmarks.subject import subject_of

        clock, paths, items = Clock([], str(device)), sorted(data.glob("*.png")), []
        clip.model.to(device)
        texts = torch.nn.functional.normalize(clip.encode_text(list(TEXTS)), dim=-1)
        for path in paths:
            picture = read_image(path)
            pixels = clip.input.image_transform()(picture)[None].to(device)
            with torch.inference_mode():
                image = torch.nn.functional.normalize(clip.tower(pixels).pooled, dim=-1)
            bright = ImageStat.Stat(picture.convert("L")).mean[0] / 255
            right = int((image @ texts.T).argmax()) == int(bright > settings.threshold)
            items.append(Item(id=path.name, group="all", outcome=float(right), details={"brightness": bright}))
        share = sum(item.outcome for item in items) / len(items)
        low, high = wilson_interval(share, len(items))
        return Result(
            task=self.name,
            headline="accuracy",
            settings={"threshold": settings.threshold},
            subject=subject_of(clip),
            data=DataSource(
                name=data.name, path=str(data), fingerprint=fingerprint(data, paths, None), items=len(items)
            ),
            metrics={
                "accuracy": Metric(
                    value=100 * share, unit="percent", n=len(items), interval=(100 * low, 100 * high)
                )
            },
            items=items,
            run=clock.stop(),
        )


TASK = Brightness("brightness", "Brightness")
