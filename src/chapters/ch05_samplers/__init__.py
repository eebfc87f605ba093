"""Chapter 5: is it the prior or the sampler?"""
