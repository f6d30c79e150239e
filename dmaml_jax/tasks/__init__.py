"""What varies from task to task."""
