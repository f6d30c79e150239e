"""What is earned in a whole life in a task, exploration included."""
