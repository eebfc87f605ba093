"""Chapter 6: calibration, and what helps with few examples."""
