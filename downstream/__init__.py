"""What is built on a tower: one package a pipeline."""
