"""The study of the miniature world: which settings of diffusion feedback help, over independent bases and seeds."""
