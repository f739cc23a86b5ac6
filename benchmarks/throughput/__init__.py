"""How fast a training step is, what it uses of the device, and where its time goes."""
