"""What is drawn: curves of runs, films of episodes, and the scenes in them."""
