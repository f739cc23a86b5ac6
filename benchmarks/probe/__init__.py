"""Probes of frozen features: what a tower's image embeddings say of classes, without any text."""
