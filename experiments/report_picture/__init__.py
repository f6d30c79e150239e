"""A picture of a report in Chromium."""
