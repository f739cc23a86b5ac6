"""Tiny towers and photographs for the tests of `diva.towers`."""

from tests.fixtures.tower_files import photographs, tiny_names, tiny_towers

__all__ = ["photographs", "tiny_names", "tiny_towers"]
