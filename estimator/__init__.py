"""Credits: amounts, prices, estimates."""
