"""A tower with what it has encoded before: image and text embeddings, computed once for all benchmarks."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from diva.digest import tensors_sha256
from diva.errors import Failed, OutOfMemory
from diva.progress import phase, steps
from diva.towers import Clip
from diva.towers.activation import activation_of
from diva_benchmarks.fingerprint import hash_lines
from diva_benchmarks.stored_image import StoredImage
from diva_benchmarks.tensor_cache import TensorCache

TEMPERATURE = ("logit_scale", "logit_bias")  # they scale similarities and are part of neither tower
TOKENISED = 100  # texts whose tokens tell tokenizers apart; the tokens of 25,000 captions take ten seconds
AHEAD = 2  # batches that are decoded while another is encoded


def finite(embeddings: Tensor, source: str) -> Tensor:
    """Return `embeddings`, which the tower that lies at `source` made.

    Raises:
        RunError: one of them is NaN or infinite.
    """
    if not torch.isfinite(embeddings).all():
        raise Failed(source, "the tower's embeddings are not finite numbers; its weights are damaged")
    return embeddings


@dataclass(frozen=True)
class Encoder:
    """Encodes in float32 through the cache.

    Attributes:
        clip: a model in `eval()`, on the device that it shall use.
        cache: where embeddings are looked for and kept.
        batch: images, or texts, that are encoded at once.
    """

    clip: Clip
    cache: TensorCache
    batch: int

    @cached_property
    def image_tower(self) -> str:
        """SHA-256 of what decides an image's embedding: weights, activation, architecture, preprocessing."""
        facts = [self.clip.config["vision_cfg"], activation_of(self.clip.model), asdict(self.clip.input)]
        return self._hash(facts, image=True)

    @cached_property
    def text_tower(self) -> str:
        """SHA-256 of what decides a text's embedding; towers whose text side stayed frozen share it."""
        return self._hash([self.clip.config["text_cfg"], activation_of(self.clip.model)], image=False)

    def images(self, images: Sequence[StoredImage], fingerprint: str, title: str) -> Tensor:
        """Return the pooled embeddings of `images` [N, D], float32 on the CPU, before L2 normalisation.

        Args:
            fingerprint: of the images; it stands for them in the cache.
            title: what they are, for the progress.

        Raises:
            InputError: an image cannot be decoded; the sentence names it.
            RunError: the device's memory or the cache does not hold them, or they are not finite numbers.
        """
        what = f"{title}: image embeddings of {self.clip.source}"
        found = self.cache.get(
            "images", self.image_tower, fingerprint, what, lambda: self._encode(list(images), title)
        )
        return finite(found, self.clip.source)

    def texts(self, texts: Sequence[str], title: str) -> Tensor:
        """Return the embeddings of `texts` [N, D], float32 on the CPU, before L2 normalisation."""

        def compute() -> Tensor:
            with phase(f"{title}, texts", len(texts)) as current:
                found = []
                for at in range(0, len(texts), self.batch):
                    found.append(self.clip.encode_text(texts[at : at + self.batch]).float().cpu())
                    current.advance(self.batch)
                return torch.cat(found)

        what = f"{title}: text embeddings of {self.clip.source}"
        found = self.cache.get("texts", self.text_tower, self.text_hash(texts), what, compute)
        return finite(found, self.clip.source)

    def text_hash(self, texts: Sequence[str]) -> str:
        """Return the SHA-256 of `texts` and, for the tokenizer, of the tokens of the first ones."""
        tokens = self.clip.tokenizer(list(texts[:TOKENISED]))
        return hash_lines([tensors_sha256({"": tokens}), *texts])

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.clip.model.parameters()).device

    @torch.inference_mode()
    def _encode(self, images: list[StoredImage], title: str) -> Tensor:
        found = []
        batches = -(-len(images) // self.batch)
        try:
            for pixels in steps(self._pixels(images), f"{title}, images", batches):
                found.append(self.clip.model.encode_image(pixels.to(self.device)).float().cpu())
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("--batch", f"{self.batch} images do not fit into {self.device}; lower it") from error
        return torch.cat(found)

    def _pixels(self, images: list[StoredImage]) -> Iterator[Tensor]:
        """Yield batches [B, 3, H, W]; threads decode ahead, since PIL works without Python's lock."""
        transform = self.clip.input.image_transform()
        waiting: deque[list[Future[Tensor]]] = deque()
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(images), self.batch):
                chunk = images[start : start + self.batch]
                waiting.append([pool.submit(lambda image: transform(image.decode()), image) for image in chunk])
                if len(waiting) > AHEAD:
                    yield torch.stack([each.result() for each in waiting.popleft()])
            for futures in waiting:
                yield torch.stack([each.result() for each in futures])

    def _hash(self, facts: list[Any], *, image: bool) -> str:
        state = {
            name: value
            for name, value in self.clip.model.state_dict().items()
            if name.startswith("visual.") == image and name not in TEMPERATURE
        }
        return tensors_sha256(state, json.dumps(facts, sort_keys=True, default=str))
