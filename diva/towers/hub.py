"""Fetching a tower's repository from the hub, or from its cache where there is no network."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from diva.errors import InputError
from diva.towers.formats.open_clip_folder import CONFIG
from diva.towers.formats.open_clip_folder import WEIGHT_FILES as OPEN_CLIP_FILES

SMALL = ["*.json", "*.txt", "*.model"]  # configurations and tokenizers
TRANSFORMERS_FILES = ("model*.safetensors", "pytorch_model*.bin")


def fetch(repository: str) -> Path:
    """Return a local folder with the tower of `owner/repository`, downloading only what is read.

    Raises:
        InputError: there is no such repository, or no network and nothing in the cache.
    """
    try:
        folder = Path(snapshot_download(repository, allow_patterns=SMALL))
        names = OPEN_CLIP_FILES if (folder / CONFIG).is_file() else TRANSFORMERS_FILES
        for name in names:
            snapshot_download(repository, allow_patterns=[name])
            if any(folder.glob(name)):
                break
    except HFValidationError as error:
        raise InputError(f"hf-hub:{repository}: is no repository name; write owner/repository") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"hf-hub:{repository}: cannot be fetched ({type(error).__name__}) and is not in the cache; download it"
            " where there is a network and give its folder"
        ) from error
    return folder
