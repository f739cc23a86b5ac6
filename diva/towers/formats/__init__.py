"""The formats that towers are released in; each is told from its content and brought into open_clip's keys."""

from diva.towers.formats.read import read_tower
from diva.towers.formats.source import TowerSource

__all__ = ["TowerSource", "read_tower"]
