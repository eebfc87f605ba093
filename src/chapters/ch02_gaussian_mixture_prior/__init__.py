"""Chapter 2: the memorized diffusion prior is a Gaussian mixture."""
