"""The compiled chunk of epochs."""
