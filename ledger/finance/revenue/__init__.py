"""Revenue by grant and period, and the closing of periods."""
