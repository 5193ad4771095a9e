"""A clinic that reminds its patients."""
