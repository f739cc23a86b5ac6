"""`diva llava convert`: the same LLaVA in the other format."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from diva.errors import Missing, Unknown, did_you_mean
from diva.exporting.folder import check_replaceable, complete_folder
from diva_downstream.llava.formats import read_llava, write_original, write_transformers

FORMATS = ("transformers", "original")


def convert(model: Path, out: Path, *, to: str, language_model: Path | None = None) -> None:
    """Write the LLaVA in `model` to `out` as transformers or the original code loads it.

    Args:
        to: "transformers" or "original".
        language_model: for an original folder of a projector or adapters alone.

    Raises:
        InputError: the format is unknown, or the model or `out` cannot be used; nothing has been written then.
    """
    if to not in FORMATS:
        raise Unknown("--to", f"there is no format '{to}'; {did_you_mean(to, FORMATS)}")
    sources = [path for path in (model, language_model) if path]
    check_replaceable(out, *sources)
    llava = read_llava(model, language_model)
    if not (llava.has_tower and llava.has_projector):
        raise Missing(
            model,
            f"has no {'projector' if llava.has_tower else 'tower'} on this machine; put a tower into it"
            " with 'diva llava swap'",
        )
    with complete_folder(out, *sources) as content:
        if to == "original":
            write_original(llava, content, out)
        else:
            write_transformers(llava, content)
    Console(stderr=True).print(Text(f"wrote {out}"), soft_wrap=True)
