"""What is drawn for a user, and what several chapters draw: style, maps, the report's figure. Matplotlib lives here."""
