"""Handing a tower to the programs that people already use: open_clip, transformers, timm, LLaVA."""
