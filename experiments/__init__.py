"""The studies: declared lists of runs, their tables, figures and pages."""
