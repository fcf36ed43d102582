"""Money: budgets, rates, the escrow's rules, and the ledgers that keep them."""
