"""Binance Spot: orders over its WebSocket API, reads over REST, events over streams."""
