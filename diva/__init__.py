"""Post-train CLIP-style image towers with diffusion feedback, and measure what changed."""

__version__ = "0.2.0"
