"""Training a tower with diffusion feedback."""

from diva.training.run import train

__all__ = ["train"]
