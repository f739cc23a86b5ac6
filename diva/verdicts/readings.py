"""What a tower reads in images: the frozen text tower's statements, and how near an image lies to each."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from diva.progress import steps
from diva.towers import Clip
from diva.verdicts.statements import Statements

SPANNED = 0.99


class Readings:
    """The statements of a list in the joint space of one model; the text tower is asked once, here.

    Attributes:
        statements: the list.
    """

    def __init__(self, statements: Statements, clip: Clip, device: torch.device) -> None:
        """Embed every statement with the text tower of `clip`, on `device`, where everything stays that is kept.

        Raises:
            InputError: `clip` has no text tower.
        """
        self.statements = statements
        place = next(clip.model.parameters()).device
        clip.model.to(device)
        groups = steps(statements.groups, "embedding the groups of statements")
        self._tables = {name: self._embedded(name, clip) for name in groups}
        self._scale = clip.model.get_parameter("logit_scale").detach().exp().to(device, copy=True)
        clip.model.to(place)

    def logits(self, pooled: Tensor, known: Tensor | None = None) -> Tensor:
        """Return CLIP's logits [B, A] of images' embeddings `pooled` [B, D] over the alternatives of each group.

        They are in the model's own dtype. A statement that names another group holds that group's likeliest
        alternative by the logits `known` [B, A], or by these ones.
        """
        image = self._scale * normalize(pooled.to(self._scale.dtype), dim=-1)
        found: list[Tensor] = []
        for name, table in self._tables.items():
            other = self.statements.other(name)
            if other is None:
                found.append(image @ table[0].T)
                continue
            read = torch.cat(found, dim=1) if known is None else known
            chosen = table[read[:, self.statements.spans[other]].argmax(dim=1)]
            found.append((chosen @ image.unsqueeze(2)).squeeze(2))
        return torch.cat(found, dim=1)

    def directions(self) -> Tensor:
        """Return the directions [K, D] in which the statements of judged groups differ, orthonormal.

        They hold `SPANNED` of the squared length of all differences between a statement and its group's mean.
        """
        tables = [self._tables[name] for name in self.statements.judged]
        differences = torch.cat([(table - table.mean(dim=1, keepdim=True)).flatten(0, 1) for table in tables])
        _, lengths, found = torch.linalg.svd(differences, full_matrices=False)
        spanned = lengths.square().cumsum(0) / lengths.square().sum()
        return found[: int((spanned < SPANNED).sum()) + 1]

    def _embedded(self, name: str, clip: Clip) -> Tensor:
        """Return the normalised embeddings [N, A, D] of one group's statements."""
        rows = self.statements.texts(name)
        return torch.stack([normalize(clip.encode_text(texts), dim=-1) for texts in rows])
