"""Webhook receivers: what a delivery has to prove. Pure."""
