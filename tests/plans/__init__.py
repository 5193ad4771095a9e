"""What calls cost, counted in buffers, statements, commits and bytes of WAL; never in time."""
