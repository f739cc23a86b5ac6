"""LLaVA-1.5 on another tower: swapped in, trained again, and measured on questions about images."""
