"""Training of lifters: motions, virtual cameras, detector noise, losses, loop, recipes."""
