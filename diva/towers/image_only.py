"""An image tower without a text tower."""

from torch import Tensor, nn


class ImageOnly(nn.Module):
    """An image tower without the text tower that would give its embeddings a meaning in words."""

    def __init__(self, visual: nn.Module) -> None:
        """Wrap `visual`, the image side of an open_clip model."""
        super().__init__()
        self.visual = visual

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Encode `image` [B, 3, H, W] to [B, D], L2-normalised where asked."""
        features = self.visual(image)
        return nn.functional.normalize(features, dim=-1) if normalize else features
