"""Campaign: more seeds than fit into one sitting, in pieces that are kept as they end."""
