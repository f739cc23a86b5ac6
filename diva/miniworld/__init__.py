"""A procedural world with tiny pre-trained models, in which the whole suite runs on a CPU without a download."""
