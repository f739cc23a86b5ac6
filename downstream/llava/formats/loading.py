"""Loading through transformers, from this machine alone, with every tensor in its place."""

from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from diva.documents import read_file
from diva.errors import Damaged, InputError, Unsupported, first_line, install
from diva.pretrained import load_pretrained
from diva.progress import phase
from diva.towers.quiet import quiet

SENTENCEPIECE = "tokenizer.model"  # the original code wants it; transformers does not write it
# spaces in runs, at line starts, before digits and beside other scripts: where conversions have differed
PROBE = "a  b   c    d\n        e 漢  é\t12 345 x=  3.      The end"


@phase("loading the language model")
def load_model(kind: Any, folder: Path, **options: Any) -> PreTrainedModel:
    """Load a model of the class `kind` in the dtype that its configuration names, on the CPU, in `eval()`.

    Args:
        options: of `from_pretrained`.

    Raises:
        InputError: files are missing or damaged, or do not hold exactly this model's tensors.
    """
    # transformers warns of what does not fit and continues with random numbers; here that is an error
    with quiet("transformers"):
        model: PreTrainedModel = load_pretrained(
            kind, folder, exact=True, dtype="auto", ignore_mismatched_sizes=True, **options
        )
    return model.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a language model.

    Raises:
        InputError: its files or packages to read them are missing, or it is damaged, one without offsets, or
            made of a `tokenizer.model` and not equal to it.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = load_pretrained(AutoTokenizer, folder, field=("tokenizer",))
    except InputError as error:
        raise type(error)(
            *error.where, f"{error.args[-1]}; if it is a tokenizer.model, {install('llava')}, brings its reader"
        ) from error
    if not tokenizer.is_fast:
        raise Unsupported(folder, "has a tokenizer without character offsets; add its tokenizer.json")
    if (folder / SENTENCEPIECE).is_file() and not (folder / "tokenizer.json").is_file():
        _check_conversion(tokenizer, folder / SENTENCEPIECE)
    return tokenizer


def _check_conversion(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Check that the fast tokenizer that transformers made of a `tokenizer.model` gives SentencePiece's ids."""
    from sentencepiece import SentencePieceProcessor  # an extra, which was needed to make it

    try:
        theirs = SentencePieceProcessor(model_proto=read_file(path)).encode(PROBE)
    except RuntimeError as error:  # SentencePiece's own, for a damaged file that transformers still reads
        raise Damaged(path, f"cannot be read ({first_line(error)}); fetch it again") from error
    if tokenizer(PROBE, add_special_tokens=False)["input_ids"] != theirs:
        raise Unsupported(
            path, "the installed transformers turns it into a tokenizer of other ids; add its tokenizer.json"
        )


def load_image_processor(folder: Path) -> Any:
    """Load the image processor of a LLaVA with the back end that computes what LLaVA's own code computes: PIL's.

    Training and evaluation both read it here; transformers' default resizes by torchvision, to other pixels.

    Raises:
        InputError: its files are missing or damaged.
    """
    return load_pretrained(AutoImageProcessor, folder, field=("image processor",), backend="pil")
