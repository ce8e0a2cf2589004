"""Attacks by patches: what an attacker finds is an upper bound on what a certificate can promise."""
