"""Fetching a tower's repository from the hub, or from its cache where there is no network."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from diva.errors import Invalid, Missing
from diva.towers.formats.open_clip_folder import CONFIG
from diva.towers.formats.open_clip_folder import WEIGHT_FILES as OPEN_CLIP_FILES

SMALL = ["*.json", "*.txt", "*.model"]  # configurations and tokenizers
TRANSFORMERS_FILES = ("model*.safetensors", "pytorch_model*.bin")


def fetch(repository: str, *, cached_only: bool = False) -> Path:
    """Return a local folder with the tower of `owner/repository`.

    Only what is read is downloaded; with `cached_only` nothing is.

    Raises:
        InputError: there is no such repository, or it is not in the cache and cannot, or must not, be fetched.
    """
    try:
        folder = Path(snapshot_download(repository, allow_patterns=SMALL, local_files_only=cached_only))
        names = OPEN_CLIP_FILES if (folder / CONFIG).is_file() else TRANSFORMERS_FILES
        for name in names:
            snapshot_download(repository, allow_patterns=[name], local_files_only=cached_only)
            if any(folder.glob(name)):
                break
    except HFValidationError as error:
        raise Invalid(f"hf-hub:{repository}", "is no repository name; write owner/repository") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Missing(
            f"hf-hub:{repository}",
            f"cannot be fetched ({type(error).__name__}) and is not in the cache; download it"
            " where there is a network and give its folder",
        ) from error
    return folder
