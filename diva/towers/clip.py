"""A whole CLIP model: by zoo name or architecture, or from any file or folder that holds one."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import CLIP, CustomTextCLIP
from torch import Tensor, nn

from diva.compat import image_text_models
from diva.errors import Damaged, Invalid, Mismatch, Missing, NotInstalled, Unsupported, first_line, install, is_full
from diva.pretrained import check_files, check_vocabulary
from diva.progress import phase
from diva.tower_names import check_tower
from diva.towers.activation import activation_in, activation_of
from diva.towers.build import build_image_only, build_model, fitted, load_strictly
from diva.towers.checkpoint import weights_sha256
from diva.towers.formats import TowerSource, read_tower
from diva.towers.formats.source import UNKNOWN
from diva.towers.hub import fetch
from diva.towers.image_only import ImageOnly
from diva.towers.preprocess import TowerInput
from diva.towers.tower import Tower
from diva.towers.trunk import Trunk, build_trunk
from diva.towers.zoo import ZOO, usual_preprocess

log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Clip:
    """An image tower with the text tower that it was trained with.

    Attributes:
        model: open_clip's own model, unpatched; `ImageOnly` where the weights have no text tower.
        architecture: open_clip's name, or a description where it has none.
        source: what the user named.
        weights: the file that the weights were read from (of several shards, their index); None for random ones.
        input: the preprocessing that belongs to the weights.
        config: open_clip's model configuration.
        tokenizer_folder: where the tokenizer's files lie, if they came with the weights.
        trunk: the model of timm's that it is, where it is an image tower that had no text tower.
    """

    model: CLIP | CustomTextCLIP | ImageOnly
    architecture: str
    source: str
    weights: Path | None
    input: TowerInput
    config: dict[str, Any]
    tokenizer_folder: Path | None = None
    trunk: Trunk | None = None

    @cached_property
    def tower(self) -> Tower:
        """The image side, reading tokens in the joint space.

        Raises:
            InputError: its kind has no patch tokens there.
        """
        return Tower(self.model.visual)

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower beside the image tower."""
        return not isinstance(self.model, ImageOnly)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights file; of several shards, that of their hashes; "random" where there is none."""
        return weights_sha256(self.weights) if self.weights else "random"

    @cached_property
    def tokenizer(self) -> Callable[[Sequence[str]], Tensor]:
        """open_clip's tokenizer for this model: texts → [B, context length] int64.

        Raises:
            InputError: there is no text tower, its vocabulary is neither beside the weights nor on this machine, or
                packages that read it are missing.
        """
        self.require_text()
        text = self.config["text_cfg"]
        options = {**text.get("tokenizer_kwargs", {}), "context_length": text.get("context_length", 77)}
        if not text.get("hf_tokenizer_name"):
            return open_clip.SimpleTokenizer(**options)
        name = str(self.tokenizer_folder or text["hf_tokenizer_name"])
        if self.tokenizer_folder:
            check_files(self.tokenizer_folder)
        try:
            mode = text.get("tokenizer_mode")
            tokenizer = open_clip.tokenizer.HFTokenizer(
                name, tokenizer_mode=mode, local_files_only=True, trust_remote_code=False, **options
            )
        except ImportError as error:  # a bare SentencePiece model takes two packages that little else here needs
            raise NotInstalled(
                self.source,
                f"the tokenizer in {name} needs sentencepiece and protobuf; {install('llava')}, brings both",
            ) from error
        except OSError as error:
            raise NotInstalled(
                self.source,
                f"the tokenizer of {self.architecture} is not on this machine; put its files"
                f" beside the weights, or fetch it with 'hf download {text['hf_tokenizer_name']}'",
            ) from error
        except Exception as error:  # damaged files, or ones that ask for code of their own
            raise Damaged(name, f"its tokenizer cannot be loaded ({first_line(error)}); fetch it again") from error
        if self.tokenizer_folder:
            check_vocabulary(tokenizer.tokenizer, self.tokenizer_folder)
        if tokenizer.tokenizer.pad_token is None:
            raise Damaged(name, "its tokenizer names no token to fill texts up with; fetch it again")
        return tokenizer

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Encode `texts` to [B, D] in the joint space, before L2 normalisation.

        Raises:
            InputError: there is no text tower.
        """
        tokens = self.tokenizer(list(texts))
        assert not isinstance(self.model, ImageOnly)  # which the tokenizer says in a sentence
        device = next(self.model.parameters()).device
        return self.model.encode_text(tokens.to(device))

    def require_text(self) -> None:
        """Check that there is a text tower.

        Raises:
            InputError: there is none.
        """
        if not self.has_text:
            raise Mismatch(
                self.source,
                "has an image tower alone, and a text tower is needed here; give the whole model"
                " (of --tower, diva bench takes the text from the model that --text-from names)",
            )


