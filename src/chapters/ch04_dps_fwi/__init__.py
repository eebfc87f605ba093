"""Chapter 4: diffusion posterior sampling for full waveform inversion."""
