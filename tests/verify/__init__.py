"""What is proven before a candidate is served: tests by room, as the code is."""