@phase("loading the tower")
def load_clip(
    name: str,
    checkpoint: Path | None = None,
    *,
    text_from: str | None = None,
    random_weights: bool = False,
    allow_torchscript: bool = False,
    cached_only: bool = False,
) -> Clip:
    """Load a CLIP model in float32 on the CPU, in `eval()`.

    Args:
        name: a zoo name, an open_clip architecture, a file of weights, a folder of open_clip (with or without
            `local-dir:`), of transformers, of timm or of a training run, or `hf-hub:owner/repository`.
        checkpoint: the weights, for a zoo name or an architecture; the name then decides the activation and
            the preprocessing.
        text_from: name of the whole model whose image tower alone, trained further, `name` holds.
        random_weights: build the architecture without weights, for timing and tests.
        allow_torchscript: also read TorchScript archives, which carry code.
        cached_only: take a model of the hub from this machine alone, for names that no user typed.

    Raises:
        InputError: the name is unknown, or the weights are missing, damaged or of another architecture.
    """
    check_tower(name, "tower.name", _names())
    own = _own_weights(name, cached_only=cached_only)
    if text_from is not None:
        if own is None or checkpoint is not None:
            raise Mismatch(
                "--text-from",
                "needs an image tower alone, and no weights file beside it; give its file, folder or"
                f" hf-hub:owner/repository in place of '{name}'",
            )
        return _with_text_of(text_from, read_tower(own, allow_torchscript=allow_torchscript))
    if own is not None:
        if checkpoint is not None:
            raise Mismatch(checkpoint, f"belongs to a zoo name or an architecture, but {own} has weights")
        source = read_tower(own, allow_torchscript=allow_torchscript)
        return assemble(source, name if name.startswith("hf-hub:") else str(own))
    entry = ZOO.get(name)
    architecture = entry.architecture if entry else name
    if checkpoint is None and not random_weights:
        where = f" (its weights are hf-hub:{entry.hub}; see docs/data.md)" if entry else ""
        raise Missing(name, f"needs a local weights file{where}: --checkpoint, or tower.checkpoint in a recipe")
    config = image_text_models()[architecture]
    if checkpoint is None:
        model = build_model(config, entry.preprocess if entry else {})
        return Clip(
            model=model,
            architecture=architecture,
            source=name,
            weights=None,
            input=TowerInput.of(model),
            config=config,
        )
    source = read_tower(checkpoint, allow_torchscript=allow_torchscript)
    if source.trunk:
        raise Unsupported(
            checkpoint,
            f"holds timm's {source.trunk.architecture} without a text tower, and '{name}' is an"
            " open_clip model; give open_clip's weights, or this path as the tower",
        )
    # weights alone may not say more than their shapes
    fields, doubts = (source.preprocess, source.doubts) if source.config else usual_preprocess(architecture)
    activation, known = activation_in(config), source.activation.removesuffix("_tanh")
    if known not in (UNKNOWN, activation):
        doubts = (f"has {known}, but {architecture} {activation}: every feature is silently wrong", *doubts)
    named = replace(
        source,
        architecture=architecture,
        config=config,
        activation=activation,
        preprocess=entry.preprocess if entry else fields,
        doubts=() if entry else doubts,
    )
    return assemble(named, name)


def assemble(source: TowerSource, name: str) -> Clip:
    """Build the model that `source` describes and fill in its weights, in float32 on the CPU, in `eval()`.

    Raises:
        InputError: the weights do not fit what the configuration says, or there is no configuration.
    """
    if not source.config:
        rest = "" if source.has_text else "; diva bench takes the rest from the whole model that --text-from names"
        raise Invalid(source.path, f"{source.doubts[0]}{rest}")
    for warning in source.doubts:
        log.warning("%s: %s", source.path, warning)
    with torch.device("meta"):  # shapes first: a configuration may ask for any size
        fitted(_build(source), source.state, source.weights)
    model = _build(source)
    load_strictly(model, source.state, source.weights)
    if source.activation == "gelu_tanh":
        _approximate_gelu(model)
    return Clip(
        model=model,
        architecture=source.architecture,
        source=name,
        weights=source.weights,
        input=TowerInput.of(model),
        config=source.config,
        tokenizer_folder=source.tokenizer,
        trunk=source.trunk,
    )


def _build(source: TowerSource) -> CLIP | CustomTextCLIP | ImageOnly:
    try:
        if source.trunk:
            return build_trunk(source.trunk, source.preprocess)
        if source.has_text:
            return build_model(source.config, source.preprocess)
        return build_image_only(source.config, source.preprocess, projected="visual.proj" in source.state)
    except Exception as error:  # open_clip and timm check nothing themselves
        if is_full(error):  # of the temporary file that open_clip reads it from
            raise
        raise Damaged(
            source.path, f"its configuration builds no model ({first_line(error)}); fetch it again"
        ) from error


def _names() -> tuple[str, ...]:
    return (*ZOO, *image_text_models())


def _own_weights(name: str, *, cached_only: bool = False) -> Path | None:
    """Return where the weights lie that `name` says by itself; None for a zoo name or an architecture."""
    if name.startswith("hf-hub:"):
        return fetch(name.removeprefix("hf-hub:"), cached_only=cached_only)
    if name in _names():
        return None
    return Path(name.removeprefix("local-dir:"))


def _with_text_of(name: str, source: TowerSource) -> Clip:
    """Put an image tower that was trained further into the whole model `name`, which it was trained from."""
    if source.has_text:
        raise Mismatch(source.path, "has a text tower of its own; leave out --text-from")
    check_tower(name, "--text-from", _names())
    own = _own_weights(name)
    if own is None:
        raise Missing("--text-from", f"'{name}' has no weights by itself; give the whole model's file or folder")
    base = assemble(read_tower(own), name)
    base.require_text()
    model_input = base.input
    if source.path.is_dir():  # whose configuration knows; of a file alone it is guessed
        if source.activation != activation_of(base.model):
            raise Invalid(
                source.path,
                f"has {source.activation}, and {base.source} {activation_of(base.model)}; name the"
                " model that it was trained from",
            )
        fields = source.preprocess
        model_input = base.input.replace(**fields | {key: tuple(fields[key]) for key in ("mean", "std")})
    text = {key: value for key, value in base.model.state_dict().items() if not key.startswith("visual.")}
    load_strictly(base.model, {**text, **source.state}, source.weights)
    return replace(base, source=f"{base.source} + image tower", weights=source.weights, input=model_input)


def _approximate_gelu(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = "tanh"
