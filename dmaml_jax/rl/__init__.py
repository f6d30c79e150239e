"""Policies, rollouts, returns, surrogates, objectives; problems made of them."""
