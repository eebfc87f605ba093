"""What is drawn for a user of the library, and what several chapters draw alike; it needs the extra ``figures``.

``style``: colors, panels and legends. ``maps``: models and densities. ``rows``, ``gaps``, ``ratios``: dots with
intervals, training histories and histograms of the paper's ratio. ``report`` and ``diagnosis``: the
pictures of ``memprior.report`` and ``memprior.diagnose``.
"""
