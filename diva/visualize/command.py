"""`diva visualize`: pictures of what training changed."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text
from torch import Tensor

from diva.atomic import check_files_in, write_json
from diva.errors import Changed, Invalid, Mismatch
from diva.progress import phase
from diva.results import Subject, read_result
from diva.run_folder import RunFolder
from diva.towers import Clip, load_clip
from diva.towers.tower import TowerTokens
from diva.visualize.choose import Chosen, choose, find_images, is_right, similarities, statements
from diva.visualize.index import INDEX, Drawing, Index, ShownPair, View
from diva.visualize.maps import token_maps
from diva.visualize.pictures import open_image, patch_image, rgb_image, save, seen_image
from diva.visualize.teacher import Teacher


def visualize(
    result: Path,
    out: Path,
    *,
    data: Path | None,
    run: Path | None,
    pairs: int,
    steps: int,
    guidance: float,
    seed: int,
    device: torch.device,
) -> None:
    """Write pictures and their index into the folder `out`; `diva report` shows them.

    Args:
        result: what `diva bench mmvp --against ... --out` wrote; it names the towers.
        data: the MMVP-VLM folder; the result's unless given.
        run: the training run whose teacher draws each image from the towers' conditions; None for no drawing.
        pairs: how many pairs are shown, those that changed first.
        steps, guidance, seed: of the drawing.
        device: where towers and teacher work.

    Raises:
        InputError: an option, the result, a tower, an image or `out` cannot be used.
        RunError: `out` cannot be written to.
    """
    for option, value in (("--pairs", pairs), ("--steps", steps)):
        if value < 1:
            raise Invalid(option, f"{value} is too few; give 1 or more")
    check_files_in(out, INDEX)
    measured = read_result(result)
    chosen = choose(measured, pairs)
    assert measured.baseline is not None  # choose has seen to it
    folder = data or Path(measured.data.path)
    files = [file for pair in chosen for file in find_images(folder, pair.after.id)]
    before, after = (_load(subject, device) for subject in (measured.baseline.subject, measured.subject))
    if before.tower.patches != after.tower.patches or before.tower.width != after.tower.width:
        raise Mismatch(result, "the patch tokens of its two towers differ; compare a tower with its own base")
    after.tower.require_patches(str(result))
    pixels = [_pixels(clip, files) for clip in (before, after)]
    tokens = [_encode(clip, seen, device) for clip, seen in zip((before, after), pixels, strict=True)]
    maps = token_maps(tokens[0].patches.cpu(), tokens[1].patches.cpu())
    drawing, drawn = None, []
    if run is not None:
        teacher = Teacher(RunFolder(run), after.tower, device)
        drawing = Drawing(
            recipe=teacher.recipe.name, teacher=teacher.path, steps=steps, guidance=guidance, seed=seed
        )
        drawn = [teacher.draw(each, steps=steps, guidance=guidance, seed=seed).cpu() for each in tokens]
    views = [
        View(
            picture=save(seen_image(pixels[1][number], after.input), out, f"{number}-picture"),
            map_before=save(patch_image(maps.before[number], before.input.size), out, f"{number}-map-before"),
            map_after=save(patch_image(maps.after[number], after.input.size), out, f"{number}-map-after"),
        )
        for number in range(len(files))
    ]
    for number, view in enumerate(views if drawn else ()):
        view.drawn_before = save(rgb_image(drawn[0][number]), out, f"{number}-drawn-before")
        view.drawn_after = save(rgb_image(drawn[1][number]), out, f"{number}-drawn-after")
    index = Index(
        before=measured.baseline.subject.label,
        before_sha256=before.sha256,
        after=measured.subject.label,
        after_sha256=after.sha256,
        explained=maps.explained,
        drawing=drawing,
        pairs=[_shown(pair, views[2 * number], views[2 * number + 1]) for number, pair in enumerate(chosen)],
    )
    write_json(index, out / INDEX)
    changed = sum(pair.changed for pair in chosen)
    said = f"{len(chosen)} pairs, {changed} of which changed: {out / INDEX}; `diva report` shows it"
    Console().print(Text(said), soft_wrap=True)


def _load(subject: Subject, device: torch.device) -> Clip:
    clip = load_clip(subject.source, cached_only=True)
    if clip.sha256 != subject.sha256:
        raise Changed(subject.source, "is not the tower that was measured; measure it again")
    clip.model.to(device)
    return clip


def _pixels(clip: Clip, files: Sequence[Path]) -> Tensor:
    transform = clip.input.image_transform()
    return torch.stack([transform(open_image(file)) for file in files])


@torch.no_grad()
@phase("encoding pictures")
def _encode(clip: Clip, pixels: Tensor, device: torch.device) -> TowerTokens:
    return clip.tower(pixels.to(device))


def _shown(pair: Chosen, first: View, second: View) -> ShownPair:
    return ShownPair(
        id=pair.after.id,
        pattern=pair.after.group,
        statements=statements(pair.after),
        before=similarities(pair.before),
        after=similarities(pair.after),
        right_before=is_right(pair.before),
        right_after=is_right(pair.after),
        views=(first, second),
    )
