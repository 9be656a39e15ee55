"""The paper venue: a matching engine and a market behind Binance Spot's published API."""
