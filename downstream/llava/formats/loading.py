"""Loading through transformers, from this machine alone, with every tensor in its place."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from diva.errors import InputError, install
from diva.towers.misfit import misfit
from diva.towers.quiet import quiet


def load_model(kind: Any, folder: Path) -> PreTrainedModel:
    """Load a model of the class `kind` in the dtype that its configuration names, on the CPU, in `eval()`.

    Raises:
        InputError: files are missing or damaged, or do not hold exactly this model's tensors.
    """
    try:
        # transformers warns of what does not fit and goes on with random numbers; here that is an error
        with quiet("transformers"):
            model, info = kind.from_pretrained(
                folder, dtype="auto", local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be loaded ({_first_line(error)}); fetch it again") from error
    misshapen = [str(entry[0]) for entry in info["mismatched_keys"]]
    problem = misfit(info["missing_keys"], info["unexpected_keys"], misshapen)
    if problem:
        raise InputError(f"{folder}: does not hold what its config.json says: {problem}; fetch it again")
    return model.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a language model.

    Raises:
        InputError: its files or packages to read them are missing, or it is damaged or one without offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise InputError(
            f"{folder}: has no tokenizer that loads ({_first_line(error)}); fetch its files; if it is a"
            f" tokenizer.model, {install('llava')}, brings its reader"
        ) from error
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: has a tokenizer without character offsets; add its tokenizer.json")
    return tokenizer


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
