"""CLIP-style towers: loading them, feeding them, and reading their tokens."""

from diva.towers.clip import Clip, load_clip
from diva.towers.preprocess import TowerInput
from diva.towers.tower import Tower, TowerTokens
from diva.towers.zoo import ZOO, ZooEntry

__all__ = ["ZOO", "Clip", "Tower", "TowerInput", "TowerTokens", "ZooEntry", "load_clip"]
