"""Sending an exported folder to the hub."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from diva.errors import Invalid, Unreachable, first_line

# of the HTTP library below huggingface_hub, which is another one from version to version
TRANSPORT_ERRORS = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))


def push_to_hub(folder: Path, name: str, *, endpoint: str | None = None) -> str:
    """Upload `folder` as the model repository `name`, made if there is none, and return its address.

    Args:
        name: `owner/repository`, or `repository` for the user's own.
        endpoint: of the hub; huggingface_hub's own unless given.

    Raises:
        InputError: `name` is no repository name.
        RunError: the hub cannot be reached or refuses.
    """
    api = HfApi(endpoint=endpoint)
    try:
        repository = api.create_repo(name, exist_ok=True).repo_id
        commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export from diva")
    except HFValidationError as error:
        raise Invalid("--push-to-hub", f"'{name}' is no repository name; write owner/repository") from error
    except HfHubHTTPError as error:
        raise Unreachable(
            "--push-to-hub", f"the hub refused ({first_line(error)}); log in with 'hf auth login'"
        ) from error
    except TRANSPORT_ERRORS as error:
        reason = type(error).__name__
        raise Unreachable("--push-to-hub", f"the hub cannot be reached ({reason}); {folder} is complete") from error
    return str(commit.repo_url)
