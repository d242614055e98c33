"""Training of the engine; the only room where torch is imported."""
