"""Two collections of bad things: tasks that hurt who runs them, and data that hurts who reads it."""
