"""Small copies of the images about which two models answer differently, for the report."""

from collections import defaultdict
from pathlib import Path

from diva.atomic import replacing
from diva.results import Result
from diva_downstream.llava.evaluation.benchmarks import Benchmark, Questions
from diva_downstream.llava.tasks.source import Document

SHOWN = 12  # items, those that changed most
SIDE = 224  # pixels that the longer side of a copy has at most


def with_pictures(benchmark: Benchmark, questions: Questions, result: Result, out: Path) -> Result:
    """Write the images of the items that changed most into `out`, and return the result with their names.

    Raises:
        RunError: a file cannot be written to.
    """
    if result.baseline is None:
        return result
    before = {item.id: item.outcome for item in result.baseline.items}
    change = {item.id: abs(item.outcome - before.get(item.id, item.outcome)) for item in result.items}
    chosen = sorted((name for name, size in change.items() if size), key=lambda name: -change[name])[:SHOWN]
    asked: dict[str, list[Document]] = defaultdict(list)
    for document in questions.documents:
        asked[benchmark.item(document)].append(document)
    names = {
        name: _write(benchmark, asked[name], out, f"{benchmark.name}.{number}")
        for number, name in enumerate(chosen, start=1)
    }
    items = [item.model_copy(update={"pictures": names.get(item.id, [])}) for item in result.items]
    return result.model_copy(update={"items": items})


def _write(benchmark: Benchmark, documents: list[Document], out: Path, start: str) -> list[str]:
    """Write each image once, however often it was asked about, and return the files' names."""
    once = {  # a table holds many images
        (document["file"], document.get("row"), *document.get("columns", ())): document for document in documents
    }
    images = [image for document in once.values() for image in benchmark.pictures(document)]
    names = [f"{start}-{number}.png" for number in range(1, len(images) + 1)]
    for image, name in zip(images, names, strict=True):
        copy = image.copy()
        copy.thumbnail((SIDE, SIDE))
        with replacing(out / name) as temporary:
            copy.save(temporary, format="PNG")
    return names
