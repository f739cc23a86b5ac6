"""Sets of images and statements that differ in one detail, and what a gain on them is made of."""
