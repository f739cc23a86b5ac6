"""Distilling a teacher's verdicts: which statements let it denoise an image best (docs/method.md#verdicts)."""
