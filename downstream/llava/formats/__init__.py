"""LLaVA on disk: transformers' folder, the original code's folder, or a language model that is to become one."""

from diva_downstream.llava.formats.content import Llava
from diva_downstream.llava.formats.original import write_original, write_vision_tower
from diva_downstream.llava.formats.read import read_llava
from diva_downstream.llava.formats.transformers_folder import write_transformers

__all__ = ["Llava", "read_llava", "write_original", "write_transformers", "write_vision_tower"]
