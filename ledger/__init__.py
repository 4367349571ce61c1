"""Who has credits, who holds them, where did they go: an exact, append-only, double-entry book."""
