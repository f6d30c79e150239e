"""What varies from task to task: how it is written, drawn, checked and tried out."""
