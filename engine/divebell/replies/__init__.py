"""Reading what a model replied: pure functions of text, linear in its length."""
