"""Training: data in, weights and metrics out; diffusion stages through Ray Train, experts in plain loops."""
