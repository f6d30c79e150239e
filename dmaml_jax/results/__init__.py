"""What is measured on finished runs, and how it is worded."""
