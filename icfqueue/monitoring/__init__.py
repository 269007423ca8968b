"""What others are told of the queue: numbers for Prometheus."""
