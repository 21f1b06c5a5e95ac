"""What Foyer promises about speed, measured at a million rows beside what one would pick instead.

`python -m bench` builds the rows (once), starts Foyer and its peers as in production, and prints the figures.
"""
