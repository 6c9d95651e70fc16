"""Training: data in, weights and their metrics out. The diffusion stages run through Ray Train, the experts in plain loops."""
