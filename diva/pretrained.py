"""`from_pretrained` of transformers, diffusers and peft, for local folders: the one place that calls it.

Transformers' models are also saved here, without its bars.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diva.documents import MAX_BYTES, read_json
from diva.errors import Damaged, InputError, first_line

SHOWN = 3
MAX_LAYERS = 512  # that a configuration may ask for: building more takes for ever, before any tensor is missed
DOCUMENTS = (".json", ".jinja", ".model", ".txt")  # a tokenizer's have a few MB
WEIGHTS = ("model", "diffusion_pytorch_model", "pytorch_model")  # stems of weights files, of a variant or not


def load_pretrained(
    reader: Any, folder: Path, part: str = "", *, field: tuple[str, ...] = (), exact: bool = False, **options: Any
) -> Any:
    """Return what `reader.from_pretrained` makes of a local folder: no network, no code from the folder.

    For a model every tensor comes from the file: `from_pretrained` fills in what is missing at random.

    Args:
        reader: a class of transformers or diffusers.
        folder: what a user named.
        part: the folder in it, for a diffusers pipeline.
        field: the options or fields that name the folder, such as ("denoiser.path",).
        exact: also refuse tensors that the model does not have.
        options: of the reader.

    Raises:
        InputError: it cannot be read, or tensors of a model are missing or of another shape.
    """
    place = folder / part
    check_files(place, field)
    options |= {"subfolder": part, "local_files_only": True}
    if reader.__module__.startswith("transformers."):  # diffusers and peft have no such option
        options["trust_remote_code"] = False
    try:
        if not (hasattr(reader, "load_state_dict") or hasattr(reader, "_model_mapping")):  # which an AutoModel has
            found = reader.from_pretrained(folder, **options)  # a tokenizer, a processor, a scheduler
            check_vocabulary(found, place, field)
            return found
        with _silent(reader):
            model, info = reader.from_pretrained(folder, output_loading_info=True, **_variant(place), **options)
    except InputError:
        raise
    except Exception as error:  # a damaged folder makes these libraries raise anything
        raise Damaged(*field, place, f"cannot be loaded ({first_line(error)}); fetch it again") from error
    lacking = sorted(info["missing_keys"]) or sorted(str(each) for each in info.get("mismatched_keys", ()))
    if lacking:
        raise Damaged(*field, place, f"has no weights for {_counted(lacking)}; fetch it again")
    if exact and info["unexpected_keys"]:
        extra = _counted(sorted(info["unexpected_keys"]))
        raise Damaged(*field, place, f"has weights for {extra} that its config.json lacks; fetch it again")
    return model


def save_pretrained(model: Any, folder: Path, **options: Any) -> None:
    """Write a model of transformers into `folder`; `options` are those of its own method."""
    with _silent(type(model)):
        model.save_pretrained(folder, **options)


@contextmanager
def _silent(reader: Any) -> Iterator[None]:
    """Keep the bars and remarks of transformers, whose models these are, out of ours."""
    if not reader.__module__.startswith("transformers."):
        yield
        return
    from transformers.utils import logging

    from diva.towers.quiet import quiet  # whose package imports this module

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with quiet("transformers"):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_files(folder: Path, field: tuple[str, ...] = ()) -> None:
    """Check that what lies in a folder can be read, and its configurations built, before a library tries to.

    Raises:
        InputError: it is not there, holds a FIFO, a device or a broken link, a document that is too large, or a
                damaged configuration.
    """
    if not folder.is_dir():
        raise Damaged(*field, folder, "no such folder; fetch it again")
    for path in sorted(folder.iterdir()):
        if not (path.is_file() or path.is_dir()):  # which a tokenizer or a processor would do without, in silence
            raise Damaged(*field, path, "is not a file that can be read; fetch it again")
        if path.suffix in DOCUMENTS and path.stat().st_size > MAX_BYTES:
            raise Damaged(*field, path, f"has more than the {MAX_BYTES:,} bytes that it may have; fetch it again")
        if path.name.endswith("config.json"):
            _check_config(path, read_json(path), field)


def check_vocabulary(tokenizer: Any, folder: Path, field: tuple[str, ...] = ()) -> None:
    """Check that a tokenizer was read from a file: without one transformers makes an empty one.

    Raises:
        InputError: the folder has no vocabulary.
    """
    names = getattr(tokenizer, "vocab_files_names", {}).values()
    found = (folder / name for name in names)
    if names and not any(path.is_file() and path.stat().st_size for path in found):
        raise Damaged(*field, folder, f"has no vocabulary ({' or '.join(sorted(names))}); fetch it again")


def _counted(names: list[str]) -> str:
    return f"{len(names)} tensors ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"


def _check_config(path: Path, config: Any, field: tuple[str, ...]) -> None:
    if not isinstance(config, dict):  # diffusers would take a text for the name of a repository, and fetch it
        raise Damaged(*field, path, "is not a configuration; fetch it again")
    for name, value in config.items():
        if isinstance(value, dict):
            _check_config(path, value, field)
        elif "layer" in name and isinstance(value, int) and value > MAX_LAYERS:
            raise Damaged(*field, path, name, f"{value} is more than {MAX_LAYERS}; fetch it again")


def _variant(folder: Path) -> dict[str, str]:
    """Return the option that names the files' variant, where every file of weights is of the same one (fp16)."""
    found = {
        path.name.split(".")[1].split("-")[0] if path.name.split(".")[1] not in ("safetensors", "bin") else ""
        for path in folder.iterdir()
        if path.name.endswith((".safetensors", ".bin")) and path.name.startswith(WEIGHTS)
    }
    variant = found.pop() if len(found) == 1 else ""
    return {"variant": variant} if variant and variant != "index" else {}
