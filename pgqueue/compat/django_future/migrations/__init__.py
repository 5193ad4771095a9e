"""The name of the model, as a migration; its view comes with the schema of the queue."""
