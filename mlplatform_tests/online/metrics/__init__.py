"""What the services tell of themselves, and Prometheus reading it."""
