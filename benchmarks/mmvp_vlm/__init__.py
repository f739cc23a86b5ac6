"""MMVP-VLM: 135 pairs of images that differ in one visual pattern, matched with two statements each."""
