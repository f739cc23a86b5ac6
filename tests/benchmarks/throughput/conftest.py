from tests.training.conftest import _fresh_accelerator, shards, tiny, write_tiny

__all__ = ["_fresh_accelerator", "shards", "tiny", "write_tiny"]
