"""Chapter 8, Labels are few, records are many: its experiments and figures."""
